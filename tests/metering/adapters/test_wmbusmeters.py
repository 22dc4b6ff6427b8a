"""Wireless M-Bus telegrams as wmbusmeters publishes them."""

from typing import Any

import pytest

from metering.adapter import adapt
from metering.adapters.wmbusmeters import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import (
    NOW_SECOND,
    flags,
    mapping,
    message,
    refused,
    registers,
    utc,
)

AMSTERDAM = "Europe/Amsterdam"
# wmbusmeters/wmbusmeters, the tests of its drivers; 1111-11-11 is what its tests put for now.
UNISMART = {
    "_": "telegram",
    "media": "gas",
    "meter": "unismart",
    "name": "GasMeter",
    "id": "00043094",
    "total_m3": 917,
    "total_datetime": "2021-09-15 13:18",
    "target_m3": 911.32,
    "target_datetime": "2021-09-01 06:00",
    "meter_datetime": "2021-09-15 13:18",
    "status": "STATUS_FLAGS_CF0",
    "timestamp": "1111-11-11T11:11:11Z",
}
AERIUS = {
    "media": "gas",
    "meter": "aerius",
    "name": "aerius_gas",
    "id": "99657098",
    "total_m3": 6842.784,
    "flow_m3h": 0,
    "temperature_c": 15.9,
    "target_datetime": "2022-12-31 23:59",
    "target_m3": 6260.324,
    "timestamp": "2023-03-01T12:00:00Z",
}
ELSTER = {
    "media": "gas",
    "meter": "elster",
    "id": "05105025",
    "actuality_duration_s": 742,
    "total_m3": 3223.47,
    "timestamp": "2023-03-01T12:00:00Z",
}
GWFGAS = {
    "media": "gas",
    "meter": "gwfgas",
    "id": "23115250",
    "total_m3": 101.886,
    "target_date": "1999-11-30",
    "target_m3": 0,
    "status": "OK",
    "timestamp": "2023-03-01T12:00:00Z",
}


class TestTelegram:
    """A register, and often one at a billing date beside it."""

    def test_of_a_meter_with_a_clock_is_local(self) -> None:
        """Both times are two hours ahead of UTC in summer."""
        source = mapping(device="00043094", zone=AMSTERDAM)

        assert registers(read, source, message(UNISMART)) == [
            (utc(2021, 9, 1, 4), 911_320),
            (utc(2021, 9, 15, 11, 18), 917_000),
        ]

    def test_of_older_versions_is_read_alike(self) -> None:
        """They write total_date_time and target_date_time."""
        said: dict[str, Any] = UNISMART.copy()
        said["total_date_time"] = said.pop("total_datetime")
        said["target_date_time"] = said.pop("target_datetime")
        del said["meter_datetime"]
        source = mapping(device="00043094", zone="Etc/GMT-1")

        assert registers(read, source, message(said)) == [
            (utc(2021, 9, 1, 5), 911_320),
            (utc(2021, 9, 15, 12, 18), 917_000),
        ]

    def test_without_one_is_read_at_its_receipt(self) -> None:
        """Fractions are exact, and the target keeps its own time."""
        assert registers(read, mapping(device="99657098"), message(AERIUS)) == [
            (utc(2022, 12, 31, 23, 59), 6_260_324),
            (utc(2023, 3, 1, 12), 6_842_784),
        ]

    @pytest.mark.parametrize(
        ("age", "read_at"),
        [
            ({}, utc(2023, 3, 1, 11, 47, 38)),
            ({"actuality_duration_s": 0}, utc(2023, 3, 1, 12)),
            ({"actuality_duration_s": None}, utc(2023, 3, 1, 12)),
            ({"actuality_duration_s": 0, "actuality_duration_h": 5}, utc(2023, 3, 1, 7)),
        ],
    )
    def test_may_be_older_than_its_receipt(self, age: dict[str, int], read_at: object) -> None:
        """742 seconds are twelve minutes and 22."""
        said = ELSTER | age

        assert registers(read, mapping(device="05105025"), message(said)) == [(read_at, 3_223_470)]

    def test_without_any_time_is_read_when_it_came(self) -> None:
        """Less its age; and then a retained one means nothing."""
        said = ELSTER | {"timestamp": "1111-11-11T11:11:11Z", "actuality_duration_s": 5}
        source = mapping(device="05105025")

        assert registers(read, source, message(said)) == [(NOW_SECOND.replace(second=0), 3_223_470)]
        assert "retained" in refused(read, source, message(said, retained=True))[1]
        assert len(registers(read, source, message(ELSTER, retained=True))) == 1

    @pytest.mark.parametrize(
        "more",
        [
            {"total_m3": None}, {"total_m3": "x"}, {"total_m3": -1}, {"total_m3": True},
            {"timestamp": 7}, {"timestamp": "2023-03-01 12:00"}, {"actuality_duration_s": -1},
            {"actuality_duration_s": 2**24 + 1}, {"actuality_duration_h": 2**24},
            {"meter_datetime": "2023-02-30 12:00"}, {"status": 7},
        ],
    )  # fmt: skip
    def test_of_another_shape_is_refused(self, more: dict[str, object]) -> None:
        """Energy alone is no register either."""
        said = ELSTER | more

        assert refused(read, mapping(device="05105025"), message(said))[0] is (
            RefusalReason.BAD_SHAPE
        )


