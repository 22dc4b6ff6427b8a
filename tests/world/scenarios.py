"""Every fault of the payments reference (section 3.2) as a named scenario: what it switches on.

Each begins when the town has its bills and its services run, and is over when everything calms
down. What is ordinary (a second bill, a resident who changes his mind, payers without money) goes
on in all of them, so faults meet it. tests/world/test_scenarios.py holds the table against the
list of faults.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from billing.breaker import Limits
from simulators.bank.statement import Line
from tests.world.loop import Process
from tests.world.memory_stops import MemoryRunStops
from tests.world.memory_store import MemoryDebits
from tests.world.postbox import OLD_SECRET, posting
from tests.world.releases import Releases
from tests.world.relink import change_account
from tests.world.town import DAY_S, HOUR_S, START, Home, World

Switch = Callable[[World], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A name, the family it belongs to, what it switches on, and when the world begins."""

    name: str
    family: str
    on: Switch
    start: datetime = START


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(family: str, *, start: datetime = START) -> Callable[[Switch], Switch]:
    """Enter a function into the table under its own name."""

    def enter(on: Switch) -> Switch:
        add(on.__name__, family, on, start=start)
        return on

    return enter


def add(name: str, family: str, on: Switch, *, start: datetime = START) -> None:
    """Enter a scenario into the table."""
    assert name not in SCENARIOS, name
    SCENARIOS[name] = Scenario(name=name, family=family, on=on, start=start)


@scenario("none")
def plain(_: World) -> None:
    """Nothing goes wrong: the town as it lives every month."""


# -- network, both directions


def weather(**rates: float) -> Switch:
    """Return what lets exchanges meet faults of the network so often."""

    def on(world: World) -> None:
        world.network.weather.rates |= rates

    return on


def cuts(*, to_bank: bool, from_bank: bool) -> Switch:
    """Return what cuts the network three times for some hours, in one direction or both."""

    def on(world: World) -> None:
        async def cut() -> None:
            for _ in range(3):
                await asyncio.sleep(world.rng.uniform(0.1, 2.5) * DAY_S)
                until = world.loop.time() + world.rng.uniform(0.2, 20) * HOUR_S
                world.network.struck["cut"] += 1
                if to_bank:
                    world.network.weather.cut_to_bank_until = until
                if from_bank:
                    world.network.weather.cut_from_bank_until = until

        world.during(cut())

    return on


for _name, _rates in {
    "connect_refused": {"refused": 0.4},
    "dns_failure": {"no_name": 0.4},
    "timeout_before_send": {"connect_timeout": 0.25, "request_lost": 0.25},
    "timeout_after_commit": {"late": 0.4},
    "response_lost": {"answer_lost": 0.4},
    "reset_mid_body": {"reset_mid_body": 0.25, "reset_after": 0.15, "reset_before": 0.1},
    "truncated_json": {"truncated": 0.4},
    "slow_drip": {"slow_drip": 0.4},
    "request_twice": {"twice": 0.5},
    "requests_reordered": {"late": 0.3, "twice": 0.2},
    "everything_at_once": dict.fromkeys(
        ("refused", "no_name", "request_lost", "answer_lost", "reset_after", "truncated", "twice"),
        0.08,
    ),
}.items():
    add(_name, "network", weather(**_rates))
add("one_way_partition_to_bank", "network", cuts(to_bank=True, from_bank=False))
add("one_way_partition_from_bank", "network", cuts(to_bank=False, from_bank=True))


@scenario("network")
def partition_past_key_window(world: World) -> None:
    """For longer than we send under one key, orders arrive and no answer comes back."""
    world.chaos_days = 13
    world.bank.fault("answer_lost", 100.0, "payments.create")
    world.bank.fault("answer_lost", 60.0)


# -- the bank's API


def bank(name: str, percent: float, operation: str = "*", **more: Any) -> Switch:
    """Return what switches a fault of the bank's on."""

    def on(world: World) -> None:
        world.bank.fault(name, percent, operation, **more)

    return on


