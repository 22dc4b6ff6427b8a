"""A meter: its dial, its telegrams, and what it takes to make it forget one."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.faults import Air, garble
from simulators.household import luck
from simulators.meter import TELEGRAMS_KEPT_MAX, Reading, Store, StoreFullError, Telegram
from simulators.scenario import SCENARIOS
from simulators.town import Plan, PlanMismatchError, Town, build
from simulators.wire import Receipt, ReceiptError, Topics, decode_receipts, encode

START = datetime(2025, 12, 31, 19, tzinfo=UTC)  # Local midnight of 1 January 2026.
PLAN = Plan(
    seed="7",
    count=20,
    first_number=1,
    prefix="AQ-",
    start=START,
    registers_per_day=24,
    scenario=SCENARIOS["ordinary-days"],
)


def live(town: Town, days: int) -> Iterator[Telegram]:
    for telegram, _ in town.days(town.plan.start + timedelta(days=days)):
        yield telegram


def receipt(counter: int, result: str = "stored", reason: str | None = None) -> Receipt:
    return Receipt(counter=counter, result=result, reason=reason)


def one_telegram(counter: int = 5, dm3: int = 1234) -> tuple[Store, Telegram]:
    store = Store(meter_id="AQ-000001", number=1, next_counter=counter)
    reading = Reading(at=START, claimed_at=START, register_dm3=dm3, total_dm3=dm3)
    return store, store.write([reading])


class TestWire:
    """The wire, written from the protocol page alone, ..."""

    def test_carries_the_telegram_of_the_page(self) -> None:
        """Every field and its type as the page has them; worked out by hand."""
        payload = encode(
            meter_id="AQ-000123",
            counter=42,
            registers=[(datetime.fromisoformat("2026-11-01T00:00:00+05:00"), 1234567)],
        )

        assert json.loads(payload) == {
            "meter": "AQ-000123",
            "counter": 42,
            "readings": [{"at": "2026-11-01T00:00:00+05:00", "dm3": 1234567}],
            "flags": [],
        }

    def test_puts_a_meter_on_its_own_branch(self) -> None:
        """crc32("123456789") is 0xCBF43926 by its definition; modulo 64 that is 38."""
        topics = Topics()

        assert topics.up("123456789", 1) == "gas/v1/38/123456789/up/json"
        assert topics.down("123456789", 1) == "gas/v1/38/123456789/down/receipt"

    def test_refuses_a_template_without_a_way_back(self) -> None:
        """A meter that cannot hear receipts would keep everything for ever."""
        with pytest.raises(ValueError, match="template"):
            Topics(template="gas/%c")

    @given(st.binary(max_size=200))
    def test_survives_any_receipt(self, payload: bytes) -> None:
        """Noise from the service's side must not stop a town of meters."""
        with pytest.raises(ReceiptError):
            decode_receipts(payload)

    @pytest.mark.parametrize(
        "entry",
        [
            {"counter": True, "result": "stored"},
            {"counter": -1, "result": "stored"},
            {"counter": 1, "result": "lost"},
            {"counter": 1, "result": ["stored"]},
            {"counter": 1, "result": "refused", "reason": 7},
            "stored",
        ],
    )
    def test_believes_no_crooked_entry(self, entry: object) -> None:
        """`true` equals 1 in Python; it must not settle telegram 1."""
        payload = json.dumps({"meter": "A", "receipts": [entry]}).encode()

        with pytest.raises(ReceiptError):
            decode_receipts(payload)


class TestStore:
    """What a meter keeps ..."""

    @pytest.mark.parametrize("result", ["stored", "repeated", "refused"])
    def test_goes_only_with_its_own_receipt(self, result: str) -> None:
        """A telegram dropped without a receipt is gas that nobody can bill."""
        store, telegram = one_telegram(counter=5)
        telegram.sends = 1

        assert store.hear(receipt(4, result), retained=False) is None
        assert list(store.waiting) == [5]
        assert store.hear(receipt(5, result), retained=False) is telegram
        assert store.waiting == {}

    def test_remembers_a_refusal_with_its_reason(self) -> None:
        """Refused gas is not gone: somebody has to look at it."""
        store, telegram = one_telegram(counter=5)
        telegram.sends = 1

        store.hear(receipt(5, "refused", "unknown_meter"), retained=False)

        assert store.refused == {5: "unknown_meter"}

    def test_ignores_a_receipt_for_what_it_never_sent(self) -> None:
        """The counter of an earlier life of this meter says nothing about this telegram."""
        store, telegram = one_telegram(counter=5)

        assert store.hear(receipt(5), retained=False) is None
        telegram.sends = 1
        assert store.hear(receipt(5), retained=True) is None
        assert list(store.waiting) == [5]

    def test_believes_a_kept_receipt_about_an_earlier_session(self) -> None:
        """That is what retained receipts are for: the meter slept when the answer came."""
        store, telegram = one_telegram(counter=5)
        telegram.sends = 1
        store.new_session()

        assert store.hear(receipt(5), retained=True) is telegram

    def test_holds_more_than_ninety_days(self) -> None:
        """A module promises ninety days; when full it says so instead of forgetting."""
        store, telegram = one_telegram(counter=0)
        while not store.is_full:
            store.write(telegram.readings)

        assert len(store.waiting) == TELEGRAMS_KEPT_MAX >= 90
        with pytest.raises(StoreFullError, match="AQ-000001"):
            store.write(telegram.readings)


