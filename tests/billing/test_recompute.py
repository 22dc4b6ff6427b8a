"""The calculator that works a bill out from its record alone, against records made by hand.

The record of tests/vectors/records: 31 m3 in a January of 31 days, so 1000 dm3 a day. Two persons,
social, until the 15th, three from the 16th on; VAT of 12 % until the 20th, then of 16 %.

    bounds of the first 15 days   10000 x 2 x 15/31 =  9677.4    15000 x 2 x 15/31 = 14516.1
    of the 16 days after them     10000 x 3 x 16/31 = 15483.9    15000 x 3 x 16/31 = 23225.8
    discount of the first          8000 x 2 x 15/31 =  7741.9
    line 1    9677 x 0.64049       =  6198.02    line 4    5000 x 0.64049       =  3202.45
    line 2    4839 x 0.64049 x 1.3 =  4029.13    line 5   10484 x 0.64049       =  6714.90
    line 3     484 x 0.64049 x 2   =   619.99    line 6     516 x 0.64049 x 1.3 =   429.64
    discount  7742 x 0.64049 x 0.2 =   991.73
    standing  15 x 33.333 + 15 x 50000/31 = 24693.54;  5 days 8231.18;  11 days 18108.60
"""

import json
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.recompute import Answer, RecordError, check, loads, read
from billing.recompute.derive import rounded
from tests.billing.claims import Json, Place, claims, leaves, put

FOLDER = Path(__file__).parents[1] / "vectors" / "records"
EVERYTHING = json.loads((FOLDER / "everything_at_once.json").read_text())


def everything() -> Json:
    return deepcopy(EVERYTHING)


def answer(record: Json) -> Answer:
    return check(read(record))


def sentences(record: Json) -> list[str]:
    return [difference.sentence() for difference in answer(record).differences]


CLAIMS = claims(EVERYTHING)


class TestBill:
    """A bill is ..."""

    def test_is_correct_if_everything_was_worked_out_by_hand(self) -> None:
        """Bands, persons, seasons, discount, standing charge, VAT and a dial that passes zero."""
        assert sentences(everything()) == []
        assert answer(everything()).taken_as_given == ()

    def test_is_wrong_by_one_tiyn(self) -> None:
        """The sentence says what stands where, and what should."""
        record = put(everything(), ("lines", 2, "net_minor"), 621)

        assert sentences(record) == ["line 3 net_minor: says 621, should be 620"]

    @pytest.mark.parametrize(("place", "wrong"), CLAIMS, ids=str)
    def test_hides_nothing(self, place: Place, wrong: Any) -> None:
        """Whatever it claims, anywhere, off by the least, is found or not even read."""
        record = put(everything(), place, wrong)
        try:
            found = answer(record)
        except RecordError:
            return

        assert not found.correct

    @pytest.mark.parametrize("rows", ["lines", "charges"])
    @pytest.mark.parametrize("number", range(6))
    def test_lacks_nothing_and_has_nothing_twice(self, rows: str, number: int) -> None:
        """A dropped line favours somebody; a doubled charge too."""
        if number >= len(EVERYTHING[rows]):
            return
        dropped, doubled = everything(), everything()
        del dropped[rows][number]
        doubled[rows].insert(number, doubled[rows][number])

        assert not answer(dropped).correct
        assert not answer(doubled).correct

    def test_is_wrong_with_consistent_totals_too(self) -> None:
        """A line and every sum above it moved together: the registers speak against it."""
        record = everything()
        record["lines"][0]["net_minor"] += 1
        for total in (record["totals"], record["totals"]["vat"][0]):
            total["net_minor"] += 1
        record["totals"]["total_minor"] += 1

        assert "line 1 net_minor: says 6199, should be 6198" in sentences(record)

    def test_names_what_is_missing(self) -> None:
        """With a line too few the others are still compared with their own kind."""
        record = everything()
        del record["lines"][1]

        missing = "a line: says nothing, should be AQ-1 from 2025-12-31T19:00:00+00:00"
        assert f"{missing}, net_minor 4029" in sentences(record)

    def test_is_held_against_its_registers(self) -> None:
        """The volume of a usage is a claim as well: one dm3 more on the dial is one dm3 more."""
        record = put(everything(), ("usages", 0, "closing", "register_dm3"), 11_001)

        assert "usage 1 volume_dm3: says 31000, should be 31001" in sentences(record)

    def test_takes_an_adjustment_as_given(self) -> None:
        """What the record cannot prove is said to be unproven, and still has to add up."""
        record = everything()
        record["charges"].append(
            {**record["charges"][3], "charge_no": 5, "kind": "adjustment", "net_minor": 100}
            | {"vat_minor": 0, "vat_rate_bp": 0, "tariff_code": None, "tariff_valid_from": None}
        )
        record["totals"] |= {"net_minor": 71_336, "total_minor": 80_893}
        assert "totals vat: how many rates: says 2, should be 3" in sentences(record)

        record["totals"]["vat"].insert(0, {"rate_bp": 0, "net_minor": 100, "vat_minor": 0})
        assert answer(record).correct
        assert answer(record).taken_as_given == ("charge 5 (adjustment): net_minor 100",)


