"""Rows of the database as nouns of billing."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from billing.bill import Bill, BillKind, Charge, ChargeKind, Line, Quality
from billing.money import Rounding
from billing.move import Closing, ClosingRegister
from billing.rating import Usage
from billing.tariff import Band, NormPer, Tariff
from billing.terms import Terms
from metering.installation import Installation


def tariff_of(row: Mapping[str, Any]) -> Tariff:
    """Return one version of a tariff; its bands stand in the row as JSON."""
    values = dict(row)
    values["rounding"] = Rounding(values["rounding"])
    values["norm_per"] = NormPer(values["norm_per"])
    values["heating_months"] = tuple(values["heating_months"])
    values["bands"] = tuple(Band(**band) for band in json.loads(values["bands"] or "[]"))
    return Tariff(**values)


def terms_of(row: Mapping[str, Any]) -> Terms:
    """Return one word on an account."""
    return Terms(**row)


def usage_of(row: Mapping[str, Any]) -> Usage:
    """Return one stretch of gas."""
    values = dict(row)
    values["opening_quality"] = Quality(values["opening_quality"])
    values["closing_quality"] = Quality(values["closing_quality"])
    return Usage(**values)


def installation_of(row: Mapping[str, Any]) -> Installation:
    """Return where a meter hung, from a row that may say more."""
    return Installation(**{field.name: row[field.name] for field in fields(Installation)})


def line_of(row: Mapping[str, Any]) -> Line:
    """Return one line of a bill; the row says nothing else."""
    values = dict(row)
    values["opening_quality"] = Quality(values["opening_quality"])
    values["closing_quality"] = Quality(values["closing_quality"])
    return Line(**values)


def charge_of(row: Mapping[str, Any]) -> Charge:
    """Return one charge of a bill; the row says nothing else."""
    values = dict(row)
    values["kind"] = ChargeKind(values["kind"])
    values["detail"] = json.loads(values["detail"])
    return Charge(**values)


def bill_of(row: Mapping[str, Any], lines: tuple[Line, ...], charges: tuple[Charge, ...]) -> Bill:
    """Return one bill with what it is made of."""
    values = dict(row)
    values["kind"] = BillKind(values["kind"])
    return Bill(**values, lines=lines, charges=charges)


def closing_of(row: Mapping[str, Any]) -> Closing:
    """Return a row as the end of an account."""
    registers = tuple(
        ClosingRegister(
            meter_id=one["meter_id"],
            register_dm3=one["register_dm3"],
            read_at=None if one["read_at"] is None else datetime.fromisoformat(one["read_at"]),
        )
        for one in json.loads(row["registers"])
    )
    return Closing(**{**row, "registers": registers})
