"""A fleet over a real broker: what it loses, what it says twice, and what it writes down."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from simulators.conductor import CommandError, conduct, parse
from simulators.fleet import Fleet, Pace, connected, run_free
from simulators.io.gateway import Broker as Address
from simulators.io.gateway import Manners, NoBrokerError
from simulators.io.truth import Truth, TruthError, recall
from simulators.scenario import SCENARIOS
from simulators.town import Plan, build
from simulators.wire import Topics
from tests.conftest import Broker, free_port
from tests.simulators.desk import SETTLE_S, Desk, MortalBroker, serving

START = datetime(2025, 12, 31, 19, tzinfo=UTC)  # Local midnight of 1 January 2026.
FAST = Manners(resend_after_s=0.4)


def plan(prefix: str, *, count: int = 6, scenario: str = "ordinary-days", seed: str = "7") -> Plan:
    return Plan(
        seed=seed,
        count=count,
        first_number=1,
        prefix=prefix,
        start=START,
        registers_per_day=1,
        scenario=SCENARIOS[scenario],
    )


@contextlib.asynccontextmanager
async def fleet_of(
    plan: Plan,
    broker: Broker,
    truth: Truth | None = None,
    *,
    manners: Manners = FAST,
    version: int = 5,
    connections: int | None = None,
) -> AsyncIterator[Fleet]:
    truth = truth or Truth(readings=None, receipts=None)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(truth.close)
        fleet = await stack.enter_async_context(
            connected(
                town=build(plan),
                truth=truth,
                broker=Address(host=broker.host, port=broker.port, version=version),
                topics=Topics(),
                manners=manners,
                connections=connections,
                connect_interval_s=0,
            )
        )
        yield fleet


async def run(fleet: Fleet, days: int, patience_s: float = SETTLE_S) -> bool:
    pace = Pace(interval_s=0, limit=None, until=START + timedelta(days=days))
    return await run_free(fleet, pace, patience_s=patience_s)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestFreeFleet:
    """A fleet by itself ..."""

    @pytest.mark.parametrize("version", [4, 5])
    async def test_delivers_every_reading_of_the_truth(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path, version: int
    ) -> None:
        """What the service holds at the end is what the dials showed, no more and no less."""
        desk.truth = tmp_path / "truth.jsonl"
        truth = Truth.fresh(desk.truth)

        async with fleet_of(plan(prefix), mosquitto, truth, version=version) as fleet:
            done = await run(fleet, 10)

        expected = {
            (line["meter"], line["at"]): line["register_dm3"]
            for line in lines_of(tmp_path / "truth.jsonl")
        }
        assert done
        assert len(expected) == 60
        assert desk.readings == expected
        assert desk.untold == []

    async def test_sends_again_until_the_receipt_comes(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """The broker's acknowledgement is not durability: a swallowed answer means say it again."""
        desk.swallow_every = 3

        async with fleet_of(plan(prefix), mosquitto) as fleet:
            done = await run(fleet, 7)

        assert done
        assert len(desk.swallowed) == 18  # Counters 0, 3 and 6 of six meters.
        assert fleet.tally.results == {"stored": 24, "repeated": 18}
        assert desk.conflicts == []

    async def test_keeps_everything_while_nobody_answers(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """A dead service costs no reading; the fleet says how many wait."""
        desk.mute = True

        async with fleet_of(plan(prefix), mosquitto) as fleet:
            done = await run(fleet, 4, patience_s=0.5)
            stores = [meter.store for meter in fleet.town.meters.values()]

            assert not done
            assert fleet.waiting == 24
            assert sum(len(store.waiting) for store in stores) == 24
            desk.mute = False
            assert await fleet.quiet(SETTLE_S)

        assert all(store.waiting == {} for store in stores)

    async def test_counts_a_stammered_receipt_once(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """Two receipts for one telegram are one telegram."""
        desk.stammer = True

        async with fleet_of(plan(prefix), mosquitto) as fleet:
            await run(fleet, 5)

        assert fleet.tally.results == {"stored": 30}

    async def test_remembers_what_was_refused(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """A refused telegram is dropped and named, never sent for ever."""
        desk.refuse = {2: "counter_conflict"}

        async with fleet_of(plan(prefix), mosquitto) as fleet:
            done = await run(fleet, 4)

        assert done
        assert fleet.tally.reasons == {"counter_conflict": 6}
        assert fleet.town.meters[f"{prefix}000001"].store.refused == {2: "counter_conflict"}

    @pytest.mark.parametrize("scenario", ["bad-month", "noisy-air", "stammering-gateway"])
    async def test_has_the_same_registers_in_any_weather_of_the_network(
        self, mosquitto: Broker, desk: Desk, prefix: str, scenario: str
    ) -> None:
        """Late, twice, shuffled and garbled: the service ends with the same readings."""
        town = build(plan(prefix))
        expected = {
            (telegram.meter_id, reading.at.isoformat()): reading.register_dm3
            for telegram, _ in town.days(START + timedelta(days=20))
            for reading in telegram.readings
        }

        async with fleet_of(plan(prefix, scenario=scenario), mosquitto) as fleet:
            done = await run(fleet, 20)

        assert done
        assert desk.readings == expected
        assert desk.conflicts == []
        assert len(desk.heard) > len(desk.stored), "the faults must have happened"
        if scenario != "stammering-gateway":
            assert desk.garbled > 0

    async def test_survives_a_broker_that_restarts(
        self, mortal_broker: MortalBroker, prefix: str
    ) -> None:
        """A restart in the middle of the backlog loses nothing and needs nobody."""
        desk = Desk(prefix=prefix)
        async with (
            serving(desk, mortal_broker.address),
            fleet_of(plan(prefix, count=20), mortal_broker.address, connections=2) as fleet,
        ):
            running = asyncio.create_task(run(fleet, 20))
            for heard in (1, 50, 150):
                await asyncio.wait_for(desk.hears(heard), SETTLE_S)
                await asyncio.to_thread(mortal_broker.stop)
                await asyncio.to_thread(mortal_broker.start)
            done = await running

        assert done
        assert len(desk.stored) == 400
        assert fleet.tally.connects > 2

    async def test_bounds_what_flies(self, mosquitto: Broker, desk: Desk, prefix: str) -> None:
        """Without receipts only a window's worth is ever put on the air."""
        desk.mute = True

        manners = Manners(window=10, resend_after_s=60)
        async with fleet_of(plan(prefix), mosquitto, manners=manners) as fleet:
            await run(fleet, 10, patience_s=0.5)

        assert len(desk.heard) == 10

    async def test_says_when_there_is_no_broker(self, prefix: str) -> None:
        """A wrong port is a plain sentence, not a silence."""
        nowhere = Broker(host="127.0.0.1", port=free_port())

        async with fleet_of(plan(prefix), nowhere) as fleet:
            with pytest.raises(NoBrokerError, match=str(nowhere.port)):
                await fleet.online(0.3)

    async def test_does_not_believe_the_receipts_of_an_earlier_life(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """Receipts are retained; a meter's new telegram 0 is not settled by an old one."""
        async with fleet_of(plan(prefix, count=1), mosquitto) as fleet:
            await run(fleet, 1)
        desk.stored.clear()

        async with fleet_of(plan(prefix, count=1, seed="8"), mosquitto) as fleet:
            done = await run(fleet, 1)

        assert done
        assert len(desk.stored) == 1

    async def test_lives_on_when_receipts_are_nonsense(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """Nobody's noise on the receipt topic may stop a town."""
        down = Topics().down(f"{prefix}000001", 1)
        async with fleet_of(plan(prefix), mosquitto) as fleet:
            await fleet.online(SETTLE_S)
            async with aiomqtt.Client(mosquitto.host, mosquitto.port) as stranger:
                for noise in (b"", b"\xff", b"[1]", b'{"meter":"X","receipts":[]}'):
                    await stranger.publish(down, noise, qos=1)
            done = await run(fleet, 3)

        assert done
        assert len(desk.stored) == 18


class TestKeptFleet:
    """A fleet that is started again with --keep ..."""

    async def test_goes_on_where_it_was_without_a_second_story(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """Killed with telegrams unanswered, it delivers exactly those and then new days."""
        desk.swallow_every = 1
        truth, lived, _ = Truth.kept(tmp_path, None)
        assert lived == {}
        manners = Manners(resend_after_s=60)
        async with fleet_of(plan(prefix), mosquitto, truth, manners=manners) as fleet:
            assert not await run(fleet, 5, patience_s=0.5)
        with (tmp_path / "truth.jsonl").open("a") as torn:
            torn.write('{"meter":"torn')

        truth, lived, answered = Truth.kept(tmp_path, None)
        again = build(plan(prefix))
        again.resume(lived, answered)
        async with connected(
            town=again,
            truth=truth,
            broker=Address(host=mosquitto.host, port=mosquitto.port),
            topics=Topics(),
            manners=FAST,
            connections=None,
            connect_interval_s=0,
        ) as fleet:
            done = await run(fleet, 8)
        truth.close()

        keys = [(line["meter"], line["at"]) for line in lines_of(tmp_path / "truth.jsonl")]
        assert done
        assert desk.conflicts == []
        assert len(keys) == len(set(keys)) == 48
        assert set(desk.readings) == set(keys)

    def test_drops_the_last_telegram_on_file_because_it_may_be_torn(self, tmp_path: Path) -> None:
        """A kill may have left 10 of 24 lines; the meter writes that telegram again, whole."""
        path = tmp_path / "truth.jsonl"
        rows = [
            {"meter": "A", "at": "2026-01-01T00:00:00+05:00", "total_dm3": 1, "counter": 0},
            {"meter": "B", "at": "2026-01-01T00:00:00+05:00", "total_dm3": 2, "counter": 0},
            {"meter": "A", "at": "2026-01-01T01:00:00+05:00", "total_dm3": 3, "counter": 1},
            {"meter": "A", "at": "2026-01-01T02:00:00+05:00", "total_dm3": 4, "counter": 1},
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"meter"')

        lived = recall(path)

        assert {name: step.total_dm3 for name, step in lived.items()} == {"A": 1, "B": 2}
        assert lines_of(path) == rows[:2]

    def test_names_a_broken_line(self, tmp_path: Path) -> None:
        """A file that someone edited is an error with a line number."""
        path = tmp_path / "truth.jsonl"
        path.write_text('{"meter":\n{}\n')

        with pytest.raises(TruthError, match="line 1"):
            recall(path)

    def test_never_writes_over_a_truth(self, tmp_path: Path) -> None:
        """The one thing that may not be lost by starting a fleet twice."""
        path = tmp_path / "truth.jsonl"
        path.write_text("{}\n")

        with pytest.raises(TruthError, match="holds a truth already"):
            Truth.fresh(path)


class TestConductedFleet:
    """A fleet under a conductor ..."""

    async def test_answers_every_line_once(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """The conductor counts on one answer per line, whatever the line."""
        script = [
            {"until": "2026-01-02T00:00:00+05:00"},
            {"silent": [f"{prefix}000002"], "days": 2},
            {"until": "2026-01-03T00:00:00+05:00"},
            {"until": "2026-01-01T00:00:00+05:00"},
            {"silent": ["NOBODY"], "days": 2},
            {"until": "2026-01-04T00:00:00+05:00"},
            {"stop": True},
        ]

        said = await self.conducted(mosquitto, prefix, script)

        quiet = {"stored": 0, "repeated": 0, "refused": 0}
        assert [len(said[0]["meters"]), *said[1:]] == [
            3,
            {"until": "2026-01-02T00:00:00+05:00", "telegrams_sent": 3, "readings_sent": 3,
             "receipts": quiet | {"stored": 3}, "waiting": 0, "held": 0},
            {"silent": 1, "until": "2026-01-04T00:00:00+05:00"},
            {"until": "2026-01-03T00:00:00+05:00", "telegrams_sent": 2, "readings_sent": 2,
             "receipts": quiet | {"stored": 2}, "waiting": 0, "held": 1},
            {"error": "time does not run back"},
            {"error": "no meter NOBODY"},
            {"until": "2026-01-04T00:00:00+05:00", "telegrams_sent": 4, "readings_sent": 4,
             "receipts": quiet | {"stored": 4}, "waiting": 0, "held": 0},
            {"stopped": True, "telegrams_sent": 9, "readings_sent": 9,
             "receipts": quiet | {"stored": 9}, "refused_reasons": {}, "waiting": 0, "held": 0},
        ]  # fmt: skip
        assert len(desk.stored) == 9

    async def test_gives_a_registry_that_fits_the_first_register(
        self, mosquitto: Broker, desk: Desk, prefix: str
    ) -> None:
        """The conductor registers what it is told; gas since the opening is the day's use."""
        said = await self.conducted(mosquitto, prefix, [{"until": "2026-01-02T00:00:00+05:00"}])

        assert set(said[0]["meters"][0]) == {
            "meter_id",
            "dial_dm3",
            "step_dm3",
            "qmax_dm3_h",
            "compensated",
            "opening_dm3",
        }
        for plate in said[0]["meters"]:
            register_dm3 = desk.readings[plate["meter_id"], "2026-01-02T00:00:00+05:00"]
            used_dm3 = (register_dm3 - plate["opening_dm3"]) % plate["dial_dm3"]
            assert 0 < used_dm3 <= 24 * plate["qmax_dm3_h"]

    async def test_writes_the_truth_before_a_telegram_leaves(
        self, mosquitto: Broker, desk: Desk, prefix: str, tmp_path: Path
    ) -> None:
        """Whoever checks us must never meet a telegram that the truth does not know."""
        desk.mute = True
        desk.truth = path = tmp_path / "truth.jsonl"
        script = [{"until": "2026-01-06T00:00:00+05:00"}]

        said = await self.conducted(mosquitto, prefix, script, Truth.fresh(path), patience_s=0.5)

        assert said[1]["waiting"] == 15
        assert len(lines_of(path)) == 15
        assert len(desk.stored) == 15
        assert desk.untold == []

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "[]",
            "{",
            '{"until": 7}',
            '{"until": "2026-01-01"}',
            '{"until": "2026-01-01T00:00:00"}',
            '{"until": "2026-01-01T00:00:00Z", "days": 3}',
            '{"silent": "AQ-000001", "days": 1}',
            '{"silent": [1], "days": 1}',
            '{"silent": [], "days": 0}',
            '{"stop": false}',
        ],
    )
    def test_refuses_a_line_that_makes_no_sense(self, line: str) -> None:
        """A conductor with a slip of the pen must hear about it."""
        with pytest.raises(CommandError):
            parse(line)

    async def conducted(
        self,
        broker: Broker,
        prefix: str,
        script: list[dict[str, Any]],
        truth: Truth | None = None,
        patience_s: float = SETTLE_S,
    ) -> list[dict[str, Any]]:
        """Return what a fleet of three says to a script."""

        async def lines() -> AsyncIterator[str]:
            for line in script:
                yield json.dumps(line)

        said: list[dict[str, Any]] = []
        new_dials = replace(plan(prefix, count=3), scenario=SCENARIOS["new-dials"])
        async with fleet_of(new_dials, broker, truth) as fleet:
            await conduct(fleet, lines(), said.append, patience_s=patience_s)
        return said
