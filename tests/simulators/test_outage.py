"""The long outage: what a meter keeps, how it packs it, and how a town catches up."""

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.backlog import REGISTERS_KEPT_MAX, Log, Outage, Packing, catch_up, endure
from simulators.fleet import Fleet, Pace, connected, run_free
from simulators.io.gateway import Broker as Address
from simulators.io.gateway import Manners
from simulators.io.truth import Truth
from simulators.meter import Reading
from simulators.recover import recover
from simulators.scenario import SCENARIOS
from simulators.signed import UP_TEMPLATE
from simulators.town import Plan, build
from simulators.wire import Topics
from tests.conftest import Broker
from tests.simulators.desk import SETTLE_S, Desk, SignedDesk, serving
from tests.simulators.test_cli import finished

START = datetime(2025, 12, 31, 19, tzinfo=UTC)  # Local midnight of 1 January 2026.
SERVER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SERVER_KEY = SERVER.public_key().public_bytes_raw()


def plan(prefix: str = "AQ-", *, count: int = 6, signs: bool = True) -> Plan:
    return Plan(
        seed="7",
        count=count,
        first_number=1,
        prefix=prefix,
        start=START,
        registers_per_day=1,
        scenario=SCENARIOS["ordinary-days"],
        first_counter=1,
        server_key=SERVER_KEY if signs else None,
    )


@contextlib.asynccontextmanager
async def fleet_of(
    plan: Plan, broker: Broker, truth: Truth, manners: Manners | None = None
) -> AsyncIterator[Fleet]:
    signs = plan.server_key is not None
    async with connected(
        town=build(plan),
        truth=truth,
        broker=Address(host=broker.host, port=broker.port),
        topics=Topics(template=UP_TEMPLATE) if signs else Topics(),
        manners=manners or Manners(resend_after_s=0.4),
        connections=2,
        connect_interval_s=0,
    ) as fleet:
        yield fleet


def desk_for(plan: Plan) -> SignedDesk:
    town = build(plan)
    return SignedDesk(
        prefix=plan.prefix, keys={name: plan.identity(name).public for name in town.meters}
    )


def truth_of(path: Path) -> dict[tuple[str, str], int]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    registers = {(line["meter"], line["at"]): line["register_dm3"] for line in lines}
    assert len(registers) == len(lines), "a register stands in the truth once"
    return registers


def logged(hours: int) -> list[Reading]:
    return [
        Reading(
            at=START + timedelta(hours=hour),
            claimed_at=START + timedelta(hours=hour),
            register_dm3=hour,
            total_dm3=hour,
        )
        for hour in range(hours)
    ]


def packed(packing: Packing, hours: int) -> list[list[int]]:
    return [[one.register_dm3 for one in part] for part in packing.pack(logged(hours))]


class TestPacking:
    """A log that is packed to be sent ..."""

    def test_leaves_newest_first_when_live_goes_first(self) -> None:
        """The register of now is worth most: it leaves alone, before three days of history."""
        assert packed(Packing(registers=3), 8) == [[7], [4, 5, 6], [1, 2, 3], [0]]

    def test_leaves_oldest_first_when_it_is_told_so(self) -> None:
        """Some makers send in the order of time."""
        packing = Packing(registers=3, live_first=False)

        assert packed(packing, 8) == [[0, 1, 2], [3, 4, 5], [6, 7]]

    @pytest.mark.parametrize("live_first", [True, False])
    @pytest.mark.parametrize("hours", [0, 1, 2, 3, 4, 7, 72])
    def test_holds_every_register_once(self, hours: int, live_first: bool) -> None:  # noqa: FBT001
        """A register between two telegrams would be gas nobody measured."""
        parts = packed(Packing(registers=3, live_first=live_first), hours)

        assert sorted(one for part in parts for one in part) == list(range(hours))
        assert all(part for part in parts)


class TestLog:
    """A log that is full ..."""

    def test_counts_what_it_gives_up(self) -> None:
        """A hundred days fit; two hours more cost the two oldest, and the meter says so."""
        log = Log()
        for reading in logged(REGISTERS_KEPT_MAX + 2):
            log.add(reading)

        assert REGISTERS_KEPT_MAX >= 90 * 24
        assert log.overwritten == 2
        assert log.readings[0].register_dm3 == 2
        assert len(log.readings) == REGISTERS_KEPT_MAX

    @pytest.mark.parametrize(
        "what",
        [{"hours": 0}, {"live_hours": 0}, {"hours": 500, "packing": Packing(registers=1)}],
    )
    def test_refuses_an_outage_that_no_meter_could_live_through(self, what: dict) -> None:
        """Telegrams in flight have their own, smaller memory."""
        with pytest.raises(ValueError, match=r"hour|telegrams"):
            Outage(**what)


