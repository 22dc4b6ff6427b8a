"""A bank's statement of our account: camt.053 in the versions .02, .08 and .10.

What is read of each statement is what reconciliation needs: the days it speaks of, both balances
and the lines. A line is one movement that is booked; an entry that holds several transactions with
amounts of their own is as many lines. Opening balance and lines must add up to the closing balance,
and everything must be in the account's currency, or nothing of the file is believed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final
from xml.etree.ElementTree import Element

from billing.iso.document import (
    CurrencyError,
    FieldError,
    SumError,
    amount_minor,
    day,
    needed,
    parsed_day,
    text,
    texts,
    tree,
)

VERSIONS: Final = frozenset({"camt.053.001.02", "camt.053.001.08", "camt.053.001.10"})

_BOOKED: Final = "BOOK"
_SIGN: Final = {"CRDT": 1, "DBIT": -1}
# The closing balance of the statement before, which some banks give instead of an opening one.
_BEFORE: Final = "PRCD"
# What banks write where a payer gave no reference of his own.
_NOT_PROVIDED: Final = "NOTPROVIDED"
# A reference of a payout that stands somewhere in a text: a short name, a hyphen, ten characters.
_REFERENCE: Final = re.compile(r"(?<![A-Z0-9-])[A-Z0-9]{1,18}-[A-Z0-9]{10}(?![A-Z0-9-])")
_TEXT_MAX: Final = 500
_ENDING: Final = 4
# The schema gives a name 35 characters and a reason four; here some banks write more in two places.
_NAME_MAX: Final = 35
_END_TO_END_MAX: Final = 140
_REASON_MAX: Final = 40
# A bank that writes once a year is late; one that speaks of more has a slip in a date.
_DAYS_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One movement of our account; what went out is negative.

    ``entry_ref`` is the bank's own name of the entry; ``reason`` is the bank's code where something
    came back (AM04 and the like).
    """

    entry_ref: str
    booked_on: date
    amount_minor: int
    currency: str
    end_to_end_id: str | None
    payout_reference: str | None
    status: str
    text: str
    reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse a movement of nothing."""
        if self.amount_minor == 0:
            raise ValueError("a line moves more than nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What happened on our account from the morning of ``from_on`` to the evening of ``until_on``.

    Of the account number only the last four characters are kept.
    """

    statement_id: str
    iban_ending: str
    currency: str
    from_on: date
    until_on: date
    opening_minor: int
    closing_minor: int
    lines: tuple[StatementLine, ...]

    def __post_init__(self) -> None:
        """Refuse a statement that does not add up, or ends before it begins.

        Raises:
            SumError: lines and balances disagree.
            FieldError: the days are the wrong way round, or more than a statement can have.
        """
        if not 0 <= (self.until_on - self.from_on).days <= _DAYS_MAX:
            raise FieldError("Stmt/FrToDt")
        moved_minor = sum(line.amount_minor for line in self.lines)
        if self.opening_minor + moved_minor != self.closing_minor:
            raise SumError("the closing balance")


def read(data: bytes) -> tuple[Statement, ...]:
    """Return the statements of a file, in its order.

    Raises:
        FileError: the file cannot be believed; its subclasses say why.
    """
    root, _ = tree(data, versions=VERSIONS)
    found = tuple(_statement(one) for one in root.iterfind("BkToCstmrStmt/Stmt"))
    if not found:
        raise FieldError("Document/BkToCstmrStmt/Stmt")
    return found


def _statement(element: Element) -> Statement:
    statement_id = _short(needed(element, "Id"), _NAME_MAX, "Stmt/Id")
    number = text(element, "Acct/Id/IBAN") or needed(element, "Acct/Id/Othr/Id")
    opening_minor, opened_on, currency, kind = _balance(element, "OPBD", _BEFORE)
    closing_minor, closed_on, closing_currency, _ = _balance(element, "CLBD")
    said = text(element, "Acct/Ccy") or currency
    if said != currency or closing_currency != currency:
        raise CurrencyError("Stmt/Bal")
    lines: list[StatementLine] = []
    for place, entry in enumerate(element.iterfind("Ntry"), 1):
        status = text(entry, "Sts/Cd") or needed(entry, "Sts")
        # What is only announced is not money yet; it comes again once it is booked.
        if status != _BOOKED:
            continue
        lines.extend(_lines(entry, f"{statement_id}/{place}", currency))
    # The balance of the day before says nothing about when this statement begins.
    from_on, until_on = _days(element, closed_on if kind == _BEFORE else opened_on, closed_on)
    return Statement(
        statement_id=statement_id,
        iban_ending=number[-_ENDING:],
        currency=currency,
        from_on=from_on,
        until_on=until_on,
        opening_minor=opening_minor,
        closing_minor=closing_minor,
        lines=tuple(lines),
    )