for _name, _fault in {
    "error_before_commit": bank("error_before", 40),
    "error_after_commit": bank("error_after", 40),
    "bad_gateway_html": bank("bad_gateway", 40),
    "unavailable": bank("unavailable", 40),
    "rate_limit_with_reset": bank("rate_limit", 40),
    "rate_limit_bare": bank("rate_limit_bare", 40),
    "conflict_mismatching": bank("conflict_elsewhere", 40, "payments.create"),
    "new_enum": bank("new_enum", 40),
    "extra_field": bank("extra_field", 60),
    "missing_optional": bank("missing_optional", 60),
    "stale_reads": bank("stale_read", 50, seconds=2 * 86_400),
    "list_shifts": bank("page_shift", 50),
    "answer_half": bank("garbled", 40),
    "answer_delayed": bank("delay", 40, seconds=45),
    "silent_after_commit": bank("silent_after", 40, seconds=60),
    "requests_overtake": bank("reordered", 40, seconds=5),
    "delivered_twice": bank("delivered_twice", 40),
    "duplicate_id": bank("same_id", 40, "payments.create"),
    "amount_echoed_wrong": bank("amount_wrong", 30),
    "forbidden": bank("forbidden", 25),
}.items():
    add(_name, "bank API", _fault)


@scenario("bank API")
def conflict_matching(world: World) -> None:
    """Half of the first answers are lost, so the same key comes again and meets its payment."""
    world.bank.fault("answer_lost", 50.0, "payments.create")


@scenario("bank API")
def token_rotated(world: World) -> None:
    """For a day the bank knows another token than we do."""

    async def rotate() -> None:
        await asyncio.sleep(world.rng.uniform(1.5, 3.5) * DAY_S)
        world.bank.door.tokens.full = "another"
        world.network.struck["rotated"] += 1
        await asyncio.sleep(world.rng.uniform(0.3, 1.5) * DAY_S)
        world.bank.door.tokens.full = world.token

    world.during(rotate())


@scenario("bank API")
def bank_clock_skew(world: World) -> None:
    """The bank's clock and its stamps are off by hours."""
    world.bank.clock.skew = timedelta(hours=world.rng.choice((1, 5, 20)))
    world.bank.fault("clock_skew", 50.0, seconds=world.rng.choice((-7200, 7200)))


@scenario("bank API")
def key_expiry(world: World) -> None:
    """The bank forgets keys early, and answers are lost: the same order is made twice."""
    world.bank.fault("key_forgotten", 15.0, "payments.create")
    world.bank.fault("answer_lost", 40.0, "payments.create")
    # A bank that breaks its word makes two payments; nobody but a person can mend that.
    world.truth.excused |= {"I1", "I3", "I4", "I8", "I12"}


# -- the bank's domain: what payers and their banks do


def touched(world: World, seen: set[str], status: str) -> list[dict[str, Any]]:
    """Return payments in a state that were not looked at before, half of them."""
    world.bank.catch_up()
    found = []
    for payment in world.bank.documents("payments"):
        if payment["status"] == status and payment["id"] not in seen:
            seen.add(payment["id"])
            if world.rng.random() < 0.6:
                found.append(payment)
    return found


def payer(status: str, act: Callable[[World, dict[str, Any]], None]) -> Switch:
    """Return what lets payers' banks do something to payments in a state."""

    def on(world: World) -> None:
        seen: set[str] = set()

        async def watch() -> None:
            while not world.calm:
                for payment in touched(world, seen, status):
                    world.network.struck["payer"] += 1
                    act(world, payment)
                await asyncio.sleep(5 * HOUR_S)

        world.chaos_days = 11
        world.during(watch())

    return on


def failing(cause: str, **more: Any) -> Callable[[World, dict[str, Any]], None]:
    """Return what lets a payment fail for a cause."""

    def act(world: World, payment: dict[str, Any]) -> None:
        world.bank.turn("payments", payment, "failed", "failed", cause, **more)

    return act


def charged_back(world: World, payment: dict[str, Any]) -> None:
    """Let a payer claim his money back."""
    world.bank.turn("payments", payment, "charged_back", "charged_back", "refund_requested")


for _name, _status, _cause in (
    ("insufficient_funds", "submitted", "insufficient_funds"),
    ("refer_to_payer", "submitted", "refer_to_payer"),
    ("account_closed", "submitted", "bank_account_closed"),
    ("account_transferred", "submitted", "bank_account_transferred"),
    ("payer_deceased", "submitted", "payer_deceased"),
    ("late_failure_before_payout", "confirmed", "refer_to_payer"),
    ("late_failure_after_payout", "paid_out", "insufficient_funds"),
):
    add(_name, "bank domain", payer(_status, failing(_cause)))