class TestTarget:
    """The register at the billing date."""

    @pytest.mark.parametrize("date", ["1999-11-30", "2127-15-31", "2022-02-30", "", None, 7])
    def test_whose_date_was_never_set_is_left_out(self, date: object) -> None:
        """It would put a zero at the beginning of time."""
        said = GWFGAS | {"target_date": date}

        assert registers(read, mapping(device="23115250"), message(said)) == [
            (utc(2023, 3, 1, 12), 101_886)
        ]

    def test_with_a_day_alone_is_the_end_of_it(self) -> None:
        """As those with a time say."""
        said = GWFGAS | {"target_date": "2023-02-28", "target_m3": 99.5}

        assert registers(read, mapping(device="23115250", zone=AMSTERDAM), message(said)) == [
            (utc(2023, 2, 28, 22, 59), 99_500),
            (utc(2023, 3, 1, 12), 101_886),
        ]

    @pytest.mark.parametrize("date", ["2023-03-01", "2023-12-31"])
    def test_that_is_not_over_yet_is_left_out(self, date: str) -> None:
        """The next date may stand there with the last register."""
        said = GWFGAS | {"target_date": date}

        assert len(registers(read, mapping(device="23115250"), message(said))) == 1


class TestOthers:
    """A receiver hears the whole house."""

    @pytest.mark.parametrize("device", ["43094", "00043095", "", "0004309"])
    def test_are_not_ours(self, device: str) -> None:
        """Zeros in front are part of an id."""
        assert adapt(mapping(device=device), message(UNISMART), read) is None

    @pytest.mark.parametrize("media", ["water", "heat", "electricity", "unknown", "", 7, None])
    def test_of_another_medium_are_refused(self, media: object) -> None:
        """The number of a water meter in a mapping is a mistake somebody must see."""
        came = message(ELSTER | {"media": media})

        assert refused(read, mapping(device="05105025"), came)[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize(
        "driver", ["apator08", "multical21", "kamheat", "newwaterthing", "qcaloric", None]
    )
    def test_that_only_say_gas_are_refused(self, driver: object) -> None:
        """A water meter has been published with the medium gas."""
        came = message(ELSTER | {"meter": driver})

        assert refused(read, mapping(device="05105025"), came)[0] is RefusalReason.BAD_SHAPE

    def test_are_what_is_no_telegram(self) -> None:
        """Alarms and surveys come on the same topic."""
        came = message(UNISMART | {"_": "alarm"})

        assert adapt(mapping(device="00043094"), came, read) is None


class TestStatus:
    """What a meter says of itself."""

    @pytest.mark.parametrize(
        ("status", "told"),
        [
            ("OK", ()),
            ("", ()),
            (None, ()),
            ("POWER_LOW", ("battery_low",)),
            ("POWER_LOW PERMANENT_ERROR", ("battery_low", "permanent_error")),
            ("STATUS_FLAGS_CF0", ("meter_status",)),
            ("TEMPORARY_ERROR A B", ("meter_status", "temporary_error")),
            ("ALARM", ("alarm",)),
        ],
    )
    def test_is_a_flag_of_our_own(self, status: str | None, told: tuple[str, ...]) -> None:
        """The words of hundreds of drivers would not fit a column."""
        came = message(ELSTER | {"status": status})

        assert flags(read, mapping(device="05105025"), came) == told
