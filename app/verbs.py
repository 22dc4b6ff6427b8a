"""The verbs as processes run them: one step by hand, or the loop around it.

What a verb does stands in metering/ and billing/; here it only gets its store, its bank and its
hour.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from app.broker_tls import broker_tls
from app.delivery import deliver_loop
from app.intake import ingest_until
from app.recon_work import recon_loop
from app.run import loop
from app.window import HEATED, go_over
from app.wiring import Bank, House, bank, billing_store, mailer, notary, served
from billing.audit import audit
from billing.collect import collect
from billing.correct import correct
from billing.correction import Policy
from billing.follow import follow
from billing.hear import hear
from billing.io.bank_events import Hints
from billing.io.corrections import Corrections
from billing.io.debits import Debits
from billing.io.drafts import Drafts
from billing.io.months import Months, NotApprovedError
from billing.io.run_stops import RunStops
from billing.io.store import BillingStore
from billing.io.wire_preview import preview_shown
from billing.month import answer
from billing.period import Period, local_day, midnight
from billing.preview import preview
from billing.reconcile import due_periods, reconcile
from billing.switch import switch
from billing.watch import WatchCounts, watch
from billing.window import window_of
from metering.io.findings import Findings
from metering.io.mqtt import Subscription
from metering.io.safe import SafeStore
from metering.republish import republish
from metering.validate import validate

log = structlog.get_logger()

# A round of collecting is small enough to end soon after Ctrl-C.
COLLECT_BATCH: Final = 200

# The session that only tells meters again; it listens to nothing.
REPUBLISH_ID: Final = "aqkol-republish"

# Asks whether today's hour has come; the rules themselves run once a day.
VALIDATE_EVERY: Final = timedelta(minutes=10)
# A month is over once a month; looking often only makes late readings count sooner.
RECONCILE_EVERY: Final = timedelta(minutes=10)
COLLECT_EVERY: Final = timedelta(seconds=30)
# Every debit is announced days before it is recorded, so that no money moves between two looks.
WATCH_EVERY: Final = timedelta(minutes=10)
AUDIT_EVERY: Final = timedelta(hours=24)

# The log names the first findings; "aqkol audit --once --json" tells all.
FINDINGS_LOGGED_MAX: Final = 20


async def reconcile_at(house: House, at: datetime, period: Period | None = None) -> dict[str, Any]:
    """Bill one month, or every month that is due, and return the counts by month.

    Whoever asks for one month also hears the answer in a word, how many bills it had before, and
    how many accounts have no meter in it.

    No month is billed before the rules have gone over all that came while it settled. In a parallel
    run the month, or the last that is over, is only worked out; where a person approves months, one
    that nobody approved is drafted.

    Raises:
        PeriodNotOverError: the month asked for still runs.
    """
    store, zone = billing_store(house.pool, house.settings), house.settings.zone
    if house.settings.parallel_run == "on":
        return await _rehearsed(house, store, at, period or Period.holding(at, zone).before())
    periods = (period,) if period else await due_periods(store=store, at=at, zone=zone)
    done: dict[str, Any] = {}
    months = Months(pool=house.pool)
    for one in periods:
        await go_over(house.pool, zone, one, at)
        standing = await months.standing(one, zone=zone) if period else None
        try:
            counts = await reconcile(store=store, period=one, at=at, zone=zone)
            done[one.label] = asdict(counts)
            if standing is not None:
                word = answer(standing, billed=counts.billed, held=counts.held)
                done[one.label] |= {"answer": word.value, **asdict(standing)}
        except NotApprovedError:
            made = await preview(
                store=Drafts(pool=house.pool, store=store), period=one, at=at, zone=zone
            )
            await months.draft(one, bills=made.drafted, total_minor=made.total_minor, at=at)
            log.warning("reconcile.awaits_approval", period=one.label, drafted=made.drafted)
            done[one.label] = preview_shown(made).model_dump(mode="json")
    return done


async def _rehearsed(
    house: House, store: BillingStore, at: datetime, period: Period
) -> dict[str, Any]:
    zone = house.settings.zone
    await go_over(house.pool, zone, period, at)
    made = await preview(
        store=Drafts(pool=house.pool, store=store), period=period, at=at, zone=zone
    )
    log.info(
        "reconcile.rehearsed", period=period.label, drafted=made.drafted, held=made.held.total()
    )
    return {period.label: preview_shown(made).model_dump(mode="json")}


async def correct_at(house: House, at: datetime) -> dict[str, Any]:
    """Correct the bills that would be others today, and return the counts."""
    settings = house.settings
    if settings.parallel_run == "on":
        return {}
    policy = Policy(
        adjust_below_minor=settings.adjust_below_minor,
        back_billing_months=settings.back_billing_months,
        refund=settings.credit == "refund",
    )
    counts = await correct(store=Corrections(house.pool), at=at, zone=settings.zone, policy=policy)
    return asdict(counts)


async def republish_now(house: House) -> dict[str, Any]:
    """Tell all meters again what is safe, at every broker; return the counts by broker."""
    found: dict[str, Any] = {}
    for number, url in enumerate(house.servers.mqtt_urls, start=1):
        async with (
            notary(house.settings) as witness,
            Subscription(
                url,
                client_id=REPUBLISH_ID,
                topics=(),
                tls_context=broker_tls(house.settings),
            ) as session,
        ):
            await asyncio.wait_for(session.wait_connected(), 30)
            counts = await republish(
                safe=SafeStore(pool=house.pool),
                outlet=session,
                notary=witness,
                at=house.clock.now(),
            )
        found[f"broker_{number}"] = asdict(counts)
    return found


async def validate_at(house: House, at: datetime, period: Period | None = None) -> dict[str, Any]:
    """Apply the rules of belief to one month, or to the last that is over; return the counts.

    Raises:
        WindowNotOverError: the month asked for still runs.
    """
    zone = house.settings.zone
    wanted = period or Period.holding(at, zone).before()
    counts = await validate(
        store=Findings(house.pool), window=window_of(wanted, zone), at=at, heated=HEATED
    )
    return {wanted.label: asdict(counts)}


async def validate_due(house: House, at: datetime) -> dict[str, Any]:
    """Apply the rules once a day, after the town's hour, and return the counts by month.

    Gone over are the month that was over yesterday or before, and every month in which something
    is held: what came late may answer it, or ask anew.
    """
    zone, findings = house.settings.zone, Findings(house.pool)
    since = midnight(local_day(at, zone), zone) + timedelta(hours=house.settings.validate_hour)
    if at < since:
        return {}
    last = Period.holding(at, zone).before()
    held = await BillingStore(house.pool).periods_with_questions()
    starts = sorted({last.start} | {start for start in held if start < last.start})
    counts: dict[str, Any] = {}
    for start in starts:
        if not await findings.validated_since(start, since):
            counts |= await validate_at(house, at, Period.month(start.year, start.month))
    return counts


async def collect_at(
    house: House, client: Bank, at: datetime, *, watching: bool = True
) -> dict[str, Any]:
    """Do one round of collecting and return its counts; in a parallel run nothing is collected.

    Before it the rules are applied that stop the whole run, unless they were a moment ago.
    """
    if house.settings.parallel_run == "on":
        return {}
    store = Debits(house.pool, house.settings.bill_policy)
    watched = WatchCounts()
    if watching:
        watched = await watch(
            store=RunStops(house.pool),
            at=at,
            zone=house.settings.zone,
            limits=house.settings.breaker_limits,
        )
    heard = await hear(
        hints=Hints(house.pool), store=store, bank=client, at=at, limit=COLLECT_BATCH
    )
    switched = await switch(store=store, at=at, limit=COLLECT_BATCH)
    counts = await collect(
        store=store,
        bank=client,
        at=at,
        zone=house.settings.zone,
        limit=COLLECT_BATCH,
    )
    before = {"watch": asdict(watched), "hear": asdict(heard), "switched": switched}
    return before | asdict(counts)


async def audit_at(house: House, client: Bank | None, at: datetime) -> dict[str, Any]:
    """Derive everything again and compare, with the bank's books too if there is a bank.

    The bank's news is read first, so that what it told us in between is no contradiction.
    """
    if client is not None:
        store = Debits(house.pool, house.settings.bill_policy)
        await follow(store=store, bank=client, at=at, limit=COLLECT_BATCH)
    report = await audit(
        store=BillingStore(house.pool), bank=client, at=at, zone=house.settings.zone
    )
    for finding in report.findings[:FINDINGS_LOGGED_MAX]:
        log.error("audit.finding", kind=finding.kind, subject=finding.subject)
    return {"audit": "ok" if report.clean else "failed", **asdict(report)}


async def serve(house: House, stopping: asyncio.Event) -> None:
    """Do everything in one process until ``stopping`` is set."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(bank(house.settings))
        opened = await stack.enter_async_context(mailer(house.settings))
        await stack.enter_async_context(served(house, client))
        jobs: list[Coroutine[Any, Any, None]] = [house.servers.keep(stopping)]
        jobs.append(ingest_until(house, stopping))
        jobs += [validate_loop(house, stopping), reconcile_loop(house, stopping)]
        jobs.append(audit_loop(house, client, stopping))
        if client is not None:
            jobs.append(collect_loop(house, client, stopping))
            jobs.append(recon_loop(house, client, stopping))
        if opened is not None:
            jobs.append(deliver_loop(house, opened, stopping))
        log.info("serve.ready", collecting=client is not None)
        await together(jobs, stopping)


