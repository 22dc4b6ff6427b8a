"""The statement of an account: what its resident owed, every movement in plain words, what he owes.

    owes  =  receivable + carried + resident_credit + refund_due + refunds_payable

each as debits less credits; below zero we owe him. A movement between two of these changes nothing
of that and is shown with no amount: money that waits, or that is on its way back, is still his.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from types import MappingProxyType
from typing import Final

from billing.ledger import Account, Transfer
from billing.refund_moves import PREFIX as REFUNDS

# What a resident owes us, or we owe him.
HIS: Final = frozenset(
    {
        Account.RECEIVABLE,
        Account.CARRIED,
        Account.RESIDENT_CREDIT,
        Account.REFUND_DUE,
        Account.REFUNDS_PAYABLE,
    }
)


class MoveKind(StrEnum):
    """What happened, as people say it."""

    BILLED = "billed"
    IN_FAVOUR = "in_favour"
    TAKEN = "taken"
    TAKEN_BACK = "taken_back"
    CHARGED_BACK = "charged_back"
    CHARGEBACK_CANCELLED = "chargeback_cancelled"
    VOUCHER = "voucher"
    CREDIT_KEPT = "credit_kept"
    CREDIT_USED = "credit_used"
    CARRIED = "carried"
    TO_BE_SENT_BACK = "to_be_sent_back"
    REFUND_ASKED = "refund_asked"
    REFUND_UNDONE = "refund_undone"
    REFUND_PAID = "refund_paid"
    REFUND_CAME_BACK = "refund_came_back"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The same in Kazakh, Russian and English."""

    kk: str
    ru: str
    en: str


WORDS: Final[Mapping[MoveKind, Words]] = MappingProxyType(
    {
        MoveKind.BILLED: Words(kk="Шот берілді", ru="Выставлен счёт", en="A bill was issued"),
        MoveKind.IN_FAVOUR: Words(
            kk="Сіздің пайдаңызға құжат",
            ru="Документ в вашу пользу",
            en="A document in your favour",
        ),
        MoveKind.TAKEN: Words(
            kk="Банк шотыңыздан алынды",
            ru="Деньги списаны вашим банком",
            en="Taken from your bank account",
        ),
        MoveKind.TAKEN_BACK: Words(
            kk="Төлем өтпеді, ақша банк шотыңызға қайтты",
            ru="Платёж не прошёл, деньги вернулись на ваш счёт",
            en="The payment failed; the money is in your bank account again",
        ),
        MoveKind.CHARGED_BACK: Words(
            kk="Банкіңіз ақшаны қайтарып алды",
            ru="Ваш банк отозвал деньги",
            en="Your bank took the money back",
        ),
        MoveKind.CHARGEBACK_CANCELLED: Words(
            kk="Банкіңіз ақшаны қайта берді",
            ru="Ваш банк вернул отозванные деньги",
            en="Your bank gave back what it had taken",
        ),
        MoveKind.VOUCHER: Words(
            kk="Көмек төлемі есепке алынды", ru="Зачтена помощь", en="A grant was used"
        ),
        MoveKind.CREDIT_KEPT: Words(
            kk="Артық төлем сізде қалды", ru="Переплата сохранена", en="What was too much is kept"
        ),
        MoveKind.CREDIT_USED: Words(
            kk="Артық төлем есепке алынды",
            ru="Зачтена переплата",
            en="What was too much was used",
        ),
        MoveKind.CARRIED: Words(
            kk="Аз сома келесі шотқа көшірілді",
            ru="Малая сумма перенесена в другой счёт",
            en="A small sum moved between bills",
        ),
        MoveKind.TO_BE_SENT_BACK: Words(
            kk="Артық төлем сізге қайтарылады",
            ru="Переплата будет возвращена",
            en="What was too much will be sent back",
        ),
        MoveKind.REFUND_ASKED: Words(
            kk="Ақшаны қайтару басталды", ru="Начат возврат денег", en="A refund was begun"
        ),
        MoveKind.REFUND_UNDONE: Words(
            kk="Ақшаны қайтару тоқтатылды", ru="Возврат не состоялся", en="A refund was called off"
        ),
        MoveKind.REFUND_PAID: Words(
            kk="Ақша банк шотыңызға қайтарылды",
            ru="Деньги возвращены на ваш счёт",
            en="Money was paid back to your bank account",
        ),
        MoveKind.REFUND_CAME_BACK: Words(
            kk="Қайтарылған ақша бізге қайта келді",
            ru="Возвращённые деньги пришли к нам обратно",
            en="The money we paid back has come to us again",
        ),
        MoveKind.OTHER: Words(kk="Басқа қозғалыс", ru="Другое движение", en="Another movement"),
    }
)

