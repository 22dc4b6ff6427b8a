"""A small town lives through its months in about a minute, with faults on purpose.

    settle in ── day ── day ── … ── day ── audit ── compare with the meters' and the bank's records
                  │
                  └─ meters send · the bank's clock moves · a month that is over is billed · debits

Three clocks (ours, the bank's, the meters') are moved one local day at a time, and a day ends when
every telegram that the network let through has its receipt. Nothing depends on how fast the machine
is, so one seed gives one town.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from time import monotonic
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import sql
from app import demo_report as report
from app import demo_town
from app.config import Settings
from app.demo_stage import Stage, staged, token_of
from billing.audit import audit
from billing.collect import collect
from billing.debit import FELL_THROUGH
from billing.io.debits import Debits
from billing.io.proposals import PriceDesk
from billing.io.store import BillingStore
from billing.period import Calendar, Period, midnight
from billing.reconcile import reconcile
from billing.tariff import Tariff
from metering.io.route import Role

# December and January: cold, and the VAT rate changes between them.
FIRST_MONTH: Final = Period.month(2025, 12)
# The price, net: 6404.90 tenge per 1000 m3, as Atyrau published it.
NET_MINOR_PER_1000_M3: Final = 640_490
# Our day and the bank's begin some hours after the meters' midnight.
MORNING: Final = timedelta(hours=6)
# After the last due date, which may be a Saturday, the bank needs two working days to confirm and
# pay out; any longer, and the month that is running would be over and unbilled.
AFTERMATH: Final = timedelta(days=5)
# One home in ten pays by hand, and one resident has no money on the account.
UNLINKED_EVERY: Final = 10
PENNILESS: Final = 3
# The day without network, counted from the start, how long it lasts, and how many homes it hits.
LOST_DAY: Final = 9
LOST_DAYS: Final = 2
LOST_EVERY: Final = 3
# How many of the bank's answers to new payments get lost on the first morning of each month.
ANSWERS_LOST: Final = 2
COLLECT_LIMIT: Final = 500

_Q: Final = sql.queries("demo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the user asked for."""

    meters: int
    months: int
    seed: int

    @property
    def periods(self) -> list[Period]:
        """Return the months that are billed."""
        found = [FIRST_MONTH]
        while len(found) < self.months:
            found.append(found[-1].next())
        return found


@dataclass(slots=True, kw_only=True)
class Town:
    """The town while it lives."""

    plan: Plan
    zone: str
    stage: Stage
    stays: bool
    resident_token: str = ""
    said: dict[str, int] = field(default_factory=dict)


Show = Callable[[dict[str, Any], Town], None]


async def demo(  # noqa: PLR0913 - the options of the command
    settings: Settings, plan: Plan, *, stopping: asyncio.Event, once: bool, quiet: bool, show: Show
) -> bool:
    """Let the town live, show the summary and, unless ``once``, stay up until told to stop.

    Returns whether everything that must hold did.

    Raises:
        DemoError: a simulated party did not do its part.
        ServerError: a server cannot be started.
    """
    began = monotonic()
    start = midnight(FIRST_MONTH.start, settings.zone)
    async with staged(settings, meters=plan.meters, seed=plan.seed, start=start) as stage:
        town = Town(plan=plan, zone=settings.zone, stage=stage, stays=not once)
        await settle_in(town)
        await live(town, stopping, quiet=quiet)
        if stopping.is_set():
            return False
        summary = await compare(town)
        summary["seconds"] = round(monotonic() - began, 1)
        show(summary, town)
        if not once:
            await stopping.wait()
    return content(summary)