class TestCatchUp:
    """A town that catches up ..."""

    def test_lets_everybody_take_turns(self) -> None:
        """Wherever it is interrupted, no meter is more than one telegram ahead of another."""
        town = build(plan(count=5))
        telegrams = catch_up(town, endure(town, 72), Packing(registers=10))

        sent = dict.fromkeys(town.meters, 0)
        for telegram in telegrams:
            sent[telegram.meter_id] += 1
            assert max(sent.values()) - min(sent.values()) <= 1
        assert set(sent.values()) == {9}  # One of now, and 71 registers in tens.

    def test_numbers_and_chains_the_telegrams_in_the_order_they_leave(self) -> None:
        """The service sees a gap at once when one of them is deleted on the way."""
        town = build(plan(count=1))

        telegrams = catch_up(town, endure(town, 72), Packing(registers=24))

        assert [telegram.counter for telegram in telegrams] == [1, 2, 3, 4]
        for before, after in pairwise(telegrams):
            body = cbor2.loads(cbor2.loads(after.payload).value[2])
            assert body[9] == hashlib.sha256(before.payload).digest()[:16]


class TestLongOutage:
    """Three days without a network ..."""

    @pytest.mark.parametrize("live_first", [True, False])
    @pytest.mark.parametrize("signs", [True, False])
    async def test_cost_no_register(
        self, mosquitto: Broker, prefix: str, tmp_path: Path, *, signs: bool, live_first: bool
    ) -> None:
        """The service ends with what the dials showed, live hours included, each once."""
        ours = plan(prefix, signs=signs)
        path = tmp_path / "truth.jsonl"
        desk = desk_for(ours) if signs else Desk(prefix=prefix)
        desk.swallow_every = 3
        outage = Outage(live_hours=4, packing=Packing(registers=10, live_first=live_first))
        truth = Truth.fresh(path)
        async with serving(desk, mosquitto), fleet_of(ours, mosquitto, truth) as fleet:
            report = await recover(fleet, outage, patience_s=SETTLE_S)
        truth.close()

        expected = truth_of(path)
        assert report["done"]
        assert len(expected) == 6 * (72 + 4)
        assert desk.readings == expected
        assert desk.conflicts == []
        assert report["overwritten"] == 0
        assert (report["backlog_registers"], report["backlog_telegrams"]) == (
            6 * 72, 6 * (9 if live_first else 8),
        )  # fmt: skip
        assert all(not meter.store.waiting for meter in fleet.town.meters.values())

    async def test_are_timed_apart_from_the_hours_beside_and_after_them(
        self, mosquitto: Broker, prefix: str, tmp_path: Path
    ) -> None:
        """Whether live telegrams wait for a backlog shows only beside hours without one."""
        truth = Truth.fresh(tmp_path / "truth.jsonl")
        outage = Outage(hours=5, live_hours=2, calm_hours=3, packing=Packing(registers=4))
        async with (
            serving(desk_for(plan(prefix)), mosquitto),
            fleet_of(plan(prefix), mosquitto, truth) as fleet,
        ):
            report = await recover(fleet, outage, patience_s=SETTLE_S)
        truth.close()

        assert report["done"]
        assert [report[name]["receipts"] for name in ("owed", "live", "calm")] == [
            6 * 2, 6 * 2, 6 * 3,
        ]  # fmt: skip
        assert fleet.tally.latency_ms()["p99"] == max(
            report[name]["p99_ms"] for name in ("owed", "live", "calm")
        )
        assert report["registers_per_s"] == pytest.approx(30 / report["drain_seconds"], rel=0.02)
        assert len(truth_of(tmp_path / "truth.jsonl")) == 6 * (5 + 2 + 3)

    async def test_tell_the_same_truth_at_any_speed(
        self, mosquitto: Broker, prefix: str, tmp_path: Path
    ) -> None:
        """A narrow window or a wide one: the seed alone says what was measured."""
        ours = plan(prefix, count=3)
        truths: list[bytes] = []
        for number, manners in enumerate((Manners(window=2), Manners(window=500))):
            path = tmp_path / f"{number}.jsonl"
            truth = Truth.fresh(path)
            async with (
                serving(desk_for(ours), mosquitto),
                fleet_of(ours, mosquitto, truth, manners) as fleet,
            ):
                assert (await recover(fleet, Outage(), patience_s=SETTLE_S))["done"]
            truth.close()
            truths.append(path.read_bytes())

        assert truths[0] == truths[1]

    async def test_end_with_everything_kept_when_nobody_answers(
        self, mosquitto: Broker, prefix: str
    ) -> None:
        """A dead service after a dead network costs nothing but patience."""
        ours = plan(prefix, count=2)
        desk = desk_for(ours)
        desk.mute = True
        async with (
            serving(desk, mosquitto),
            fleet_of(ours, mosquitto, Truth.fresh(None)) as fleet,
        ):
            report = await recover(fleet, Outage(live_hours=1), patience_s=0.4)
            waiting = [len(meter.store.waiting) for meter in fleet.town.meters.values()]

        assert not report["done"]
        assert waiting == [5, 5]  # One of now, 71 registers in three, and one live.


