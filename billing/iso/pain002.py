"""What a bank says of our orders: pain.002 in the versions .03, .10 and .12.

A status may stand at the whole message, at an instruction or at one transaction; what is nearer to
the transaction counts. The codes that ISO 20022 has are mapped, any other one is no news.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from xml.etree.ElementTree import Element

from billing.iso.document import FieldError, text, tree

VERSIONS: Final = frozenset({"pain.002.001.03", "pain.002.001.10", "pain.002.001.12"})


class OrderStatus(StrEnum):
    """Where the bank says an order stands."""

    TAKEN_IN = "taken_in"
    COLLECTED = "collected"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


_STATUS: Final[Mapping[str, OrderStatus]] = MappingProxyType(
    {
        "RCVD": OrderStatus.TAKEN_IN,
        "ACTC": OrderStatus.TAKEN_IN,
        "ACCP": OrderStatus.TAKEN_IN,
        "ACSP": OrderStatus.TAKEN_IN,
        "ACWC": OrderStatus.TAKEN_IN,
        "PDNG": OrderStatus.TAKEN_IN,
        "ACSC": OrderStatus.COLLECTED,
        "ACCC": OrderStatus.COLLECTED,
        "RJCT": OrderStatus.REJECTED,
        "CANC": OrderStatus.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNews:
    """What the bank says of one order; ``reason`` is its code where it says no."""

    order_id: str
    status: OrderStatus
    reason: str | None


def read(data: bytes) -> tuple[OrderNews, ...]:
    """Return what a file says of our orders, in its order.

    Raises:
        FileError: the file cannot be believed; its subclasses say why.
    """
    root, _ = tree(data, versions=VERSIONS)
    report = root.find("CstmrPmtStsRpt")
    if report is None:
        raise FieldError("Document/CstmrPmtStsRpt")
    return tuple(_news(report))


def _news(report: Element) -> Iterator[OrderNews]:
    group = report.find("OrgnlGrpInfAndSts")
    if group is None:
        raise FieldError("CstmrPmtStsRpt/OrgnlGrpInfAndSts")
    instructions = report.findall("OrgnlPmtInfAndSts")
    if not instructions:
        yield from _one(text(group, "OrgnlMsgId"), (group, "GrpSts"))
    for instruction in instructions:
        above = ((instruction, "PmtInfSts"), (group, "GrpSts"))
        transactions = instruction.findall("TxInfAndSts")
        if not transactions:
            yield from _one(text(instruction, "OrgnlPmtInfId"), *above)
        for one in transactions:
            yield from _one(text(one, "OrgnlEndToEndId"), (one, "TxSts"), *above)


def _one(order_id: str | None, *levels: tuple[Element, str]) -> Iterator[OrderNews]:
    """Return the nearest status there is, with its reason or one above it."""
    if order_id is None:
        raise FieldError("OrgnlEndToEndId")
    codes = [code for element, path in levels if (code := text(element, path)) is not None]
    status = _STATUS.get(codes[0]) if codes else None
    if status is None:
        return
    reasons = [text(element, "StsRsnInf/Rsn/Cd") for element, _ in levels]
    reason = next((one for one in reasons if one is not None), None)
    yield OrderNews(
        order_id=order_id,
        status=status,
        reason=reason if status is OrderStatus.REJECTED else None,
    )