async def settle_in(town: Town) -> None:
    """Register the homes and their meters, and let most residents link a bank account."""
    stage = town.stage
    now = stage.clock.now()
    await PriceDesk(pool=stage.pool, calendar=Calendar(zone=town.zone)).set_up(
        Tariff(
            tariff_code="home",
            valid_from=FIRST_MONTH.start,
            valid_to=None,
            currency="KZT",
            net_minor_per_1000_m3=NET_MINOR_PER_1000_M3,
            approved_by="director of the demo",
        ),
        source="order 1 of the demo",
        proposed_by="economist of the demo",
        at=now,
    )
    for number, plate in enumerate(stage.plates, start=1):
        account_id = await demo_town.register(stage.clerk, plate=plate, number=number, at=now)
        if number % UNLINKED_EVERY == 0:
            continue
        token = await token_of(stage.pool, Role.RESIDENT, account_id, now)
        await demo_town.link(
            demo_town.Web(stage.session, stage.url, token),
            stage.session,
            account_id=account_id,
            given_name="Penniless" if number == PENNILESS else "Aigul",
        )
        town.resident_token = town.resident_token or token


async def live(town: Town, stopping: asyncio.Event, *, quiet: bool) -> None:
    """Live one local day after the other until the last debit can have ended."""
    periods = town.plan.periods
    days = (periods[-1].due_on + AFTERMATH - FIRST_MONTH.start).days
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=days)
        for number in range(1, days + 1):
            if stopping.is_set():
                return
            day = FIRST_MONTH.start + timedelta(days=number)
            did = await _live_day(town, day, number)
            bar.update(task, advance=1, description=f"{day}  {did}")


async def _live_day(town: Town, day: date, number: int) -> str:
    """Begin a local day: meters, bank, bills, debits; return what happened, for people."""
    stage = town.stage
    periods = town.plan.periods
    dawn = midnight(day, town.zone)
    stage.clock.advance_to(dawn + MORNING)
    did = "meters report"
    if number == LOST_DAY:
        lost = [plate["meter_id"] for plate in stage.plates[::LOST_EVERY]]
        await stage.fleet.tell({"silent": lost, "days": LOST_DAYS})
        town.said["homes_without_network"] = len(lost)
        did = f"{len(lost)} homes lose the network"
    # Some days more than the last month, so that what was held back comes in.
    if day <= periods[-1].end + timedelta(days=LOST_DAYS):
        heard = await stage.fleet.tell({"until": dawn.isoformat()})
        town.said["telegrams_sent"] = town.said.get("telegrams_sent", 0) + heard["telegrams_sent"]
    await stage.control.ask("POST", "/clock", {"now": stage.clock.now().isoformat()})
    for period in periods:
        if day == period.end + timedelta(days=1):
            counts = await reconcile(
                store=BillingStore(stage.pool), period=period, at=stage.clock.now(), zone=town.zone
            )
            did = f"{counts.billed} bills for {period.label}"
        if day == period.due_on - timedelta(days=4):
            await stage.control.ask("POST", "/faults", {
                "name": "answer_lost", "operation": "payments.create", "times": ANSWERS_LOST,
            })  # fmt: skip
    counted = await collect(
        store=Debits(stage.pool),
        bank=stage.bank,
        at=stage.clock.now(),
        zone=town.zone,
        limit=COLLECT_LIMIT,
    )
    if counted.notice.noticed:
        did += f", {counted.notice.noticed} notices"
    return did


