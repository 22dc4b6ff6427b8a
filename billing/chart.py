"""How the utility's accountants call the accounts of our ledger."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from billing.ledger import Account

_CODE: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$", re.ASCII)


class ChartError(ValueError):
    """The accounts of the ledger cannot be called that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The code of each account; where nobody said another, our own."""

    codes: Mapping[str, str]

    @classmethod
    def own(cls) -> Self:
        """Return our own codes."""
        return cls(codes={account.value: account.value for account in Account})

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``receivable=1210,revenue=6010``.

        Raises:
            ChartError: an account is not ours or named twice, or two would share a code.
        """
        codes = dict(cls.own().codes)
        said: set[str] = set()
        for pair in filter(None, (part.strip() for part in text.split(","))):
            account, _, code = (part.strip() for part in pair.partition("="))
            if account not in codes:
                raise ChartError(f"{account!r} is no account of ours; they are {', '.join(codes)}")
            if account in said:
                raise ChartError(f"{account} stands there twice")
            if not _CODE.match(code):
                raise ChartError(f"the code of {account} is 1 to 32 letters, digits, . _ and -")
            said.add(account)
            codes[account] = code
        if len(set(codes.values())) < len(codes):
            raise ChartError("two accounts have the same code; nobody could tell them apart again")
        return cls(codes=codes)
