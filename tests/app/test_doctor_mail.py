"""The doctor looks at the way to the relay, and sends nothing."""

from pathlib import Path

from app.config import Settings
from app.doctor_mail import mails
from tests.contract.relay import relay


class TestMail:
    """The doctor ..."""

    async def test_says_where_nobody_is_written_to(self, tmp_path: Path) -> None:
        """That is a way to run a town, and no problem."""
        found = await mails(Settings(state=tmp_path))

        assert (found.state, found.detail) == (
            "note",
            "AQKOL_SMTP_URL is not set: residents read in the API only",
        )

    async def test_knocks_at_the_relay_and_leaves(self, tmp_path: Path) -> None:
        """As far as a mail would begin; none is sent."""
        async with relay() as real:
            url = f"smtp://127.0.0.1:{real.port}"
            settings = Settings(state=tmp_path, smtp_url=url, mail_from="gas@gas.example")
            found = await mails(settings)

        assert (found.state, found.detail) == ("ok", f"{url} takes mails from gas@gas.example")
        assert real.inbox == []

    async def test_says_why_a_relay_cannot_be_used(self, tmp_path: Path) -> None:
        """Without the password."""
        async with relay() as gone:
            url = f"smtp://town:geheim@127.0.0.1:{gone.port}"
        settings = Settings(state=tmp_path, smtp_url=url, mail_from="gas@gas.example")
        found = await mails(settings)

        assert found.state == "problem"
        assert found.detail.endswith("cannot be used: unreachable")
        assert "geheim" not in found.detail