# 10 000 tenge, 18 %, K = 1.5: 30 days are 221.9178, and 10 more at 20 % are 82.1918: 304.1096.
PENALTY: Json = {
    "charge_no": 5,
    "kind": "penalty",
    "from_day": "2026-01-26",
    "to_day": "2026-03-07",
    "tariff_code": None,
    "tariff_valid_from": None,
    "line_no": None,
    "quantity": 40,
    "detail": {
        "bill_no": "2025-11",
        "principal_minor": 1_000_000,
        "charged_minor": 0,
        "factor_bp": 15_000,
        "minimum_minor": 50_000,
        "year_days": 365,
        "uncapped_minor": 30_411,
        "spans": [
            {"from_day": "2026-01-26", "to_day": "2026-02-25", "days": 30}
            | {"debt_minor": 1_000_000, "rate_bp": 1800},
            {"from_day": "2026-02-25", "to_day": "2026-03-07", "days": 10}
            | {"debt_minor": 1_000_000, "rate_bp": 2000},
        ],
    },
    "vat_rate_bp": 0,
    "net_minor": 30_411,
    "vat_minor": 0,
}


def penalised(**changed: Any) -> Json:
    record = everything()
    record["charges"].append(deepcopy(PENALTY))
    record["charges"][4]["detail"] |= changed
    record["totals"] |= {"net_minor": 101_647, "total_minor": 111_204}
    record["totals"]["vat"].insert(0, {"rate_bp": 0, "net_minor": 30_411, "vat_minor": 0})
    return record


class TestPenalty:
    """A penalty for late payment ..."""

    def test_is_worked_out_from_the_debts_that_it_names(self) -> None:
        """The published formula; whether the debts stood, one month's record cannot prove."""
        found = answer(penalised())

        assert [one.sentence() for one in found.differences] == []
        assert found.taken_as_given == (
            "charge 5 (penalty): the debts and rates that its detail names",
        )

    @pytest.mark.parametrize(
        ("place", "wrong"),
        [
            (("from_day",), "2026-01-27"),
            (("to_day",), "2026-03-08"),
            (("tariff_code",), "home"),
            (("tariff_valid_from",), "2025-07-01"),
            (("line_no",), 1),
            (("quantity",), 41),
            (("vat_rate_bp",), 1200),
            (("net_minor",), 30_412),
            (("vat_minor",), 1),
            (("detail", "factor_bp"), 15_001),
            (("detail", "year_days"), 366),
            (("detail", "uncapped_minor"), 30_410),
            (("detail", "spans", 0, "rate_bp"), 1801),
            (("detail", "spans", 1, "debt_minor"), 1_000_100),
            (("detail", "spans", 1, "to_day"), "2026-03-08"),
        ],
    )
    def test_hides_nothing(self, place: Place, wrong: Any) -> None:
        """A day, a rate, a tiyn: each is found, or the detail is refused."""
        record = put(penalised(), ("charges", 4, *place), wrong)
        try:
            found = answer(record)
        except RecordError:
            return

        assert any(one.where.startswith("charge 5 ") for one in found.differences)

    def test_is_never_more_than_the_bill_was(self) -> None:
        """10 000 were asked for and 9 800 charged for being late: 200 are left."""
        assert "charge 5 net_minor: says 30411, should be 20000" in sentences(
            penalised(charged_minor=980_000)
        )

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"spans": []}, "spans: are none"),
            ({"spans": [PENALTY["detail"]["spans"][0]] * 2}, "spans/2: begins before the one"),
            ({"minimum_minor": 1_000_001}, "spans/1: is for a debt that was too small"),
            ({"spans": [PENALTY["detail"]["spans"][0] | {"days": 31}]}, "spans/1: does not have"),
            ({"factor_bp": -1}, "detail of charge 5/factor_bp: -1 is not between"),
        ],
    )
    def test_is_refused_if_it_cannot_be_meant(self, changed: Json, words: str) -> None:
        """Days counted twice, or debts nobody asked for, are no penalty."""
        with pytest.raises(RecordError) as refused:
            answer(penalised(**changed))

        assert words in str(refused.value)