_BY_WORD: Final[Mapping[str, MoveKind]] = MappingProxyType(
    {
        "posted": MoveKind.TAKEN,
        "reversal": MoveKind.TAKEN_BACK,
        "recovered": MoveKind.CHARGED_BACK,
        "restored": MoveKind.CHARGEBACK_CANCELLED,
        "asked": MoveKind.REFUND_ASKED,
        "undone": MoveKind.REFUND_UNDONE,
        "paid": MoveKind.REFUND_PAID,
        "bounced": MoveKind.REFUND_CAME_BACK,
        "left": MoveKind.TO_BE_SENT_BACK,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One movement: what it is, about which bill, and by how much more is owed; below zero less."""

    at: datetime
    kind: MoveKind
    bill_no: str
    moved_minor: int
    amount_minor: int
    owed_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What was owed, what moved, what is owed, in minor units of one currency.

    ``under_way_minor`` of it is on its way from the resident's bank account.
    """

    currency: str
    opening_minor: int
    movements: Sequence[Movement]
    closing_minor: int
    under_way_minor: int


def effect_minor(transfer: Transfer) -> int:
    """Return by how much more the resident owes with a transfer."""
    his = (transfer.debit_code in HIS) - (transfer.credit_code in HIS)
    return his * transfer.amount_minor


def kind_of(transfer: Transfer) -> MoveKind:
    """Return what a transfer is, as people say it; its name and its direction tell."""
    head, _, rest = transfer.transfer_id.partition("/")
    word = rest.rpartition("/")[2].partition("-")[0]
    if head == "bill":
        return MoveKind.BILLED
    if head == "credit":
        kept = transfer.credit_code is Account.RESIDENT_CREDIT
        return MoveKind.CREDIT_KEPT if kept else MoveKind.CREDIT_USED
    if head in {"debit", REFUNDS.rstrip("/")}:
        return _BY_WORD.get(word, MoveKind.OTHER)
    heads = {
        "voucher": MoveKind.VOUCHER,
        "carry": MoveKind.CARRIED,
        "refund": MoveKind.TO_BE_SENT_BACK,
    }
    return heads.get(head, MoveKind.OTHER)


def movements(transfers: Iterable[Transfer], *, opening_minor: int) -> tuple[Movement, ...]:
    """Return the movements of some transfers in their order; the parts of a bill are one."""
    touching = [one for one in transfers if one.debit_code in HIS or one.credit_code in HIS]
    found, owed_minor = [], opening_minor
    for (at, bill_no, _), group in groupby(touching, key=_together):
        parts = list(group)
        amount_minor = sum(effect_minor(one) for one in parts)
        owed_minor += amount_minor
        kind = kind_of(parts[0])
        if kind is MoveKind.BILLED and amount_minor < 0:
            kind = MoveKind.IN_FAVOUR
        found.append(
            Movement(
                at=at,
                kind=kind,
                bill_no=bill_no,
                moved_minor=abs(amount_minor) or sum(one.amount_minor for one in parts),
                amount_minor=amount_minor,
                owed_minor=owed_minor,
            )
        )
    return tuple(found)


def _together(transfer: Transfer) -> tuple[datetime, str, str]:
    """Name what belongs together: net sum, tax and penalty of one bill, and nothing else."""
    own = "bill" if transfer.transfer_id.startswith("bill/") else transfer.transfer_id
    return transfer.posted_at, transfer.bill_no, own
