"""Statements as a bank writes them: emitted by pyiso20022, which knows every version's schema."""

import dataclasses
import typing
from datetime import date
from enum import Enum
from importlib import import_module
from types import UnionType
from typing import Any

from xsdata.formats.dataclass.serializers import XmlSerializer

VERSIONS = ("02", "08", "10")
KZT = "KZT"
IBAN = "KZ75125KZT1001300335"


def made(kind: Any, told: Any) -> Any:
    """Return a dataclass of pyiso20022 from nested dictionaries, whatever its types' names."""
    if isinstance(told, list):
        return [made(kind, one) for one in told]
    if not isinstance(told, dict):
        return kind(told) if isinstance(kind, type) and issubclass(kind, Enum) else told
    hints = typing.get_type_hints(kind)
    return kind(**{name: made(_inner(hints[name]), value) for name, value in told.items()})


def _inner(hint: Any) -> Any:
    arguments = [one for one in typing.get_args(hint) if one is not type(None)]
    if typing.get_origin(hint) in {list, UnionType, typing.Union} and arguments:
        return _inner(arguments[0])
    return hint


def emitted(package: str, told: dict[str, object]) -> bytes:
    """Return a document of a package of pyiso20022 (``camt.camt_053_001_08``) as a file."""
    module = import_module(f"pyiso20022.{package}")
    document = made(module.Document, told)
    assert dataclasses.is_dataclass(document)
    space = "urn:iso:std:iso:20022:tech:xsd:" + package.split(".")[1].replace("_", ".")
    return XmlSerializer().render(document, ns_map={None: space}).encode()


def money(amount: str, currency: str = KZT) -> dict[str, object]:
    return {"value": amount, "ccy": currency}


def balance(code: str, amount: str, on: date, *, sign: str = "CRDT", currency: str = KZT) -> dict:
    return {
        "tp": {"cd_or_prtry": {"cd": code}},
        "amt": money(amount, currency),
        "cdt_dbt_ind": sign,
        "dt": {"dt": on.isoformat()},
    }


def entry(
    amount: str,
    on: date,
    *,
    version: str = "08",
    sign: str = "CRDT",
    status: str = "BOOK",
    ref: str | None = None,
    parts: list[dict] | None = None,
    currency: str = KZT,
    text: str | None = None,
) -> dict:
    told = {
        "amt": money(amount, currency),
        "cdt_dbt_ind": sign,
        "sts": status if version == "02" else {"cd": status},
        "bookg_dt": {"dt": on.isoformat()},
        "bk_tx_cd": {"prtry": {"cd": "NTRF"}},
        "ntry_dtls": [{"tx_dtls": parts}] if parts else [],
    }
    if ref is not None:
        told["acct_svcr_ref"] = ref
    if text is not None:
        told["addtl_ntry_inf"] = text
    return told


def part(
    *,
    end_to_end_id: str | None = None,
    amount: str | None = None,
    remittance: str | None = None,
    reason: str | None = None,
    version: str = "08",
) -> dict:
    told: dict[str, object] = {}
    if end_to_end_id is not None:
        told["refs"] = {"end_to_end_id": end_to_end_id}
    if amount is not None and version == "02":
        told["amt_dtls"] = {"tx_amt": {"amt": money(amount)}}
    elif amount is not None:
        told |= {"amt": money(amount), "cdt_dbt_ind": "CRDT"}
    if remittance is not None:
        told["rmt_inf"] = {"ustrd": [remittance]}
    if reason is not None:
        told["rtr_inf"] = {"rsn": {"cd": reason}}
    return told


def statement(
    *,
    on: date,
    opening: str,
    closing: str,
    entries: list[dict],
    version: str = "08",
    currency: str = KZT,
    opening_code: str = "OPBD",
    **more: object,
) -> bytes:
    """Return the statement of one day."""
    told = {
        "id": f"AQKOL-{on.isoformat()}",
        "cre_dt_tm": f"{on.isoformat()}T23:59:59+05:00",
        "acct": {"id": {"iban": IBAN}, "ccy": currency},
        "bal": [
            balance(opening_code, opening, on, currency=currency),
            balance("CLBD", closing, on, currency=currency),
        ],
        "ntry": entries,
    }
    return emitted(
        f"camt.camt_053_001_{version}",
        {
            "bk_to_cstmr_stmt": {
                "grp_hdr": {"msg_id": "M1", "cre_dt_tm": f"{on.isoformat()}T23:59:59+05:00"},
                "stmt": [told | more],
            }
        },
    )