class TestUsages:
    """Measured gas ..."""

    def split(self) -> Json:
        """Return the record with a register at the midnight before the 16th, as if it were read."""
        record = everything()
        at, register = "2026-01-15T19:00:00+00:00", 99_995_000
        end = {"read_at": at, "register_dm3": register, "turns": 0, "quality": "read"}
        whole = record["usages"][0]
        first = {**whole, "to_at": at, "closing": end, "volume_dm3": 15_000}
        second = {**whole, "from_at": at, "opening": end, "volume_dm3": 16_000}
        record["usages"] = [first, second]
        for line in record["lines"]:
            before = line["line_no"] <= 3
            name = "closing" if before else "opening"
            line |= {f"{name}_register_dm3": register, f"{name}_read_at": at}
            line |= {f"{name}_quality": "read", "days_of": 15 if before else 16}
        return record

    def test_is_cut_by_a_register_where_there_is_one(self) -> None:
        """1000 dm3 a day, so the register of that midnight changes nothing else."""
        assert sentences(self.split()) == []

    def test_goes_on_where_it_ended(self) -> None:
        """A register that jumps between two stretches would be gas that nobody, or two, pay for."""
        record = self.split()
        opening = record["usages"][1]["opening"]
        record["usages"][1]["opening"] = {**opening, "register_dm3": 99_994_999}
        assert "usage 2 opening register_dm3: says 99994999, should be 99995000" in sentences(
            record
        )

        closing = record["usages"][1]["closing"]
        record["usages"][1] |= {
            "opening": {**opening, "turns": 1},
            "closing": {**closing, "turns": 2},
        }
        assert "usage 2 opening turns: says 1, should be 0" in sentences(record)

    def test_is_not_counted_twice(self) -> None:
        """Two stretches of one meter never overlap."""
        record = self.split()
        record["usages"][1]["from_at"] = "2026-01-15T18:59:59+00:00"

        assert any(one.startswith("usage 2 from_at") for one in sentences(record))


class TestRounding:
    """A half is rounded ..."""

    @pytest.mark.parametrize(
        ("rounding", "results"),
        [
            ("half_up", [0, 1, 2, 3, 3]),
            ("half_even", [0, 0, 2, 2, 3]),
            ("down", [0, 0, 1, 2, 2]),
        ],
    )
    def test_as_the_tariff_says(self, rounding: str, results: list[int]) -> None:
        """Of 0.4999, 0.5, 1.5, 2.5 and 2.5001."""
        exact = (Fraction(4999, 10_000), Fraction(1, 2), Fraction(3, 2), Fraction(5, 2))

        assert [rounded(one, rounding) for one in (*exact, Fraction(25_001, 10_000))] == results


def cancellation() -> Json:
    record = everything()
    record |= {"bill_no": "2026-01-2", "number": "AC-1/2026-01-2", "kind": "cancellation"}
    record |= {"corrects_bill_no": "2026-01", "usages": []}
    for row in (*record["lines"], *record["charges"], record["totals"], *record["totals"]["vat"]):
        for name in ("volume_dm3", "energy_wh", "net_minor", "vat_minor", "total_minor"):
            if row.get(name):
                row[name] = -row[name]
        if row.get("quantity"):
            row["quantity"] = -row["quantity"]
    return record


TURNED_CLAIMS = claims(cancellation())


class TestCancellation:
    """A cancellation ..."""

    def test_is_the_bill_with_every_sign_turned(self) -> None:
        """Together they are nothing."""
        found = check(read(cancellation()), read(everything()))

        assert found.correct
        assert found.taken_as_given == ()

    def test_alone_says_what_it_could_not_be_held_against(self) -> None:
        """Without the bill only its own arithmetic is checked, and that is said."""
        found = answer(cancellation())

        assert found.correct
        assert found.taken_as_given == (
            "the lines and charges of bill 2026-01, whose record would be needed",
        )

    @pytest.mark.parametrize(("place", "wrong"), TURNED_CLAIMS, ids=str)
    def test_hides_nothing(self, place: Place, wrong: Any) -> None:
        """Held against the bill, no place of it can differ unseen."""
        try:
            found = check(read(put(cancellation(), place, wrong)), read(everything()))
        except RecordError:
            return

        assert not found.correct

    def test_alone_is_wrong_by_one_tiyn(self) -> None:
        """-(9677 x 0.64049) is -6198."""
        record = put(cancellation(), ("lines", 0, "net_minor"), -6199)

        assert "line 1 net_minor: says -6199, should be -6198" in sentences(record)

    def test_of_another_bill_is_refused(self) -> None:
        """Comparing it with the wrong bill would prove nothing."""
        with pytest.raises(RecordError, match="it cancels '2026-02', not 'AC-1/2026-01'"):
            check(read(put(cancellation(), ("corrects_bill_no",), "2026-02")), read(everything()))

    def test_has_no_gas_of_its_own(self) -> None:
        """What was measured belongs to the bill that stands."""
        record = cancellation() | {"usages": everything()["usages"]}

        assert "usages: says 1 of them, should be nothing" in sentences(record)


