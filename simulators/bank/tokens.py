"""Who may ask: one token for everything, and one that may only read."""

import hmac
from dataclasses import dataclass

from simulators.bank import errors


@dataclass(slots=True, kw_only=True)
class Tokens:
    """The access tokens of the moment; a conductor may rotate the first."""

    full: str
    read_only: str | None = None

    def admit(self, header: str, *, reads: bool) -> None:
        """Let a request in.

        :raises BankError: 401 for a token that is not ours, 403 for one that may only read.
        """
        if _same(header, self.full):
            return
        if self.read_only is None or not _same(header, self.read_only):
            raise errors.unauthorized()
        if not reads:
            raise errors.forbidden()


def _same(header: str, token: str) -> bool:
    return hmac.compare_digest(_bytes(header), _bytes(f"Bearer {token}"))


def _bytes(text: str) -> bytes:
    """Return the bytes of a header as they came, though they be no UTF-8."""
    return text.encode(errors="surrogateescape")