add("chargeback", "bank domain", payer("paid_out", charged_back))
add("chargeback_before_payout", "bank domain", payer("confirmed", charged_back))


def back_and_forth(world: World, payment: dict[str, Any]) -> None:
    """Let a payer claim his money back, and his bank take that back."""
    before = payment["status"]
    charged_back(world, payment)

    async def restore() -> None:
        await asyncio.sleep(world.rng.uniform(0.1, 2) * DAY_S)
        world.bank.turn("payments", payment, before, "chargeback_cancelled", "chargeback_cancelled")

    world.during(restore())


def bank_tries_again(world: World, payment: dict[str, Any]) -> None:
    """Let the bank fail a payment, say that it tries again by itself, and do so."""
    failing("insufficient_funds", will_attempt_retry=True)(world, payment)

    async def resubmit() -> None:
        await asyncio.sleep(world.rng.uniform(0.5, 6) * DAY_S)
        cause = "resubmission_requested"
        payment["charge_date"] = world.bank.clock.now().date().isoformat()
        world.bank.turn("payments", payment, "pending_submission", cause, cause)
        due = world.bank.clock.now() + timedelta(hours=world.rng.uniform(1, 30))
        with world.bank.bank.store.transaction():
            world.bank.bank.plan("payments", payment, "submit", due)

    world.during(resubmit())


def rolls(world: World, payment: dict[str, Any]) -> None:
    """Let the bank find that the day is a holiday, and charge some days later."""
    day = datetime.fromisoformat(payment["charge_date"]).replace(tzinfo=UTC)
    later = day + timedelta(days=world.rng.randint(1, 4))
    with world.bank.bank.store.transaction():
        payment["charge_date"] = later.date().isoformat()
        world.bank.bank.store.put(payment)
        world.bank.bank.store.strike_all(payment["id"])
        world.bank.bank.plan("payments", payment, "submit", later)


add("chargeback_cancelled", "bank domain", payer("paid_out", back_and_forth))
add("bank_retries_too", "bank domain", payer("submitted", bank_tries_again))
add("holiday_roll", "bank domain", payer("pending_submission", rolls))


def mandates(act: Callable[[World, Home], object], days: tuple[float, float]) -> Switch:
    """Return what happens to mandates at the bank between two days."""

    def on(world: World) -> None:
        async def later(home: Home) -> None:
            await asyncio.sleep(world.rng.uniform(*days) * DAY_S)
            world.network.struck["mandate"] += 1
            act(world, home)

        for home in world.homes:
            if world.rng.random() < 0.7:
                world.during(later(home))

    return on


def ended_at_bank(world: World, home: Home) -> None:
    """Let the payer end the mandate at the bank."""
    mandate = world.bank.bank.find("mandates", home.bank_mandate_id)
    if mandate["status"] == "active":
        world.bank.operate("mandates.cancel", home.bank_mandate_id)


def simulated(name: str) -> Callable[[World, Home], object]:
    """Return one of the bank's own scenario simulators."""
    return lambda world, home: world.bank.simulate(name, home.bank_mandate_id)


add("mandate_cancelled_before_debit", "bank domain", mandates(ended_at_bank, (0, 2.5)))
add("mandate_cancelled_before_confirm", "bank domain", mandates(ended_at_bank, (2, 6)))
add("suspended_by_payer", "bank domain", mandates(simulated("mandate_suspended_by_payer"), (0, 6)))
add("expired_by_dormancy", "bank domain", mandates(simulated("mandate_expired"), (0, 6)))


@scenario("bank domain")
def cap_exceeded_at_bank(world: World) -> None:
    """Payers allowed the bank less than they allowed us."""
    for home in world.homes:
        mandate = world.bank.bank.find("mandates", home.bank_mandate_id)
        mandate["hidden"]["constraints"] = {
            "start_date": None,
            "end_date": None,
            "max_amount_per_payment": world.rng.choice((4_000, 40_000)),
            "payment_method": None,
            "periodic_limits": [],
        }
        with world.bank.bank.store.transaction():
            world.bank.bank.store.put(mandate)
    world.network.struck["cap"] += 1