class TestTown:
    """A town of meters ..."""

    def test_shows_registers_that_only_grow_across_the_dial(self) -> None:
        """Modulo its dial a register never runs back, and one of twenty wraps in three weeks."""
        town = build(PLAN)
        dials = {name: meter.plate.dial_dm3 for name, meter in town.meters.items()}
        totals = {name: meter.plate.opening_dm3 for name, meter in town.meters.items()}
        wrapped: set[str] = set()

        for telegram in live(town, 21):
            for reading in telegram.readings:
                dial_dm3, before_dm3 = dials[telegram.meter_id], totals[telegram.meter_id]
                assert 0 <= reading.register_dm3 < dial_dm3
                assert reading.total_dm3 >= before_dm3
                assert reading.register_dm3 == reading.total_dm3 % dial_dm3
                if reading.register_dm3 < before_dm3 % dial_dm3:
                    wrapped.add(telegram.meter_id)
                totals[telegram.meter_id] = reading.total_dm3

        assert len(wrapped) == 1

    def test_adds_up_to_what_the_homes_burned(self) -> None:
        """The truth is worth nothing unless it is the sum of the hours."""
        town = build(PLAN)
        last = {telegram.meter_id: telegram.readings[-1] for telegram in live(town, 10)}

        for name, reading in last.items():
            meter = town.meters[name]
            start = int(START.timestamp()) // 3600
            hours = [
                meter.household.between_dm3(hour, hour + 1, town.weather)
                for hour in range(start, start + 240)
            ]
            exact_dm3 = meter.plate.opening_dm3 + sum(hours)
            assert reading.total_dm3 == exact_dm3 - exact_dm3 % meter.plate.step_dm3

    def test_writes_one_telegram_per_day_with_every_hour(self) -> None:
        """Ten days of 24 hours; counters without a hole; times one hour apart."""
        telegrams = [one for one in live(build(PLAN), 10) if one.meter_id == "AQ-000003"]

        assert [telegram.counter for telegram in telegrams] == list(range(10))
        times = [reading.at for telegram in telegrams for reading in telegram.readings]
        assert times[0] == START + timedelta(hours=1)
        assert times[-1] == START + timedelta(days=10)
        assert {later - earlier for earlier, later in itertools.pairwise(times)} == {
            timedelta(hours=1)
        }

    def test_closes_the_day_at_local_midnight(self) -> None:
        """Bills cut at local midnight; a register an hour off would bill the wrong month."""
        town = build(replace(PLAN, registers_per_day=1, count=1))
        (telegram,) = live(town, 1)

        body = json.loads(telegram.payload)

        assert [reading["at"] for reading in body["readings"]] == ["2026-01-02T00:00:00+05:00"]

    @pytest.mark.parametrize("name", sorted(SCENARIOS))
    def test_keeps_its_registers_in_every_scenario(self, name: str) -> None:
        """Faults change when and how often, never how much gas was burned."""
        dials = SCENARIOS["new-dials"]
        calm = build(replace(PLAN, scenario=dials))
        other = build(replace(PLAN, scenario=replace(SCENARIOS[name], old_dial=None)))

        def truth(town: Town) -> list[tuple[str, datetime, int]]:
            return [
                (telegram.meter_id, reading.at, reading.total_dm3)
                for telegram in live(town, 14)
                for reading in telegram.readings
            ]

        assert truth(calm) == truth(other)

    def test_gives_a_meter_the_same_gas_in_a_bigger_town(self) -> None:
        """A meter depends on the seed and its number, not on its neighbours."""
        small = build(replace(PLAN, count=2))
        large = build(replace(PLAN, count=40))

        list(live(small, 5))
        list(live(large, 5))

        assert small.meters["AQ-000002"].total_dm3 == large.meters["AQ-000002"].total_dm3

    def test_holds_what_a_silent_meter_writes_and_lets_it_go_later(self) -> None:
        """A lost network day loses no day."""
        town = build(replace(PLAN, count=3))
        silent_until = START + timedelta(days=2)
        town.cut_off(["AQ-000002"], silent_until)
        list(live(town, 2))

        assert town.release("AQ-000002", START + timedelta(days=1)) == []
        assert [one.counter for one in town.release("AQ-000002", silent_until)] == [0, 1]
        assert town.release("AQ-000002", silent_until) == []

    def test_lives_again_from_its_file_and_keeps_the_unanswered(self) -> None:
        """A fleet that was killed continues with its counters and without new stories."""
        before = build(replace(PLAN, count=2))
        written = list(live(before, 5))
        last = written[-1]
        lived = {last.meter_id: before.lived(last.meter_id)}
        again = build(replace(PLAN, count=2))

        again.resume(lived, {last.meter_id: {0: "", 1: "unknown_meter"}})

        store = again.meters[last.meter_id].store
        assert list(store.waiting) == [2, 3, 4]
        assert store.refused == {1: "unknown_meter"}
        assert store.waiting[4].payload == last.payload
        assert store.next_counter == 5

    def test_refuses_a_file_of_another_seed(self) -> None:
        """Two stories under one counter would end as conflicts in the service."""
        before = build(PLAN)
        list(live(before, 2))
        lived = {"AQ-000001": before.lived("AQ-000001")}

        with pytest.raises(PlanMismatchError):
            build(replace(PLAN, seed="8")).resume(lived, {})

    def test_meets_one_meter_of_every_group_with_a_lost_day(self) -> None:
        """A fault that may strike nobody proves nothing."""
        town = build(replace(PLAN, scenario=SCENARIOS["lost-network-day"]))
        ninth = START + timedelta(days=9)

        silent = [meter for meter in town.meters.values() if town.is_silent(meter, ninth)]

        assert len(silent) == 5
        assert not any(town.is_silent(meter, ninth + timedelta(days=1)) for meter in silent)

    @pytest.mark.parametrize(
        ("name", "claim"),
        [("clock-ahead", "2026-01-08T00:07:00+05:00"), ("forgotten-clock", "2000-01-02")],
    )
    def test_tells_the_true_time_beside_a_wrong_clock(self, name: str, claim: str) -> None:
        """Who checks us needs both: when it was, and what the meter said."""
        town = build(replace(PLAN, scenario=SCENARIOS[name], registers_per_day=1))
        fifth = START + timedelta(days=4)

        wrong = [
            telegram.readings[0]
            for telegram in live(town, 10)
            if telegram.readings[0].at == fifth
            and telegram.readings[0].claimed_at != telegram.readings[0].at
        ]

        assert len(wrong) == 2
        assert all(reading.claimed_at.isoformat().startswith(claim) for reading in wrong)


