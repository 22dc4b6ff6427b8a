"""A British display that says energy first and volume, if at all, beside it."""

import pytest

from metering.adapters.glow import read
from metering.telegram import RefusalReason
from tests.metering.adapters.published import mapping, message, refused, registers, utc

TOPIC = "glow/4C11AEADF118/SENSOR/gasmeter"
# Both as published by owners: newer firmware with a volume, older with energy only.
NEW = (
    b'{"gasmeter": {"timestamp": "2023-01-07T23:24:10Z", "energy": {"import": {"cumulative": '
    b'7063.546, "day": 49.464, "week": 290.707, "month": 344.933, "units": "kWh", "cumulativevol": '
    b'629.514, "cumulativevolunits": "m3", "dayvol": 49.464, "weekvol": 290.707, "monthvol": '
    b'344.933, "dayweekmonthvolunits": "kWh", "mprn": "2188127003", "supplier": "---", "price": '
    b'{"unitrate": 0.1024, "standingcharge": 0.2684}}}}}'
)
OLD = (
    b'{"gasmeter":{"timestamp":"2022-06-11T20:53:52Z","energy":{"import":{"cumulative":17940.852,'
    b'"day":11.128,"week":104.749,"month":217.122,"units":"kWh","mprn":"1234",'
    b'"price":{"unitrate":0.07320,"standingcharge":0.17850}}}}}'
)
POWER = (
    b'{"electricitymeter": {"timestamp": "2023-01-07T23:24:14Z", "energy": {"import": {"cumulative"'
    b': 4562.327, "units": "kWh", "mpan": "2188127003"}}}}'
)
STATE = b'{"software": "v1.8.13", "timestamp": "2023-01-07T23:24:15Z", "smetsversion": "SMETS2"}'


class TestGasMeter:
    """A gas meter with a volume is a register."""

    @pytest.mark.parametrize("device", ["2188127003", ""])
    def test_is_its_volume_and_not_its_energy(self, device: str) -> None:
        """629.514 m3 are 7063.546 kWh; read as m3 the home would pay elevenfold."""
        came = message(NEW, topic=TOPIC, retained=True)

        assert registers(read, mapping(device=device), came) == [
            (utc(2023, 1, 7, 23, 24, 10), 629_514)
        ]

    def test_with_energy_only_is_refused(self) -> None:
        """Energy is no register without the calorific value it was made with."""
        assert refused(read, mapping(device="1234"), message(OLD, topic=TOPIC)) == (
            RefusalReason.BAD_SHAPE,
            "energy and no volume",
        )

    def test_whose_only_number_is_a_volume_is_read(self) -> None:
        """The unit is read, not assumed."""
        came = message(OLD.replace(b"kWh", b"m3"), topic=TOPIC)

        assert registers(read, mapping(device="1234"), came)[0][1] == 17_940_852

    @pytest.mark.parametrize("device", ["1234", "218812700"])
    def test_of_another_home_is_not_ours(self, device: str) -> None:
        """One topic may carry many displays."""
        assert read(message(NEW, topic=TOPIC), mapping(device=device)) is None

    def test_that_has_not_met_its_meter_is_not_ours(self) -> None:
        """A display says so after it was switched on."""
        pending = NEW.replace(b"2188127003", b"read pending")

        assert read(message(pending, topic=TOPIC), mapping(device="2188127003")) is None

    @pytest.mark.parametrize(
        ("good", "bad"),
        [
            (b'"cumulativevolunits": "m3"', b'"cumulativevolunits": "kWh"'),
            (b'"cumulativevolunits": "m3"', b'"cumulativevolunits": "ft3"'),
            (b'"cumulativevolunits": "m3", ', b""),
            (b'"cumulativevol": 629.514', b'"cumulativevol": null'),
            (b'"cumulativevol": 629.514', b'"cumulativevol": -1'),
            (b'"timestamp": "2023-01-07T23:24:10Z"', b'"timestamp": "2023-01-07T23:24:10"'),
            (b'"timestamp": "2023-01-07T23:24:10Z", ', b""),
            (b'"mprn": "2188127003", ', b""),
            (b'"energy"', b'"power"'),
            (b'"import"', b'"export"'),
        ],
    )
    def test_of_another_shape_is_refused(self, good: bytes, bad: bytes) -> None:
        """Each field that a register needs, wrong or missing in turn."""
        came = message(NEW.replace(good, bad), topic=TOPIC)

        assert refused(read, mapping(device="2188127003"), came)[0] is RefusalReason.BAD_SHAPE

    @pytest.mark.parametrize("payload", [POWER, STATE])
    def test_is_all_that_is_read(self, payload: bytes) -> None:
        """The electricity meter and the display itself say nothing of gas."""
        assert read(message(payload, topic="glow/x"), mapping(device="2188127003")) is None