@scenario("bank domain")
def retry_limit(world: World) -> None:
    """No payer ever has money; after the last try a person calls."""
    payer("submitted", failing("insufficient_funds"))(world)
    world.chaos_days = 30
    world.pauses_s = (600.0, 86_400.0, 86_400.0, 86_400.0, 86_400.0)


@scenario("bank domain")
def cutoff_missed(world: World) -> None:
    """All services stand still over the day on which orders should have gone out."""

    async def stop() -> None:
        await asyncio.sleep(world.rng.uniform(0.5, 2.5) * DAY_S)
        world.network.struck["stopped"] += 1
        for process in world.services.values():
            world.loop.pause(process, world.rng.uniform(2, 5) * DAY_S)

    world.chaos_days = 10
    world.during(stop())


# -- webhooks

for _name, _switch in {
    "webhooks_lost": posting(lost=0.8),
    "webhooks_duplicated": posting(copies=4, batch=3),
    "webhooks_reordered": posting(batch=1, spread_s=(0.1, 2 * DAY_S)),
    "webhooks_in_one_batch": posting(batch=250, every_s=2 * DAY_S),
    "webhooks_replayed": posting(again_after_s=7 * DAY_S),
    "webhooks_badly_signed": posting(forged=0.5),
    "webhooks_with_old_secret": posting(secret=OLD_SECRET),
    "webhooks_encoded_anew": posting(encoded_anew=0.5),
    "webhook_endpoint_slow": posting(slow=0.6),
    "webhooks_of_strangers": posting(strangers=0.7),
}.items():
    add(_name, "webhooks", _switch)


@scenario("webhooks")
def news_before_answer(world: World) -> None:
    """Answers to orders are late or lost, and the events about them are faster."""
    world.bank.fault("delay", 100.0, "payments.create", seconds=25)
    posting(eager=True, batch=1, spread_s=(0.001, 1.0))(world)


# -- processes and the database


def killing(**rates: float) -> Switch:
    """Return what kills services at named moments; they come back some minutes later."""

    def on(world: World) -> None:
        world.kill_rates |= rates

    return on


def pausing(**rates: float) -> Switch:
    """Return what stops services at named moments for longer than a lease may last."""

    def on(world: World) -> None:
        world.pause_rates |= rates

    return on


def database(**rates: float) -> Switch:
    """Return what lets statements meet faults of the database so often."""

    def on(world: World) -> None:
        world.db.rates |= rates

    return on


for _name, _switch in {
    "kill_before_intent": killing(before_commit=0.2),
    "kill_after_intent": killing(after_commit=0.2),
    "kill_before_send": killing(before_send=0.5),
    "kill_after_send": killing(after_send=0.5),
    "kill_after_response": killing(after_answer=0.2),
    "pause_past_lease": pausing(before_send=0.3, after_send=0.3, after_answer=0.1),
    "two_workers_after_lease": pausing(after_commit=0.15, before_send=0.3),
    "session_lost": database(session_lost=0.03),
    "commit_unheard": database(commit_unheard=0.15, commit_refused=0.05),
    "serialization_failure": database(serialization=0.03),
    "disk_full": database(disk_full=0.03),
}.items():
    add(_name, "process and DB", _switch)


@scenario("process and DB")
def kill_anywhere(world: World) -> None:
    """A service dies between any two of its steps."""

    async def light() -> None:
        while not world.calm:
            await asyncio.sleep(world.rng.uniform(0.1, 8) * HOUR_S)
            process = world.rng.choice(list(world.services.values()))
            if process.alive:
                process.fuse = world.rng.randint(1, 300)
                world.network.struck["fuse"] += 1

    world.during(light())


@scenario("process and DB")
def restart_storm(world: World) -> None:
    """All services are killed together, again and again."""

    async def storm() -> None:
        while not world.calm:
            await asyncio.sleep(world.rng.uniform(1, 20) * HOUR_S)
            for _ in range(world.rng.randint(2, 4)):
                for process in list(world.services.values()):
                    world.kill(process)
                world.network.struck["storm"] += 1
                await asyncio.sleep(world.rng.uniform(1, 60))

    world.pauses_s = (5.0, 30.0, 600.0, 8 * HOUR_S, 16 * HOUR_S)
    world.during(storm())