class TestSignedFleet:
    """A fleet whose meters sign ..."""

    async def test_delivers_every_reading_of_the_truth(
        self, mosquitto: Broker, prefix: str, tmp_path: Path
    ) -> None:
        """Damaged, doubled and swallowed: what the service has is what the dials showed."""
        ours = replace(plan(prefix), scenario=SCENARIOS["bad-month"])
        desk = desk_for(ours)
        desk.swallow_every = 3
        truth = Truth.fresh(tmp_path / "truth.jsonl")
        async with serving(desk, mosquitto), fleet_of(ours, mosquitto, truth) as fleet:
            pace = Pace(interval_s=0, limit=None, until=START + timedelta(days=20))
            done = await run_free(fleet, pace, patience_s=SETTLE_S)
        truth.close()

        assert done
        assert desk.readings == truth_of(tmp_path / "truth.jsonl")
        assert len(desk.readings) == 120
        assert desk.garbled > 0
        assert desk.conflicts == []

    async def test_believes_nobody_else(self, mosquitto: Broker, prefix: str) -> None:
        """A stranger who answers on the right topic frees no meter's memory."""
        ours = plan(prefix)
        desk = desk_for(ours)
        desk.secret = Ed25519PrivateKey.from_private_bytes(bytes(32))
        async with (
            serving(desk, mosquitto),
            fleet_of(ours, mosquitto, Truth.fresh(None)) as fleet,
        ):
            pace = Pace(interval_s=0, limit=None, until=START + timedelta(days=2))
            done = await run_free(fleet, pace, patience_s=0.5)
            waiting = fleet.waiting

        assert not done
        assert waiting == 12
        assert fleet.tally.unreadable > 0

    async def test_runs_as_a_program_with_its_keys_and_its_truth(
        self, mosquitto: Broker, prefix: str, tmp_path: Path
    ) -> None:
        """First the keys, to register them; then the outage, with a truth to compare with."""
        keys, path = tmp_path / "keys.json", tmp_path / "truth.jsonl"
        words = ("fleet", "-h", mosquitto.host, "-p", mosquitto.port, "--prefix", prefix,
                 "--seed", 7, "-c", 4, "--signed")  # fmt: skip
        shown, _, _ = await finished(*words, "--keys-out", keys)
        entries = json.loads(keys.read_text())["meters"]
        desk = SignedDesk(
            prefix=prefix,
            keys={one["meter_id"]: bytes.fromhex(one["public_key"]) for one in entries},
        )
        async with serving(desk, mosquitto):
            code, out, _ = await finished(
                *words, "--server-key", SERVER_KEY.hex(), "--outage", 72, "--live-hours", 2,
                "--truth", path, "--json",
            )  # fmt: skip

        report = json.loads(out)
        assert (shown, code) == (0, 0)
        assert [one["key_epoch"] for one in entries] == [1] * 4
        assert report["receipts"]["stored"] == 4 * (4 + 2)
        assert report["waiting"] == 0
        assert desk.readings == truth_of(path)
        assert len(desk.readings) == 4 * 74

    @pytest.mark.parametrize(
        "words",
        [("--signed",), ("--server-key", "00" * 32), ("--signed", "--server-key", "00"),
         ("--signed", "--server-key", "xx"), ("--outage", "1", "--conducted"),
         ("--signed", "--server-key", "00" * 32, "-t", "gas/v1/%b/%c/up/json")],
    )  # fmt: skip
    async def test_refuses_options_that_make_no_sense(self, words: tuple[str, ...]) -> None:
        """A fleet that could never believe an answer must not begin."""
        code, _, err = await finished("fleet", *words)

        assert code == 2
        assert "error" in err