class TestAir:
    """What happens to a telegram on its way ..."""

    @given(st.binary(min_size=64, max_size=64))
    def test_garbles_beyond_recognition(self, dice: bytes) -> None:
        """Noise that still parsed would be somebody's bill."""
        _, telegram = one_telegram()

        with pytest.raises(ValueError, match=r".*"):
            json.loads(garble(telegram.payload, dice))

    def test_harms_only_the_first_try(self) -> None:
        """A fault that never ends would hide a meter for ever."""
        air = Air(seed="7", garbled_per_mille=1000, twice_per_mille=1000)
        _, telegram = one_telegram()
        telegram.sends = 1
        first = air.carry(telegram)
        telegram.sends = 2

        assert first != (telegram.payload,)
        assert air.carry(telegram) == (telegram.payload,)

    def test_doubles_a_third_of_the_telegrams(self) -> None:
        """333 per mille of 3000 is 999, give or take five standard deviations of 26."""
        air = Air(seed="7", twice_per_mille=333)
        store, telegram = one_telegram(counter=0)
        doubled = 0
        for counter in range(3000):
            doubled += len(air.carry(replace(telegram, counter=counter, sends=1))) == 2

        assert 999 - 130 <= doubled <= 999 + 130
        assert store.waiting

    def test_shuffles_a_backlog_the_same_way_every_time(self) -> None:
        """Disorder has to be replayable too."""
        air = Air(seed="7", shuffled=True)
        _, telegram = one_telegram()
        backlog = [replace(telegram, counter=counter) for counter in range(20)]
        mixed = list(backlog)
        mixed.reverse()

        assert air.order(backlog) == air.order(mixed)
        assert [one.counter for one in air.order(backlog)] != list(range(20))
        assert sorted(one.counter for one in air.order(backlog)) == list(range(20))

    def test_has_dice_that_depend_on_every_word(self) -> None:
        """Two faults that always strike together are one fault."""
        assert luck("7", "a", 1) != luck("7", "b", 1) != luck("7", "a", 2)
