"""An order to a bank without an API: pain.008.001.08, one file for one debit.

Everything in the file follows from the frozen order, its key and what is known of payer and payee,
so the same order is the same bytes, whoever writes it and whenever. One name stands in every place
where the bank asks for one (message, instruction, end to end): it is made from the key alone, and
whatever level the bank answers at, it names the order.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from billing.cells import decimal
from billing.iso.document import FieldError, amount_minor, needed, parsed_day, tree
from billing.payee import iban_adds_up

VERSION: Final = "pain.008.001.08"
_SPACE: Final = f"urn:iso:std:iso:20022:tech:xsd:{VERSION}"
# The order is written so many days before it is due, or later; the file's own time may not be later
# than the moment the bank reads it.
WRITTEN_DAYS_BEFORE: Final = 3
_NAME_DIGITS: Final = 32
_TEXT_MAX: Final = 140
_IBAN: Final = re.compile(r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z", re.ASCII)


class OrderError(Exception):
    """A frozen order cannot be written as a file; the word says why."""


class PayerError(ValueError):
    """Nobody's account can be debited like this; the word says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose account is debited, by a mandate that he signed on a day; ``iban`` without spaces.

    Which bank it is, is not looked up: every list of banks is out of date.
    """

    bank_mandate_id: str
    name: str
    iban: str
    signed_on: date

    def __post_init__(self) -> None:
        """Refuse an account that does not exist.

        Raises:
            PayerError: the number is none, or its check digits do not fit.
        """
        if not _IBAN.match(self.iban) or not iban_adds_up(self.iban):
            raise PayerError("iban_invalid")

    def can_pay(self, currency: str) -> bool:
        """Say whether the account can be debited in a currency: tenge in Kazakhstan alone."""
        return self.iban.startswith("KZ") == (currency == "KZT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Creditor:
    """Who is paid; ``scheme_id`` is his name in the scheme of direct debits."""

    name: str
    iban: str
    bic: str
    scheme_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a frozen order says, or what a file that we wrote says of it."""

    order_id: str
    key: str
    amount_minor: int
    currency: str
    charge_on: date
    bank_mandate_id: str
    description: str


def order_id(key: str) -> str:
    """Return the name of an order at the bank; it follows from the key alone, for ever."""
    return "AQ" + hashlib.sha256(key.encode()).hexdigest()[:_NAME_DIGITS].upper()


def order_of(body: bytes, key: str) -> Order:
    """Return what a frozen order says.

    Raises:
        OrderError: the bytes are no order, or not the order of this key.
    """
    try:
        said = json.loads(body)["payments"]
        found = Order(
            order_id=order_id(key),
            key=said["metadata"]["intent"],
            amount_minor=said["amount"],
            currency=said["currency"],
            charge_on=date.fromisoformat(said["charge_date"]),
            bank_mandate_id=said["links"]["mandate"],
            description=said["description"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise OrderError("no_order") from error
    if found.key != key or type(found.amount_minor) is not int or found.amount_minor <= 0:
        raise OrderError("not_this_order")
    if len(_remittance(found)) > _TEXT_MAX:
        raise OrderError("text_too_long")
    return found


def _remittance(order: Order) -> str:
    """What the payer reads, and at its end our key, by which we know the order again."""
    return f"{order.description} {order.key}"


def write(order: Order, payer: Payer, creditor: Creditor) -> bytes:
    """Return the file of one order; the same order gives the same bytes.

    Raises:
        OrderError: the payer's account cannot be debited in this currency.
    """
    if not payer.can_pay(order.currency):
        raise OrderError("account_of_another_currency")
    root = Element("Document", {"xmlns": _SPACE})
    message = SubElement(root, "CstmrDrctDbtInitn")
    header = SubElement(message, "GrpHdr")
    written_on = order.charge_on - timedelta(days=WRITTEN_DAYS_BEFORE)
    _put(header, "MsgId", order.order_id)
    _put(header, "CreDtTm", f"{written_on.isoformat()}T00:00:00Z")
    _put(header, "NbOfTxs", "1")
    _put(header, "CtrlSum", decimal(order.amount_minor))
    _put(header, "InitgPty/Nm", creditor.name)
    batch = SubElement(message, "PmtInf")
    _put(batch, "PmtInfId", order.order_id)
    _put(batch, "PmtMtd", "DD")
    _put(batch, "NbOfTxs", "1")
    _put(batch, "CtrlSum", decimal(order.amount_minor))
    kind = SubElement(batch, "PmtTpInf")
    _put(kind, "SvcLvl/Cd", "SEPA")
    _put(kind, "LclInstrm/Cd", "CORE")
    # A first and a later collection are told apart by no bank any more.
    _put(kind, "SeqTp", "RCUR")
    _put(batch, "ReqdColltnDt", order.charge_on.isoformat())
    _put(batch, "Cdtr/Nm", creditor.name)
    _put(batch, "CdtrAcct/Id/IBAN", creditor.iban)
    _put(batch, "CdtrAgt/FinInstnId/BICFI", creditor.bic)
    _put(batch, "ChrgBr", "SLEV")
    private = SubElement(SubElement(SubElement(batch, "CdtrSchmeId"), "Id"), "PrvtId")
    scheme = SubElement(private, "Othr")
    _put(scheme, "Id", creditor.scheme_id)
    _put(scheme, "SchmeNm/Prtry", "SEPA")
    _transaction(batch, order, payer)
    indent(root, space=" ")
    text: bytes = tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text + b"\n"


def _transaction(batch: Element, order: Order, payer: Payer) -> None:
    one = SubElement(batch, "DrctDbtTxInf")
    _put(one, "PmtId/EndToEndId", order.order_id)
    amount = _put(one, "InstdAmt", decimal(order.amount_minor))
    amount.set("Ccy", order.currency)
    mandate = SubElement(SubElement(one, "DrctDbtTx"), "MndtRltdInf")
    _put(mandate, "MndtId", order.bank_mandate_id)
    _put(mandate, "DtOfSgntr", payer.signed_on.isoformat())
    _put(one, "DbtrAgt/FinInstnId/Othr/Id", "NOTPROVIDED")
    _put(one, "Dbtr/Nm", payer.name)
    _put(one, "DbtrAcct/Id/IBAN", payer.iban)
    _put(one, "RmtInf/Ustrd", _remittance(order))


def _put(parent: Element, path: str, text: str) -> Element:
    """Put a text at the end of a parent, with the elements that lead to it."""
    for name in path.split("/"):
        parent = SubElement(parent, name)
    parent.text = text
    return parent


def read(data: bytes) -> Order:
    """Return what a file that we wrote says of its order.

    Raises:
        FileError: it is none of ours.
    """
    root, _ = tree(data, versions=frozenset({VERSION}))
    one = root.find("CstmrDrctDbtInitn/PmtInf/DrctDbtTxInf")
    if one is None:
        raise FieldError("PmtInf/DrctDbtTxInf")
    taken_minor, currency = amount_minor(one, "InstdAmt")
    description, _, key = needed(one, "RmtInf/Ustrd").rpartition(" ")
    name = needed(one, "PmtId/EndToEndId")
    if name != order_id(key):
        raise FieldError("PmtId/EndToEndId")
    day = needed(root, "CstmrDrctDbtInitn/PmtInf/ReqdColltnDt")
    return Order(
        order_id=name,
        key=key,
        amount_minor=taken_minor,
        currency=currency,
        charge_on=parsed_day(day, "PmtInf/ReqdColltnDt"),
        bank_mandate_id=needed(one, "DrctDbtTx/MndtRltdInf/MndtId"),
        description=description,
    )
