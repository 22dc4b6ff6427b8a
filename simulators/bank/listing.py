"""Pages of a list: newest first, with cursors that neither skip nor repeat while it grows."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulators.bank import errors
from simulators.bank.clock import floor_ms, parse, parse_day, stamp
from simulators.bank.store import SEQ_END, Document
from simulators.bank.wire import Text
from simulators.bank.world import Bank, shown

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
FIRST: Final = ""
LAST: Final = "~"

COLUMNS: Final = (
    "status",
    "currency",
    "scheme",
    "reference",
    "enabled",
    "action",
    "resource_type",
    "creditor",
    "customer",
    "customer_bank_account",
    "mandate",
    "payment",
    "billing_request",
    "parent_event",
    "payout",
    "refund",
    "payout_type",
    "creditor_bank_account",
    "successful",
)
# What says where a page is and how long, and filters nothing.
PLACE: Final = frozenset({"limit", "after", "before"})
RANGE: Final = re.compile(r"(created_at|charge_date)\[(gt|gte|lt|lte)\]")


def listing(
    bank: Bank,
    kind: str,
    query: Mapping[str, str],
    filters: tuple[str, ...],
    show: Callable[[Bank, Document], Document] = lambda _, document: shown(document),
) -> Document:
    """Return one page of a kind with its cursors.

    :raises BankError: 400 for a parameter that is unknown here or cannot be read.
    """
    page = _page(bank, kind, query, filters)
    documents = [json.loads(body) for body in page.bodies]
    return {
        kind: [show(bank, document) for document in documents],
        "meta": page.meta,
    }


def written(bank: Bank, kind: str, query: Mapping[str, str], filters: tuple[str, ...]) -> Text:
    """Return one page of a kind of which all is shown, in the very words of the books.

    :raises BankError: 400 for a parameter that is unknown here or cannot be read.
    """
    page = _page(bank, kind, query, filters)
    inside = ", ".join(page.bodies)
    return Text(f'{{"{kind}": [{inside}], "meta": {json.dumps(page.meta)}}}')


@dataclass(frozen=True, slots=True)
class _Page:
    bodies: list[str]
    meta: Document


def _page(bank: Bank, kind: str, query: Mapping[str, str], filters: tuple[str, ...]) -> _Page:
    where = _where(query, filters) if set(query) - PLACE else None
    limit = limit_of(query)
    newer = "before" in query
    edge_seq = _edge(bank, kind, query)
    found = bank.store.page(kind, newer=newer, edge_seq=edge_seq, rows=limit + 1, where=where)
    more = len(found) > limit
    page = found[:limit]
    if newer:
        page.reverse()
    has_older = newer or more
    has_newer = more if newer else "after" in query
    cursors = {
        "before": _name(page[0]) if page and has_newer else None,
        "after": _name(page[-1]) if page and has_older else None,
    }
    return _Page(bodies=page, meta={"cursors": cursors, "limit": limit})


def _name(body: str) -> str:
    found: str = json.loads(body)["id"]
    return found


def limit_of(query: Mapping[str, str]) -> int:
    """Return how many of a list a page has.

    :raises BankError: 400 when it is none of 1 to 500.
    """
    text = query.get("limit", str(LIMIT_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= LIMIT_MAX:
        raise bad_parameter("limit", f"must be between 1 and {LIMIT_MAX}")
    return int(text)


def _edge(bank: Bank, kind: str, query: Mapping[str, str]) -> int:
    if "after" in query and "before" in query:
        raise bad_parameter("after", "cannot be combined with before")
    for name in ("after", "before"):
        if name in query:
            seq = bank.store.seq(kind, query[name])
            if seq is None:
                raise bad_parameter(name, "is not a known cursor")
            return seq
    return SEQ_END


def _where(query: Mapping[str, str], filters: tuple[str, ...]) -> dict[str, Any]:
    where: dict[str, Any] = {column: query.get(column) for column in COLUMNS}
    bounds = {"created_from": FIRST, "created_to": LAST, "charged_from": FIRST, "charged_to": LAST}
    for name, value in query.items():
        span = RANGE.fullmatch(name)
        if span and span[1] in filters:
            _bound(bounds, span[1], span[2], value)
        elif name not in (*filters, *PLACE) or name in {
            "created_at",
            "charge_date",
        }:
            raise bad_parameter(name, "is not a parameter of this list")
    if where["status"] is not None:
        where["status"] = f",{where['status']},"
    for name in ("enabled", "successful"):
        if where[name] is not None:
            where[name] = {"true": 1, "false": 0}.get(where[name], -1)
    return where | bounds


def _bound(bounds: dict[str, str], name: str, sign: str, value: str) -> None:
    try:
        if name == "created_at":
            instant = parse(value)
            edge, is_between = stamp(instant), instant != floor_ms(instant)
        else:
            edge, is_between = parse_day(value).isoformat(), False
    except ValueError as error:
        raise bad_parameter(f"{name}[{sign}]", "cannot be read") from error
    # One step beyond the edge in the order of the strings themselves.
    if sign in {"gt", "lte"} or is_between:
        edge += "\x00"
    kind = "created" if name == "created_at" else "charged"
    # Of two bounds on one side the narrower holds: both were asked for.
    if sign in {"gt", "gte"}:
        bounds[f"{kind}_from"] = max(bounds[f"{kind}_from"], edge)
    else:
        bounds[f"{kind}_to"] = min(bounds[f"{kind}_to"], edge)


def bad_parameter(name: str, message: str) -> errors.BankError:
    """Return the 400 for one parameter of a list."""
    return errors.invalid_usage(
        400, "invalid_query_parameter", "Invalid query parameter", f"{name} {message}"
    )
