"""The command that sends what residents are told."""

import asyncio

from app.command import DONE, UNUSABLE, Json, Once, State, in_house, leave, say, settings_of
from app.delivery import deliver_at, deliver_loop
from app.wiring import House, mailer


def deliver(*, state: State = None, once: Once = False, as_json: Json = False) -> None:
    """Send what residents are told, through the relay at AQKOL_SMTP_URL."""
    settings = settings_of(state=state)
    if settings.smtp_url is None:
        raise leave("AQKOL_SMTP_URL must say which relay takes our mails.", UNUSABLE)

    async def work(house: House, stopping: asyncio.Event) -> int:
        async with mailer(house.settings) as opened:
            assert opened is not None, "its address is set"
            if not once:
                await deliver_loop(house, opened, stopping)
                return DONE
            say(await deliver_at(house, opened, house.clock.now()), as_json=as_json)
            return DONE

    in_house(settings, work, patient=not once)
