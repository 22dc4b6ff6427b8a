"""A recorded register, sent again: exact litres, named bad rows, nothing without a receipt."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.io.gateway import Broker as Address
from simulators.io.gateway import Manners, NoBrokerError
from simulators.replay import BadRows, Job, ReplayFileError, check_meter_id, replay, rows, succeeded
from simulators.tally import Tally
from tests.conftest import Broker, free_port
from tests.simulators.desk import SETTLE_S, Desk

HEADER = "read_at,register_m3,temperature_c\n"


def file(directory: Path, text: str, *, zipped: bool = False) -> Path:
    path = directory / ("register.csv.gz" if zipped else "register.csv")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


async def replayed(
    broker: Broker, path: Path, meter_id: str, *, size: int = 200, patience_s: float = SETTLE_S
) -> dict[str, Any]:
    return await replay(
        Job(path=path, meter_id=meter_id, first_counter=7, readings_per_telegram=size),
        broker=Address(host=broker.host, port=broker.port),
        manners=Manners(resend_after_s=0.4),
        tally=Tally(),
        patience_s=patience_s,
    )


class TestRows:
    """The rows of a file ..."""

    @pytest.mark.parametrize("zipped", [False, True])
    def test_become_whole_litres(self, tmp_path: Path, zipped: bool) -> None:  # noqa: FBT001
        """Decimal to dm3 by hand: 0.1 m3 is 100 l; no float may come near a bill."""
        text = HEADER + (
            "2020-04-01T02:00:00+00:00,0.000,5.1\n"
            "2020-04-01T03:00:00Z,0.1,5.1\n"
            "2020-04-01T09:00:00+05:00,1234567.891000,5.1\n"
        )

        readings = list(rows(file(tmp_path, text, zipped=zipped), BadRows()))

        assert [reading.register_dm3 for reading in readings] == [0, 100, 1_234_567_891]
        assert readings[2].at.isoformat() == "2020-04-01T09:00:00+05:00"

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ("2020-04-01T02:00:00,1.0", "naive_time"),
            ("yesterday,1.0", "bad_time"),
            ("1999-12-31T02:00:00Z,1.0", "time_out_of_range"),
            ("2020-04-01T02:00:00Z,", "missing_value"),
            ("2020-04-01T02:00:00Z", "missing_value"),
            ("2020-04-01T02:00:00Z,-1.0", "bad_register"),
            ("2020-04-01T02:00:00Z,NaN", "bad_register"),
            ("2020-04-01T02:00:00Z,1e9", "bad_register"),
            ("2020-04-01T02:00:00Z,1_000", "bad_register"),
            ("2020-04-01T02:00:00Z,\u0661\u0662", "bad_register"),
            ("2020-04-01T02:00:00Z,1.0005", "finer_than_a_litre"),
            ("2020-04-01T02:00:00Z,9999999999999", "register_too_large"),
        ],
    )
    def test_are_named_when_they_are_no_readings(
        self, tmp_path: Path, row: str, reason: str
    ) -> None:
        """A bad row is told by its line and one word; the rows around it go out."""
        text = "read_at,register_m3\n2020-04-01T01:00:00Z,1\n" + row + "\n2020-04-01T03:00:00Z,2\n"
        bad = BadRows()

        readings = list(rows(file(tmp_path, text), bad))

        assert [reading.register_dm3 for reading in readings] == [1000, 2000]
        assert bad.first == [{"line": 3, "reason": reason}]

    @given(litres=st.integers(0, 10**15))
    def test_lose_no_litre(self, tmp_path_factory: pytest.TempPathFactory, litres: int) -> None:
        """Any register the wire can carry survives its way through decimal text."""
        text = f"{HEADER}2020-04-01T01:00:00Z,{litres // 1000}.{litres % 1000:03d},0\n"

        (reading,) = rows(file(tmp_path_factory.mktemp("litres"), text), BadRows())

        assert reading.register_dm3 == litres

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no column read_at"),
            (b"read_at,register\n", "no column register_m3"),
            (b"\x1f\x8b\x08\x00broken", "cannot be read"),
        ],
    )
    def test_need_a_file_that_can_be_read(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        """A file that is no register is one plain sentence."""
        path = tmp_path / "register.csv"
        path.write_bytes(content)

        with pytest.raises(ReplayFileError, match=message):
            list(rows(path, BadRows()))

    def test_need_a_meter_that_the_wire_knows(self) -> None:
        """A name that the topic has no place for is refused before anything is sent."""
        with pytest.raises(ValueError, match="not a meter"):
            check_meter_id("a/b")


class TestReplay:
    """A replay ..."""

    async def test_puts_every_row_into_the_service(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """500 rows in telegrams of 30 are 17 telegrams, counted from the first counter on."""
        lines = [
            f"2020-04-{1 + n // 24:02d}T{n % 24:02d}:00:00+00:00,{n}.{n % 1000:03d}"
            for n in range(500)
        ]
        path = file(tmp_path, "read_at,register_m3\n" + "\n".join(lines) + "\n", zipped=True)
        desk.swallow_every = 5

        summary = await replayed(mosquitto, path, f"{prefix}1", size=30)

        assert succeeded(summary)
        assert (summary["rows"], summary["telegrams"]) == (500, 17)
        assert summary["stored"] + summary["repeated"] == 17
        assert {counter for _, counter in desk.stored} == set(range(7, 24))
        assert desk.readings[f"{prefix}1", "2020-04-21T19:00:00+00:00"] == 499_499
        assert len(desk.readings) == 500

    async def test_may_be_repeated(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """The same file again is the same telegrams: repeated, and a success."""
        path = file(tmp_path, HEADER + "2020-04-01T02:00:00Z,1.5,0\n")

        first = await replayed(mosquitto, path, f"{prefix}1")
        second = await replayed(mosquitto, path, f"{prefix}1")

        assert (first["stored"], second["repeated"]) == (1, 1)
        assert succeeded(second)
        assert desk.conflicts == []

    async def test_fails_when_something_is_refused(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """An operator must not read success over a refused telegram."""
        desk.refuse = {7: "not_installed"}
        path = file(tmp_path, HEADER + "2020-04-01T02:00:00Z,1.5,0\n")

        summary = await replayed(mosquitto, path, f"{prefix}1")

        assert not succeeded(summary)
        assert summary["refused_counters"] == {7: "not_installed"}

    async def test_fails_when_nobody_answers(
        self, mosquitto: Broker, prefix: str, tmp_path: Path
    ) -> None:
        """Without receipts nothing is sure, whatever the broker acknowledged."""
        path = file(tmp_path, HEADER + "2020-04-01T02:00:00Z,1.5,0\n")

        summary = await replayed(mosquitto, path, f"{prefix}1", patience_s=0.5)

        assert not succeeded(summary)
        assert summary["waiting"] == 1

    async def test_fails_when_a_row_was_bad(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """Half a file in the service is not the file in the service."""
        path = file(tmp_path, HEADER + "2020-04-01T02:00:00Z,1.5,0\nx,1,0\n")

        summary = await replayed(mosquitto, path, f"{prefix}1")

        assert not succeeded(summary)
        assert (summary["rows"], summary["stored"], summary["bad_rows"]) == (2, 1, 1)
        assert len(desk.stored) == 1

    async def test_says_when_there_is_no_broker(self, tmp_path: Path) -> None:
        """A wrong port is a plain sentence, not a silence."""
        path = file(tmp_path, HEADER)
        nowhere = Broker(host="127.0.0.1", port=free_port())

        with pytest.raises(NoBrokerError):
            await replayed(nowhere, path, "A", patience_s=0.3)