@scenario("process and DB")
def pool_exhausted(world: World) -> None:
    """One connection for everybody in a process."""
    world.pool = 1
    world.network.struck["pool"] += 1


@scenario("process and DB")
def deadlock(world: World) -> None:
    """Residents and services lock the same rows all the time."""

    async def crowd() -> None:
        while not world.calm:
            await asyncio.sleep(world.rng.uniform(0.5, 8) * HOUR_S)
            world.network.struck["crowd"] += 1
            for home in world.homes:
                world.during(world.set_caps(home, 100_000, 150_000 + world.rng.randrange(9)))

    world.pauses_s = (600.0, HOUR_S, 4 * HOUR_S, 8 * HOUR_S, 16 * HOUR_S)
    world.services_count = 3
    world.during(crowd())


async def lost_history(world: World, seconds: float) -> None:
    """Take the database back some seconds; people say again what they had said since."""
    world.network.struck["went_back"] += 1
    instant = world.at - timedelta(seconds=seconds)
    for process in list(world.services.values()):
        world.kill(process)
    world.db.go_back_to(instant)
    for home in world.homes:
        said = [one for one in world.truth.wishes.get(home.account_id, []) if one[0] > instant]
        for _, wish in said:
            await world.wish(home, wish)
        for _, payment, month in world.truth.caps[home.account_id][-1:]:
            await world.set_caps(home, payment, month)


@scenario("process and DB")
def failover_loses_commits(world: World) -> None:
    """The standby that takes over never heard of the last seconds."""

    async def fail_over() -> None:
        for _ in range(3):
            await asyncio.sleep(world.rng.uniform(0.2, 2.5) * DAY_S)
            await lost_history(world, world.rng.uniform(0.01, 600))

    # What was frozen may be frozen again for another day, under the same key.
    world.truth.excused.add("I11")
    world.people = False
    world.during(fail_over())


@scenario("process and DB")
def backup_restored(world: World) -> None:
    """An old backup is all there is: the bank knows payments that we forgot."""

    async def restore() -> None:
        await asyncio.sleep(world.rng.uniform(2, 7) * DAY_S)
        await lost_history(world, world.rng.uniform(0.1, 5) * DAY_S)

    world.truth.excused.add("I11")
    world.people = False
    world.during(restore())


# -- time

add("timezone_change", "time", plain, start=datetime(2024, 2, 26, 20, tzinfo=UTC))
add("month_end", "time", plain, start=datetime(2026, 1, 27, 4, tzinfo=UTC))
add("leap_day", "time", plain, start=datetime(2028, 2, 25, 4, tzinfo=UTC))


def jumps(*hours: float) -> Switch:
    """Return what lets the clocks of services jump by some hours, now and then."""

    def on(world: World) -> None:
        async def jump() -> None:
            while not world.calm:
                await asyncio.sleep(world.rng.uniform(1, 30) * HOUR_S)
                process = world.rng.choice(list(world.services.values()))
                process.skew = timedelta(hours=world.rng.choice(hours))
                world.network.struck["jump"] += 1

        world.truth.notice_days = 4
        world.truth.notice_working_days = 2
        world.during(jump())

    return on


add("clock_jump_back", "time", jumps(-3, -0.1, 0))
add("clock_jump_forward", "time", jumps(3, 0.1, 0))


@scenario("time")
def overlapping_runs(world: World) -> None:
    """Four services run their rounds at the same moments."""
    world.services_count = 4
    world.pauses_s = (0.001, 0.01, 12 * HOUR_S, 12 * HOUR_S, 12 * HOUR_S)
    world.network.struck["overlap"] += 1


# -- upstream billing


def upstream(act: Callable[[World, Home], None], days: tuple[float, float] = (0, 7)) -> Switch:
    """Return what billing does to the bills of most homes at some time."""

    def on(world: World) -> None:
        async def later(home: Home) -> None:
            await asyncio.sleep(world.rng.uniform(*days) * DAY_S)
            world.network.struck["upstream"] += 1
            act(world, home)

        for home in world.homes:
            if world.rng.random() < 0.8:
                world.during(later(home))

    return on


