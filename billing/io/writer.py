"""The writer: looks up what a letter has to say, and writes it."""

from dataclasses import dataclass
from typing import Any

from billing.letter import Letter, letter
from billing.message import Claimed
from billing.paper.figures import Figures
from billing.paper.words import Language
from billing.period import local_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes the letters of a town, whose days begin in ``zone``."""

    zone: str

    async def write(self, claimed: Claimed, language: Language) -> Letter:
        """Write a letter.

        Raises:
            LetterError: it cannot be written.
        """
        message = claimed.message
        figures = Figures(language=language, currency="", zone=self.zone)
        facts: dict[str, Any] = {
            **message.about,
            "account": message.account_id,
            "told_on": figures.day(local_day(claimed.queued_at, self.zone)),
        }
        return letter(message.kind, language, facts)