def without(place: Place) -> Callable[[Json], None]:
    def change(record: Json) -> None:
        part: Any = record
        for step in place[:-1]:
            part = part[step]
        del part[place[-1]]

    return change


def with_(place: Place, value: Any) -> Callable[[Json], None]:
    def change(record: Json) -> None:
        put(record, place, value)

    return change


TARIFF: Place = ("tariffs", 0)
UNUSABLE = {
    "another format": (with_(("format",), "aqkol-bill/2"), "format: only aqkol-bill/1 is known"),
    "no field": (without(("usages", 0, "opening", "turns")), "usages/1/opening: turns is missing"),
    "a list": (with_(("totals",), []), "totals: should be an object"),
    "no list": (with_(("lines",), {}), "lines: should be a list"),
    "a text": (with_(("lines", 0, "net_minor"), "6198"), "lines/1/net_minor: should be a whole"),
    "true": (with_(("lines", 0, "net_minor"), value=True), "lines/1/net_minor: should be a whole"),
    "one for true": (with_(("terms", 0, "social"), 1), "terms/1/social: should be true or false"),
    "a negative register": (
        with_(("usages", 0, "opening", "register_dm3"), -1),
        "usages/1/opening/register_dm3: -1 is not between 0 and 99999999",
    ),
    "a register the dial has not": (
        with_(("usages", 0, "closing", "register_dm3"), 100_000_000),
        "usages/1/closing/register_dm3: 100000000 is not between",
    ),
    "a dial without numbers": (with_(("usages", 0, "dial_dm3"), 0), "usages/1/dial_dm3: 0 is not"),
    "a dial that went back": (
        with_(("usages", 0, "closing", "turns"), 0),
        "usages: the dial of 'AQ-1' went backwards by 99969000 dm3",
    ),
    "a stretch that ends before": (
        with_(("usages", 0, "to_at"), "2025-12-31T19:00:00Z"),
        "usages/1: does not end after it begins",
    ),
    "gas of the month before": (
        with_(("usages", 0, "from_at"), "2025-12-31T18:59:59Z"),
        "usages: number 1 lies outside the month",
    ),
    "gas of the month after": (
        with_(("usages", 0, "to_at"), "2026-01-31T19:00:01Z"),
        "usages: number 1 lies outside the month",
    ),
    "a negative price": (
        with_((*TARIFF, "net_minor_per_1000_m3"), -1),
        "tariffs/1/net_minor_per_1000_m3: -1 is not between",
    ),
    "two prices": (with_((*TARIFF, "net_minor_per_gwh"), 1), "tariffs/1: should have a price per"),
    "no price": (with_((*TARIFF, "net_minor_per_1000_m3"), None), "tariffs/1: should have a price"),
    "a version of another day": (
        with_((*TARIFF, "valid_from"), "2026-01-02"),
        "tariffs, vat_rates: there is gas but no price, or no VAT, on 2026-01-01",
    ),
    "a version that ends": (
        with_((*TARIFF, "valid_to"), "2026-01-30"),
        "tariffs, vat_rates: there is gas but no price, or no VAT, on 2026-01-30",
    ),
    "two versions of a day": (
        with_(("tariffs",), [EVERYTHING["tariffs"][0]] * 2),
        "tariffs/2: overlaps the version of 2025-07-01: two prices for one day",
    ),
    "a thirteenth month": (with_((*TARIFF, "heating_months"), [13]), "heating_months/1: 13 is not"),
    "a band below the one before": (
        with_((*TARIFF, "bands", 1, "up_to"), 3000),
        "tariffs/1/bands/2: does not end after the band before it",
    ),
    "a band below in winter": (
        with_((*TARIFF, "bands", 1, "up_to_heating"), 9999),
        "tariffs/1/bands/2: does not end after the band before it",
    ),
    "a last band that ends": (
        with_((*TARIFF, "bands", 2, "up_to"), 9000),
        "tariffs/1/bands/3: the last band has no end",
    ),
    "a band number": (with_((*TARIFF, "bands", 1, "band_no"), 3), "bands/2/band_no: 3 is not"),
    "terms that begin late": (
        with_(("terms", 0, "from"), "2026-01-02"),
        "terms/1: should begin on 2026-01-01",
    ),
    "terms with a gap": (
        with_(("terms", 1, "from"), "2026-01-17"),
        "terms/2: should begin on 2026-01-16",
    ),
    "terms that end early": (
        with_(("terms", 1, "to"), "2026-01-31"),
        "terms: end on 2026-01-31, the period on 2026-02-01",
    ),
    "nobody": (with_(("terms", 0, "persons"), 0), "terms/1/persons: 0 is not between"),
    "rates out of order": (
        with_(("vat_rates", 1, "valid_from"), "2008-01-01"),
        "vat_rates/2: does not begin after the rate before it",
    ),
    "no rate yet": (
        with_(("vat_rates", 0, "valid_from"), "2026-01-02"),
        "tariffs, vat_rates: there is gas but no price, or no VAT, on 2026-01-01",
    ),
    "another month": (with_(("period", "to"), "2026-02-02"), "period: should hold at least one"),
    "no zone": (with_(("period", "zone"), "Asia/Aqkol"), "knows no time zone 'Asia/Aqkol'"),
    "a path for a zone": (with_(("period", "zone"), "../etc/passwd"), "should be a time zone"),
    "no instant": (with_(("issued_at",), "2026-02-01T03:00:00"), "should be an instant such as"),
    "no day": (with_(("due_on",), "2026-02-30"), "due_on: there is no day 2026-02-30"),
    "a day far away": (with_(("due_on",), "9999-12-31"), "due_on: 9999-12-31 is too far away"),
    "a week": (with_(("due_on",), "2026-W09-3"), "due_on: should be a day such as 2026-01-01"),
    "a bill that corrects": (with_(("corrects_bill_no",), "2025-12"), "corrects_bill_no: is for"),
    "a correction of nothing": (with_(("kind",), "rebill"), "corrects_bill_no: is for"),
    "a kind": (with_(("kind",), "gift"), "kind: should be one of bill, cancellation, rebill"),
    "a list without end": (with_(("usages",), [1] * 1001), "usages: has more than 1000 items"),
    "no energy": (
        lambda record: record["tariffs"][0].update(
            net_minor_per_1000_m3=None, net_minor_per_gwh=640_490
        ),
        "usages: 'AQ-1' has no energy, its price is per energy",
    ),
}