def corrected(world: World, home: Home) -> None:
    """Let a corrected reading change the bill."""
    more = world.rng.choice((-3_000, 4_000, 1))
    world.change(home, "2026-01", more)


def issued_again(world: World, home: Home) -> None:
    """Let the billing run issue what it has issued already."""
    world.issue(home, "2026-01", world.truth.bills[home.account_id, "2026-01"][0][1])


def rebilled(world: World, home: Home) -> None:
    """Let the bill be taken back and another take its place."""
    total = world.truth.bills[home.account_id, "2026-01"][-1][1]
    world.void(home, "2026-01")
    world.issue(home, "2026-01-3", total)


def empty(world: World, home: Home) -> None:
    """Let bills ask for nothing, or less."""
    world.issue(home, "2026-03", 0)
    world.issue(home, "2026-04", -5_000)


def second_meter(world: World, home: Home) -> None:
    """Let a swapped meter bring a second bill at once."""
    world.issue(home, "2026-03", world.rng.randrange(5_000, 80_000))


def spike(world: World, home: Home) -> None:
    """Let a bill be far over what the resident allows, who may then allow more."""
    world.issue(home, "2026-03", 10_762_500)
    if world.rng.random() < 0.5:
        world.during(world.set_caps(home, 20_000_000, 30_000_000))


for _name, _switch in {
    "corrected_after_notice": upstream(corrected, (0.5, 5)),
    "duplicate_bill": upstream(issued_again),
    "rebilled": upstream(rebilled, (0.2, 5)),
    "voided_after_submit": upstream(lambda world, home: world.void(home, "2026-01"), (2.5, 8)),
    "zero_or_negative_bill": upstream(empty),
    "meter_swap": upstream(second_meter, (0, 3)),
    "huge_spike": upstream(spike, (0, 3)),
    "late_reading": upstream(corrected, (5, 8)),
}.items():
    add(_name, "upstream billing", _switch)


# -- people


def racing(wish: str) -> Switch:
    """Return what lets a resident decide in the very moment of a send."""

    def on(world: World) -> None:
        def decide(moment: str) -> None:
            near = moment in {"before_send", "after_send", "after_commit"}
            if near and world.rng.random() < 0.15:
                world.network.struck["race"] += 1
                home = world.rng.choice(world.homes)
                world.during(world.wish(home, wish))

        async def after_a_while(account_id: str) -> None:
            await asyncio.sleep(world.rng.uniform(1, 900))
            await world.wish(next(one for one in world.homes if one.account_id == account_id), wish)

        def stand_still(account_id: str, process: Process | None) -> None:
            """Let the service stop behind the record, and the wish come before the send."""
            if process is not None and world.rng.random() < 0.5:
                world.network.struck["race_before_send"] += 1
                world.loop.pause(process, world.rng.uniform(60, 1200))
                world.during(after_a_while(account_id))

        world.people = False
        world.on_moment = decide
        world.on_recorded = stand_still

    return on


add("pause_races_send", "people", racing("paused"))
add("cancel_races_send", "people", racing("cancelled"))


@scenario("people")
def operator_replays_batch(world: World) -> None:
    """An operator starts the same batch by hand, several times, while it runs by itself."""

    def again(moment: str) -> None:
        if moment == "after_send" and world.rng.random() < 0.5:
            world.network.struck["replayed"] += 1
            world.start(f"by-hand-{world.rng.randrange(3)}")

    world.pauses_s = (0.01, 5.0, 8 * HOUR_S, 16 * HOUR_S, 24 * HOUR_S)
    world.bank.fault("answer_lost", 20.0, "payments.create")
    world.on_moment = again


# -- money that goes back