async def together(jobs: list[Coroutine[Any, Any, None]], stopping: asyncio.Event) -> None:
    """Run jobs side by side until all have ended; the first error ends the others too."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
            group.create_task(_until(stopping))
    finally:
        stopping.set()


async def _until(stopping: asyncio.Event) -> None:
    await stopping.wait()


async def reconcile_loop(house: House, stopping: asyncio.Event) -> None:
    """Bill what is due and correct what no longer holds, again and again."""

    async def step(at: datetime) -> None:
        await reconcile_at(house, at)
        await correct_at(house, at)

    await loop(step, name="reconcile", every=RECONCILE_EVERY, clock=house.clock, stopping=stopping)


async def correct_loop(house: House, stopping: asyncio.Event) -> None:
    """Correct bills, again and again."""

    async def step(at: datetime) -> None:
        await correct_at(house, at)

    await loop(step, name="correct", every=RECONCILE_EVERY, clock=house.clock, stopping=stopping)


async def validate_loop(house: House, stopping: asyncio.Event) -> None:
    """Apply the rules of belief, once a day."""

    async def step(at: datetime) -> None:
        await validate_due(house, at)

    await loop(step, name="validate", every=VALIDATE_EVERY, clock=house.clock, stopping=stopping)


async def collect_loop(house: House, client: Bank, stopping: asyncio.Event) -> None:
    """Collect, again and again; a round with full batches is followed by the next one at once.

    The rules that stop the run go over all its bills, so they are asked seldom.
    """
    watched_at: datetime | None = None

    async def step(at: datetime) -> None:
        nonlocal watched_at
        full = True
        while full and not stopping.is_set():
            watching = watched_at is None or at >= watched_at + WATCH_EVERY
            full = _full(await collect_at(house, client, at, watching=watching))
            watched_at = at if watching else watched_at
            at = house.clock.now()

    await loop(step, name="collect", every=COLLECT_EVERY, clock=house.clock, stopping=stopping)


def _full(counts: Mapping[str, Any]) -> bool:
    """Say whether a step of a round did all it may, so that more is waiting for the next one."""
    done = (
        ("notice", "noticed"),
        ("record", "recorded"),
        ("send", "accepted"),
        ("follow", "moved"),
    )
    return any(counts.get(step, {}).get(name, 0) >= COLLECT_BATCH for step, name in done)


async def audit_loop(house: House, client: Bank | None, stopping: asyncio.Event) -> None:
    """Check the books, again and again; what does not fit is logged as an error."""

    async def step(at: datetime) -> None:
        await audit_at(house, client, at)

    await loop(step, name="audit", every=AUDIT_EVERY, clock=house.clock, stopping=stopping)


async def ingest_loop(house: House, stopping: asyncio.Event) -> None:
    """Take telegrams from every broker, again and again."""
    jobs: list[Coroutine[Any, Any, None]] = [house.servers.keep(stopping)]
    jobs += [ingest_until(house, stopping)]
    await together(jobs, stopping)


async def web_until(house: House, stopping: asyncio.Event) -> None:
    """Answer the API until ``stopping`` is set."""
    async with bank(house.settings) as client, served(house, client):
        await together([house.servers.keep(stopping)], stopping)