class TestRecord:
    """A record is refused, with the place, ..."""

    @pytest.mark.parametrize("name", UNUSABLE)
    def test_if_it_cannot_be_meant(self, name: str) -> None:
        """Guessing what was meant would make the answer worthless."""
        change, words = UNUSABLE[name]
        record = everything()
        change(record)

        with pytest.raises(RecordError) as refused:
            answer(record)
        assert words in str(refused.value)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b'{"net_minor": 6198.0}', "6198.0 is not a whole number"),
            (b'{"net_minor": 1e3}', "1e3 is not a whole number"),
            (b'{"net_minor": NaN}', "NaN is not a whole number"),
            (b'{"net_minor": -Infinity}', "-Infinity is not a whole number"),
            (b'{"net_minor": ' + b"9" * 5000 + b"}", "is larger than any that a bill holds"),
            (b'{"net_minor": 9223372036854775808}', "is larger than any that a bill holds"),
            (b'{"net_minor": 1, "net_minor": 2}', "the key 'net_minor' stands twice"),
            (b"[" * 100_000 + b"]" * 100_000, "the file is nested too deeply"),
            (b"\xff", "the file is not UTF-8"),
            (b"", "the file is not JSON"),
            (b"{} {}", "the file is not JSON"),
            (b" " * 4_000_001, "the file is longer than 4000000 bytes"),
        ],
        ids=range(12),
    )
    def test_if_its_file_is_not_strict_json(self, content: bytes, words: str) -> None:
        """Two readers of one file must not see two bills in it."""
        with pytest.raises(RecordError) as refused:
            loads(content)

        assert words in str(refused.value)

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
    def test_if_it_is_anything_else(self, value: object) -> None:
        """Nothing but a record's own error comes out, whatever it is."""
        with pytest.raises(RecordError):
            read(value)

    @given(st.data())
    def test_or_answered_wherever_it_is_broken(self, data: st.DataObject) -> None:
        """Any leaf may be anything: the answer is a verdict or a refusal, never a crash."""
        place, _ = data.draw(st.sampled_from(list(leaves(EVERYTHING))))
        odd = st.none() | st.booleans() | st.integers() | st.text() | st.just([]) | st.just({})
        record = put(everything(), place, data.draw(odd))
        try:
            answer(record)
        except RecordError:
            return