def giving_back(world: World, times: int) -> None:
    """Let a person give back what was taken, all or a part, so many times at once."""

    async def watch() -> None:
        given: set[Any] = set()
        while not world.calm:
            await asyncio.sleep(6 * HOUR_S)
            for key, debit in list(world.db.rows["debit"].items()):
                if str(debit.state) in {"confirmed", "settled"} and key not in given:
                    given.add(key)
                    if world.rng.random() < 0.7:
                        minor = world.rng.choice((debit.amount_minor, debit.amount_minor // 2))
                        for _ in range(times):
                            world.during(world.give_back(debit.debit_id, minor))

    world.chaos_days = 12
    world.during(watch())


@scenario("people")
def double_refund_click(world: World) -> None:
    """A person gives the same money back three times at once, and answers are lost."""
    giving_back(world, 3)
    world.bank.fault("answer_lost", 40.0, "refunds.create")


@scenario("bank domain")
def chargeback_after_refund(world: World) -> None:
    """Money that was given back is claimed back as well."""
    giving_back(world, 1)
    payer("paid_out", charged_back)(world)
    world.chaos_days = 14


def refunds_that(name: str) -> Switch:
    """Return what lets refunds end at the bank as one of its scenario simulators says."""

    def on(world: World) -> None:
        async def watch() -> None:
            seen: set[str] = set()
            while not world.calm:
                await asyncio.sleep(7 * HOUR_S)
                for refund in world.bank.documents("refunds"):
                    if refund["id"] not in seen:
                        seen.add(refund["id"])
                        world.network.struck[name] += world.bank.simulate(name, refund["id"])

        giving_back(world, 1)
        world.chaos_days = 14
        world.during(watch())

    return on


add("refund_bounced", "bank domain", refunds_that("refund_bounced"))
add("refund_returned", "bank domain", refunds_that("refund_returned"))


@scenario("bank domain")
def payout_bounced(world: World) -> None:
    """The bank's payouts come back from our account, and are paid out again."""

    async def watch() -> None:
        seen: set[str] = set()
        while not world.calm:
            await asyncio.sleep(5 * HOUR_S)
            world.bank.catch_up()
            for payout in world.bank.documents("payouts"):
                if payout["id"] not in seen and world.rng.random() < 0.7:
                    seen.add(payout["id"])
                    world.network.struck["bounced"] += world.bank.simulate(
                        "payout_bounced", payout["id"]
                    )

    world.chaos_days = 12
    world.during(watch())


# -- payouts, the account, and the people who look at what does not agree


def shown(*, part: float = 0.0, late: float = 0.0, never: float = 0.0) -> Switch:
    """Return how the account's bank shows payouts: in two parts, days late, or not at all."""

    def on(world: World) -> None:
        def show(line: Line) -> list[Line]:
            chance = world.rng.random()
            if line.amount_minor < 2 or chance >= part + late + never:
                return [line]
            world.network.struck["shown_otherwise"] += 1
            later = line.booked_on + timedelta(days=world.rng.randint(1, 9))
            if chance < part:
                first = world.rng.randrange(1, line.amount_minor)
                rest = replace(
                    line,
                    entry_ref=f"{line.entry_ref}-2",
                    amount_minor=line.amount_minor - first,
                    booked_on=later,
                )
                return [replace(line, amount_minor=first), rest][: world.rng.choice((1, 2, 2))]
            return [replace(line, booked_on=later)] if chance < part + late else []

        world.comparing.show = show
        world.chaos_days = 12

    return on


add("partial_payout", "bank domain", shown(part=0.7))
add("payout_late", "bank domain", shown(late=0.6, never=0.15))


def items_that(change: Callable[[World, list[dict[str, Any]]], None]) -> Switch:
    """Return what lets the bank tell the items of half of its payouts wrongly, time and again."""

    def on(world: World) -> None:
        wrong: dict[str, bool] = {}

        def told(items: list[dict[str, Any]]) -> None:
            name = json.dumps(items)
            if items and wrong.setdefault(name, world.rng.random() < 0.5):
                world.network.struck["item"] += 1
                change(world, items)

        world.bank.keeper.on_items = told
        world.chaos_days = 12

    return on


def of_another(world: World, items: list[dict[str, Any]]) -> None:
    """Let an item name a payment of somebody else, ours or a stranger's."""
    names = [payment["id"] for payment in world.bank.documents("payments")]
    items[0]["links"]["payment"] = world.rng.choice([*names, "PM9999999999"])


def off_by_one(world: World, items: list[dict[str, Any]]) -> None:
    """Let an item be a unit, or a tenth of one, more or less."""
    more = world.rng.choice((Decimal(1), Decimal(-1), Decimal("0.1")))
    items[0]["amount"] = str(Decimal(items[0]["amount"]) + more)


for _name, _change in {
    "payout_item_missing": lambda _, items: items.pop(0),
    "payout_item_twice": lambda _, items: items.append(items[0]),
    "payout_item_off_by_one": off_by_one,
    "payout_item_of_another": of_another,
}.items():
    add(_name, "bank domain", items_that(_change))


@scenario("people")
def two_operators_one_break(world: World) -> None:
    """Several people settle the same breaks in the same moment, while every service compares."""
    shown(part=0.3, late=0.3, never=0.3)(world)
    world.comparing.everywhere = True
    world.office.settles, world.office.at_once = 0.8, 3


# -- two releases at once


def rolling(world: World, releases: Releases) -> None:
    """Begin with the older release everywhere, and bring services to this one and back again."""
    releases.older = {f"service-{number}" for number in range(world.services_count)}

    async def roll() -> None:
        for _ in range(world.rng.randint(3, 8)):
            await asyncio.sleep(world.rng.uniform(0.1, 1.5) * DAY_S)
            process = world.rng.choice(list(world.services.values()))
            # Now and then the newer one is taken back.
            older = process.name not in releases.older or world.rng.random() < 0.2
            world.kill(process)
            (releases.older.add if older else releases.older.discard)(process.name)
            world.network.struck["rolled"] += 1
        releases.older.clear()
        for process in list(world.services.values()):
            world.kill(process)

    world.releases = releases
    world.chaos_days = 12
    world.during(roll())


@scenario("process and DB")
def old_and_new_code(world: World) -> None:
    """Two releases write orders in their own words, and either sends what the other wrote."""
    releases = Releases(world.db)
    releases.two_bodies()
    rolling(world, releases)
    world.bank.fault("answer_lost", 60.0, "payments.create")
    killing(after_commit=0.05, before_send=0.1)(world)


@scenario("process and DB")
def migration_mid_cycle(world: World) -> None:
    """A table gets a column while debits are in flight; one service after the other knows it."""
    releases = Releases(world.db)
    rolling(world, releases)

    async def migrate() -> None:
        await asyncio.sleep(world.rng.uniform(0.2, 4) * DAY_S)
        await releases.migrate()

    world.bank.fault("answer_lost", 30.0, "payments.create")
    world.during(migrate())


# -- a run that is stopped, and debits that people decide


@scenario("people")
def breaker_trips(world: World) -> None:
    """Debits come back, answers are lost or bills are huge; people let the run go on, in twos."""
    few = {"counted_min": 2, "failed_percent": 20, "unknown_percent": 20}
    world.limits = Limits(**few, unreconciled_days=3)
    payer("submitted", failing("insufficient_funds"))(world)
    world.bank.fault("answer_lost", 40.0, "payments.create")
    world.office.settles = 0.6

    async def by_hand() -> None:
        await asyncio.sleep(world.rng.uniform(0, 4) * DAY_S)
        stops = MemoryRunStops(MemoryDebits(world.db))
        await stops.stop_by_hand(stopped_by="Dana S.", because="it looks odd", at=world.at)
        world.network.struck["by_hand"] += 1

    world.chaos_days = 14
    if world.rng.random() < 0.5:
        world.during(by_hand())


@scenario("people")
def review_by_two(world: World) -> None:
    """The bank does not know our token or shows other payments; people decide, one or two."""
    world.bank.fault("forbidden", 25.0, "payments.create")
    world.bank.fault("conflict_elsewhere", 40.0, "payments.create")
    world.bank.fault("answer_lost", 40.0, "payments.create")
    world.bank.fault("amount_wrong", 20.0)
    world.office.decides = 0.6
    world.chaos_days = 14


# -- promises that only some days and some people put to the test

# Nauryz closes banks from Saturday to Wednesday, and the resident has five days all the same.
add("long_holiday", "time", plain, start=datetime(2026, 3, 16, 4, tzinfo=UTC))


@scenario("people")
def account_changed(world: World) -> None:
    """Somebody names another bank account, before a debit or while it is on its way."""

    async def later(home: Home) -> None:
        await asyncio.sleep(world.rng.uniform(0, 6) * DAY_S)
        await change_account(world, home)

    for home in world.homes:
        if world.rng.random() < 0.8:
            world.during(later(home))
            world.issue(home, "2026-03", world.rng.randrange(5_000, 40_000))
    world.bank.fault("answer_lost", 20.0)
    world.people = False
    world.chaos_days = 12