def _days(element: Element, opened_on: date, closed_on: date) -> tuple[date, date]:
    """Return the days that a statement speaks of; the balances say it where no period does."""
    period = element.find("FrToDt")
    if period is None:
        return min(opened_on, closed_on), closed_on
    until_on = _bound(period, "ToDt", "ToDtTm")
    return _bound(period, "FrDt", "FrDtTm"), min(until_on, closed_on)


def _bound(period: Element, *names: str) -> date:
    for name in names:
        found = text(period, name)
        if found is not None:
            return parsed_day(found, f"FrToDt/{name}")
    raise FieldError(f"FrToDt/{names[0]}")


def _balance(element: Element, *kinds: str) -> tuple[int, date, str, str]:
    """Return the first balance of one of these kinds: amount, day, currency and kind."""
    for kind in kinds:
        for balance in element.iterfind("Bal"):
            if text(balance, "Tp/CdOrPrtry/Cd") == kind:
                found_minor, currency = amount_minor(balance, "Amt")
                return found_minor * _sign(balance), day(balance, "Dt"), currency, kind
    raise FieldError(f"Stmt/Bal {kinds[0]}")


def _sign(element: Element) -> int:
    sign = _SIGN.get(needed(element, "CdtDbtInd"))
    if sign is None:
        raise FieldError(f"{element.tag}/CdtDbtInd")
    return sign


def _lines(entry: Element, fallback: str, currency: str) -> Iterator[StatementLine]:
    """Return an entry as one line, or as many as it holds transactions with their own amounts."""
    whole_minor, said = amount_minor(entry, "Amt")
    if said != currency:
        raise CurrencyError("Ntry/Amt")
    whole_minor *= _sign(entry)
    entry_ref = text(entry, "AcctSvcrRef") or text(entry, "NtryRef") or fallback
    if entry_ref != fallback:
        _short(entry_ref, _NAME_MAX, "Ntry/AcctSvcrRef")
    parts = entry.findall("NtryDtls/TxDtls")
    line = partial(
        StatementLine,
        booked_on=day(entry, "BookgDt"),
        currency=currency,
        end_to_end_id=None,
        payout_reference=None,
        status=_BOOKED,
        text=(text(entry, "AddtlNtryInf") or "")[:_TEXT_MAX],
    )
    several = parts if len(parts) > 1 else []
    amounts = [_part_minor(part, _sign(entry), currency) for part in several]
    told = [part_minor for part_minor in amounts if part_minor is not None]
    if not amounts or len(told) < len(amounts):
        # An entry of nothing, for a fee that is waived, is no movement.
        if whole_minor != 0:
            whole = line(entry_ref=entry_ref, amount_minor=whole_minor)
            yield _told(whole, entry, parts[0] if len(parts) == 1 else None)
        return
    if sum(told) != whole_minor:
        raise SumError("Ntry/NtryDtls")
    for place, (part, part_minor) in enumerate(zip(parts, told, strict=True), 1):
        if part_minor != 0:
            one = line(entry_ref=f"{entry_ref}/{place}", amount_minor=part_minor)
            yield _told(one, entry, part)


def _part_minor(part: Element, sign: int, currency: str) -> int | None:
    for path in ("Amt", "AmtDtls/TxAmt/Amt"):
        if part.find(path) is not None:
            part_minor, said = amount_minor(part, path)
            if said != currency:
                raise CurrencyError(f"TxDtls/{path}")
            own = sign if part.find("CdtDbtInd") is None else _sign(part)
            return part_minor * own
    return None


def _told(line: StatementLine, entry: Element, part: Element | None) -> StatementLine:
    """Return a line with what its transaction says of itself."""
    said = text(part, "Refs/EndToEndId")
    end_to_end_id = None if said == _NOT_PROVIDED else said
    _short(end_to_end_id or "", _END_TO_END_MAX, "Refs/EndToEndId")
    reason = text(part, "RtrInf/Rsn/Cd")
    _short(reason or "", _REASON_MAX, "RtrInf/Rsn/Cd")
    words = [] if part is None else [*texts(part, "RmtInf/Ustrd"), *texts(part, "AddtlTxInf")]
    words.extend(texts(entry, "AddtlNtryInf"))
    found = _REFERENCE.search(" ".join([end_to_end_id or "", *words]))
    return replace(
        line,
        end_to_end_id=end_to_end_id,
        payout_reference=found[0] if found else None,
        text=" ".join(words)[:_TEXT_MAX],
        reason=reason,
    )


def _short(name: str, length_max: int, where: str) -> str:
    """Return a name that can be kept whole.

    Raises:
        FieldError: it is longer than any.
    """
    if len(name) > length_max:
        raise FieldError(where)
    return name