async def compare(town: Town) -> dict[str, Any]:
    """Compare the meters' record and the bank's books with what we stored, billed and collected."""
    stage = town.stage
    with stage.truth.open(encoding="utf-8") as lines:
        truth = report.read_truth(lines)
    months = [
        report.Month(label=period.label, start_at=start_at, end_at=end_at)
        for period in town.plan.periods
        for start_at, end_at in [period.bounds(town.zone)]
    ]
    async with stage.pool.acquire() as connection:
        stored = {
            (row["meter_id"], row["read_at"]): row["register_dm3"]
            async for row in _Q.stored_readings(connection)
        }
        bills = [report.IssuedBill(**row) async for row in _Q.issued_lines(connection)]
        states = {row["state"]: row["debits"] async for row in _Q.debits_by_state(connection)}
        collected_minor = await _Q.collected_minor(connection)
    opening = {plate["meter_id"]: plate["opening_dm3"] for plate in stage.plates}
    volumes = report.true_volumes(truth, opening, months)
    books = await stage.control.ask("GET", "/books")
    faults = await stage.control.ask("GET", "/faults")
    found = await audit(
        store=BillingStore(stage.pool), bank=stage.bank, at=stage.clock.now(), zone=town.zone
    )
    return {
        "meters": town.plan.meters,
        "months": town.plan.months,
        "seed": town.plan.seed,
        "telegrams_sent": town.said["telegrams_sent"],
        "readings_sent": len(truth),
        "readings_stored": len(stored),
        "lost_readings": len(report.lost_readings(truth, stored)),
        "bills_issued": len({(bill.account_id, bill.bill_no) for bill in bills}),
        "billed_dm3": sum(bill.volume_dm3 for bill in bills),
        "true_dm3": sum(volumes[bill.meter_id, bill.label] for bill in bills),
        "billed_minor": report.billed_minor(bills),
        "bills_fingerprint": report.fingerprint(bills),
        "debits": states,
        "debits_settled": states.get("settled", 0),
        "collected_minor": collected_minor,
        "bank_collected_minor": report.collected_by_bank(books),
        "double_debits": report.double_debits(books),
        "faults": {
            "homes_without_network": town.said.get("homes_without_network", 0),
            "dials_past_zero": report.dials_past_zero(truth),
            "answers_lost": sum(fault["fired"] for fault in faults["faults"]),
            "debits_failed": sum(states.get(state, 0) for state in FELL_THROUGH),
        },
        "audit": "ok" if found.clean else [str(finding) for finding in found.findings],
    }


def as_text(summary: dict[str, Any], town: Town) -> str:
    """Say the summary to people: what the world recorded beside what we made of it."""
    rows = (
        ("registers", summary["readings_sent"], "the meters measured"),
        ("", summary["readings_stored"], "we stored"),
        ("", summary["lost_readings"], "lost"),
        ("gas, dm3", summary["true_dm3"], "passed the meters in the billed months"),
        ("", summary["billed_dm3"], f"stand on {summary['bills_issued']} bills"),
        ("money, tiyn", summary["billed_minor"], "billed"),
        ("", summary["collected_minor"], "collected, by our ledger"),
        ("", summary["bank_collected_minor"], "collected, by the bank's books"),
        ("", summary["double_debits"], "bills taken twice"),
    )
    faults = summary["faults"]
    lines = [f"{name:<12}{number:>16,}  {words}" for name, number, words in rows]
    lines += [
        "",
        "on purpose:",
        f"  homes that lost the network for two days  {faults['homes_without_network']}",
        f"  dials that passed zero                    {faults['dials_past_zero']}",
        f"  answers of the bank that got lost         {faults['answers_lost']}",
        f"  debits that bounced                       {faults['debits_failed']}",
        "",
        f"audit: {summary['audit']}   ({summary['seconds']} s, seed {summary['seed']})",
    ]
    if town.stays:
        lines += [
            "",
            f"The API: {town.stage.url}/docs   (until Ctrl-C)",
            f"  an operator's token: {town.stage.operator_token}",
            f"  a resident's token:  {town.resident_token}",
        ]
    return "\n".join(lines)


def content(summary: dict[str, Any]) -> bool:
    """Say whether the summary shows what must always hold."""
    return bool(
        summary["audit"] == "ok"
        and summary["lost_readings"] == 0
        and summary["double_debits"] == 0
        and summary["bills_issued"] == summary["meters"] * summary["months"]
        and summary["billed_dm3"] == summary["true_dm3"]
        and summary["collected_minor"] == summary["bank_collected_minor"]
        and summary["debits_settled"] > 0
    )
