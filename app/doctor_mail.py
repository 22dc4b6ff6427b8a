"""Look at the way to the relay: is it there, does it let us in, is the line encrypted?

No mail is sent: the relay is asked up to the point where one would begin.
"""

from app.config import Settings, masked
from app.finding import Finding
from billing.io.smtp import SmtpMailer, relay_of


async def mails(settings: Settings) -> Finding:
    """Knock at the relay, if there is one."""
    if settings.smtp_url is None or settings.mail_from is None:
        detail = "AQKOL_SMTP_URL is not set: residents read in the API only"
        return Finding(name="mail", state="note", detail=detail)
    url = settings.smtp_url.get_secret_value()
    domain = settings.mail_from.rsplit("@", 1)[1]
    async with SmtpMailer.open(relay_of(url), domain=domain) as mailer:
        trouble = await mailer.knock(settings.mail_from)
    if trouble is not None:
        detail = f"{masked(url)} cannot be used: {trouble.reason}"
        return Finding(name="mail", state="problem", detail=detail)
    detail = f"{masked(url)} takes mails from {settings.mail_from}"
    return Finding(name="mail", state="ok", detail=detail)
