"""A small town in one process: homes with bills, the service several times over, and the bank.

``World.play`` runs one seed of one scenario: some days in which everything the scenario names goes
wrong, then days in which nothing does any more, until every debit has ended or waits for a person.
"""

import asyncio
import contextvars
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
from aiohttp import web
from aiohttp.resolver import ThreadedResolver

from app.run import is_away
from billing import enrol
from billing.breaker import Limits
from billing.collect import collect
from billing.debit import DebitId
from billing.give_back import RefundRefusedError, ask_back
from billing.hear import hear
from billing.io.bank import BankClient
from billing.ledger import Account, Phase, Transfer
from billing.mandate import Caps
from billing.refund import Cause
from billing.switch import switch
from billing.watch import watch
from tests.world.bank_side import TOKEN, URL, BankSide, open_bank_side
from tests.world.engine import Database, Key, Transaction
from tests.world.facts import MemoryFacts, month_of
from tests.world.invariants_people import see_stops
from tests.world.loop import Process, SeededLoop
from tests.world.memory import Bill, tables
from tests.world.memory_hints import MemoryHints
from tests.world.memory_stops import MemoryRunStops
from tests.world.memory_store import MemoryDebits
from tests.world.network import Network, Plug
from tests.world.short_way import LONG_WAY, ShortWay
from tests.world.truth import Told, Truth

START: Final = datetime(2026, 2, 2, 4, tzinfo=UTC)
ZONE: Final = "Asia/Almaty"
IBAN: Final = "KZ86125KZT5004100100"
DAY_S: Final = 86_400.0
HOUR_S: Final = 3600.0
HOMES: Final = 3
LIMIT: Final = 20
# How payers behave, by the given name that the bank goes by.
NAMES: Final = ("Aigul", "Aigul", "Aigul", "Aigul", "Penniless", "Fickle", "Late")
# How long a service waits between two rounds, and how often it does so.
PAUSES_S: Final = (30.0, 600.0, 8 * 3600.0, 16 * 3600.0, 24 * 3600.0)
PAUSE_WEIGHTS: Final = (3, 3, 4, 6, 4)
CALM_PAUSE_S: Final = 24 * 3600.0
# Once only waiting is left.
PATIENT_PAUSE_S: Final = 10 * 24 * 3600.0
PAUSES_MORE_MAX: Final = 3
CHAOS_DAYS: Final = 8
# What nothing comes of is given up after sixty days, and may begin again once before.
CALM_DAYS_MAX: Final = 260
# The bank pays nothing out to who owes it more; money confirmed for so long waits for that.
PATIENCE_DAYS: Final = 14
OVER: Final = frozenset(
    {
        "held",
        "settled",
        "reconciled",
        "failed",
        "cancelled",
        "charged_back",
        "exhausted",
        "review",
    }
)

ANNOUNCED: Final = frozenset({"noticed", "recorded"})
REFUND_OVER: Final = frozenset({"paid", "settled", "bounced", "returned", "refused", "review"})


@dataclass(slots=True, kw_only=True)
class Home:
    """An account, its mandate, and who pays."""

    account_id: str
    mandate_id: str
    bank_mandate_id: str
    given_name: str


@dataclass(slots=True)
class World:
    """Everything one run needs; scenarios turn its knobs."""

    seed: object
    loop: SeededLoop
    network: Network
    db: Database
    bank: BankSide
    rng: random.Random
    truth: Truth = field(default_factory=Truth)
    name: str = ""
    homes: list[Home] = field(default_factory=list)
    services: dict[str, Process] = field(default_factory=dict)
    kill_rates: dict[str, float] = field(default_factory=dict)
    pause_rates: dict[str, float] = field(default_factory=dict)
    on_moment: Callable[[str], None] | None = None
    on_recorded: Callable[[str, Process | None], None] | None = None
    pauses_s: tuple[float, ...] = PAUSES_S
    services_count: int = 2
    people: bool = True
    broken: list[str] = field(default_factory=list)
    chaos_days: float = CHAOS_DAYS
    pool: int = 5
    token: str = TOKEN
    calm: bool = False
    patient: bool = False
    checks: Any = None
    postbox: Any = None
    limits: Limits | None = None
    comparing: Any = None
    office: Any = None
    releases: Any = None
    connectors: list[aiohttp.TCPConnector] = field(default_factory=list)

    # -- time and processes

    @property
    def at(self) -> datetime:
        """Return the true instant."""
        return self.loop.now()

    def day(self, offset: int = 0) -> date:
        """Return a day in the town."""
        return (self.at.astimezone(ZoneInfo(ZONE)) + timedelta(days=offset)).date()

    def start(self, name: str) -> None:
        """Start a service process, or start it again."""
        process = Process(name)
        self.services[name] = process
        self.loop.spawn(process, self._serve(process))
        if self.comparing is not None and self.comparing.wants(name):
            self.loop.spawn(process, self.comparing.go(process))

    def kill(self, process: Process) -> None:
        """Kill a process and start it again a little later."""
        if process.alive and process.name in self.services:
            self.loop.kill(process)

    def start_later(self, process: Process) -> None:
        """Start a service again that was killed, some time later."""
        if self.services.get(process.name) is not process:
            return
        self.loop.call_later(
            self.rng.uniform(1.0, 900.0), self._restart, process, context=contextvars.Context()
        )

    def _restart(self, process: Process) -> None:
        if self.services.get(process.name) is process:
            self.start(process.name)

    def during(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Let something go on beside everything else, belonging to no process."""
        task = self.loop.create_task(coroutine, context=contextvars.Context())
        task.add_done_callback(self._ended)
        self.loop._kept.append(task)

    def _ended(self, task: asyncio.Task[object]) -> None:
        """Write down what went wrong beside everything else: it would end unheard."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not is_away(error):
            self.broken.append(f"the world ended by its own mistake: {error!r}")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[BankClient]:
        """Open the real client of the bank, over the network of this world."""
        async with ShortWay(self.network, self.bank, self._session) as session:
            yield BankClient(session, url=URL, token=self.token)  # type: ignore[arg-type]

    def _session(self) -> aiohttp.ClientSession:
        """Return a session of the real client, over the streams of this world."""
        connector = aiohttp.TCPConnector(
            resolver=ThreadedResolver(), use_dns_cache=False, socket_factory=lambda _: Plug()
        )
        self.connectors.append(connector)
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    async def _serve(self, process: Process) -> None:
        async with self.client() as bank:
            store = MemoryDebits(self.db, pool=self.pool)
            hints = MemoryHints(store)
            idle, told = 0, self._told()
            while True:
                await asyncio.sleep(self._pause_s())
                # All is calm: who found nothing to do looks again after two pauses, three, four.
                for _ in range(0 if self._announced() else min(idle, PAUSES_MORE_MAX)):
                    if told == self._told():
                        await asyncio.sleep(self._pause_s())
                told = self._told()
                at = self.at + process.skew
                if self.limits is not None:
                    stops = MemoryRunStops(store)
                    rules = watch(store=stops, at=at, zone=ZONE, limits=self.limits)
                    await self.guarded(process, rules)
                # What was set aside comes again, as in every round of the service's process.
                heard = hear(hints=hints, store=store, bank=bank, at=at, limit=LIMIT)
                await self.guarded(process, heard)
                cooled = switch(store=store, at=at, limit=LIMIT)
                await self.guarded(process, cooled)
                work = collect(store=store, bank=bank, at=at, zone=ZONE, limit=LIMIT)
                await self.guarded(process, work)
                idle = idle + 1 if self.calm and told == self._told() else 0

    def _told(self) -> tuple[int, str | None] | None:
        """Return what changes when there is something new, here or at the bank; None in storms."""
        return (self.db.commits, self.bank.newest_event()) if self.calm else None

    def _announced(self) -> bool:
        """Tell whether a debit has a day; who comes long after it has to announce another one."""
        return any(row.state in ANNOUNCED for row in self.db.rows["debit"].values())

    def _pause_s(self) -> float:
        usual = self.rng.choices(self.pauses_s, PAUSE_WEIGHTS)[0]
        # A run that stops itself wants to be looked at every day.
        waits = self.patient and self.limits is None and not self._announced()
        calm_s = PATIENT_PAUSE_S if waits else CALM_PAUSE_S
        most = calm_s if self.calm else usual
        return most * (0.5 + self.rng.random())

    async def guarded(self, process: Process, work: Coroutine[Any, Any, object]) -> None:
        """Do one batch; what the world does to it is waited out, a mistake of ours is a finding."""
        try:
            await work
        except Exception as error:
            if not is_away(error):
                self.broken.append(f"{process.name} ended by its own mistake: {error!r}")
                raise

    # -- what is there

    def settle_in(self, homes: int = HOMES) -> None:
        """Give every home a mandate at the bank, caps, and its first bill."""
        for number in range(1, homes + 1):
            name = self.rng.choice(NAMES)
            home = Home(
                account_id=f"ACC-{number}",
                mandate_id="M-1",
                bank_mandate_id=self.bank.mandate(given_name=name, iban=IBAN),
                given_name=name,
            )
            self.homes.append(home)
            self.truth.caps[home.account_id] = [(self.at, 100_000, 150_000)]
            _now(
                MemoryFacts(self.db).account(home.account_id),
                MemoryFacts(self.db).mandate(
                    home.account_id,
                    bank_mandate_id=home.bank_mandate_id,
                    payment_minor_max=100_000,
                    month_minor_max=150_000,
                ),
            )
            self.issue(home, "2026-01", self.rng.randrange(5_000, 70_000))

    def issue(self, home: Home, bill_no: str, total_minor: int, *, due_in: int = 0) -> None:
        """Issue a bill, as the billing run does: a second time changes nothing."""
        key = (home.account_id, bill_no)
        if key in self.db.rows["bill"]:
            return
        row = Bill(
            account_id=home.account_id,
            bill_no=bill_no,
            due_on=self.day(due_in),
            currency="KZT",
            kind="bill",
            total_minor=max(total_minor, 0),
            issued_at=self.at,
            period_start=month_of(bill_no)[0],
            period_end=month_of(bill_no)[1],
        )
        self.db.apply("bill", key, row)
        self.truth.bills[key] = [(self.at, total_minor)]
        self.loop.note("bill", *key, total_minor)
        if total_minor:
            self._post(home, bill_no, "net", total_minor)

    def change(self, home: Home, bill_no: str, more_minor: int) -> None:
        """Let a bill ask for more or less than before, as a correction does."""
        said = self.truth.bills[home.account_id, bill_no]
        said.append((self.at, said[-1][1] + more_minor))
        self.loop.note("bill changed", home.account_id, bill_no, more_minor)
        self._post(home, bill_no, f"more-{len(said)}", more_minor)

    def void(self, home: Home, bill_no: str) -> None:
        """Take a bill back whole."""
        total = self.truth.bills[home.account_id, bill_no][-1][1]
        row = Bill(
            account_id=home.account_id,
            bill_no=f"{bill_no}-2",
            due_on=self.day(),
            currency="KZT",
            kind="cancellation",
            corrects_bill_no=bill_no,
        )
        self.db.apply("bill", (home.account_id, row.bill_no), row)
        self.change(home, bill_no, -total)

    def _post(self, home: Home, bill_no: str, name: str, minor: int) -> None:
        sides = (Account.RECEIVABLE, Account.REVENUE)
        row = Transfer(
            account_id=home.account_id,
            transfer_id=f"bill/{bill_no}/{name}",
            phase=Phase.POSTED,
            debit_code=sides[minor < 0],
            credit_code=sides[minor > 0],
            amount_minor=abs(minor),
            currency="KZT",
            bill_no=bill_no,
            posted_at=self.at,
        )
        self.db.apply("transfer", (home.account_id, row.transfer_id), row)

    # -- what residents want

    async def wish(self, home: Home, wish: str) -> None:
        """Let a resident pause, resume or cancel, and try again until it is done."""
        calls = {"paused": enrol.pause, "active": enrol.resume, "cancelled": enrol.cancel}
        store = MemoryDebits(self.db)
        while True:
            try:
                await calls[wish](
                    store=store,
                    account_id=home.account_id,
                    mandate_id=home.mandate_id,
                    at=self.at,
                )
            except enrol.MandateEndedError:
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(self.rng.uniform(1, 60))
                continue
            self.truth.wishes.setdefault(home.account_id, []).append((self.at, wish))
            self.loop.note("wish", home.account_id, wish)
            return

    async def set_caps(self, home: Home, payment_minor: int, month_minor: int) -> None:
        """Let a resident change his caps."""
        caps = Caps(payment_minor_max=payment_minor, month_minor_max=month_minor)
        try:
            await enrol.change_caps(
                store=MemoryDebits(self.db),
                account_id=home.account_id,
                mandate_id=home.mandate_id,
                caps=caps,
                at=self.at,
            )
        except (enrol.MandateEndedError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return
        self.truth.caps[home.account_id].append((self.at, payment_minor, month_minor))
        self.loop.note("caps", home.account_id, payment_minor, month_minor)

    async def give_back(self, debit_id: DebitId, amount_minor: int) -> None:
        """Let a person at the desk give money back; what cannot be is said to him."""
        try:
            await ask_back(
                store=MemoryDebits(self.db),
                debit_id=debit_id,
                amount_minor=amount_minor,
                cause=Cause.OPERATOR,
                asked_by="desk",
                because="he asked for it",
                at=self.at,
            )
        except (RefundRefusedError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return
        self.network.struck["given_back"] += 1

    # -- what is seen from outside

    def watch(self, process: Process | None, undo: list[tuple[str, Key, Any]]) -> None:
        """See every commit: what residents were told, what was about to be sent."""
        for table, key, _ in undo:
            row = self.db.rows[table].get(key)
            if table == "notice" and row is not None:
                told = Told(
                    at=self.at,
                    amount_minor=row.amount_minor,
                    currency=row.currency,
                    charge_on=row.charge_on,
                )
                self.truth.inbox.setdefault(key[:3], []).append(told)
            elif table == "debit_step" and row is not None:
                state = str(row.to_state)
                if state in {"recorded", "sending"}:
                    when = self.truth.recorded if state == "recorded" else self.truth.claimed
                    when.setdefault(key[:3], []).append(self.at)
                    if state == "recorded" and self.on_recorded is not None:
                        self.on_recorded(key[0], process)
        if self.releases is not None:
            self.releases.watch(process, undo)
        if self.checks is not None:
            self.checks.after_commit(undo)
            if self.limits is not None:
                see_stops(self.checks, undo, self.at)
        self.moment("after_commit", process)

    def before_commit(self, transaction: Transaction) -> None:
        """A commit is about to happen."""
        self.moment("before_commit", transaction.process)

    def moment(self, name: str, process: Process | None) -> None:
        """Kill a service at a moment that the scenario names."""
        if process is None or process.name not in self.services:
            return
        if self.on_moment is not None:
            self.on_moment(name)
        if self.rng.random() < self.kill_rates.get(name, 0.0):
            self.network.struck[f"kill_{name}"] += 1
            self.kill(process)
        elif self.rng.random() < self.pause_rates.get(name, 0.0):
            self.network.struck[f"pause_{name}"] += 1
            self.loop.pause(process, self.rng.uniform(200.0, 3600.0))

    async def ordinary_life(self) -> None:
        """Let further bills be issued, and residents change their minds now and then."""
        for home in self.homes:
            if self.rng.random() < 0.4:
                self.during(self._second_bill(home))
            if self.people and self.rng.random() < 0.3:
                self.during(self._change_of_mind(home))

    async def _second_bill(self, home: Home) -> None:
        await asyncio.sleep(self.rng.uniform(0, 4) * DAY_S)
        self.issue(home, "2026-02", self.rng.randrange(5_000, 90_000))

    async def _change_of_mind(self, home: Home) -> None:
        await asyncio.sleep(self.rng.uniform(0, 7) * DAY_S)
        what = self.rng.choice(("pause", "pause", "cancel", "caps"))
        if what == "caps":
            await self.set_caps(home, 200_000, 300_000)
            return
        await self.wish(home, "cancelled" if what == "cancel" else "paused")
        if what == "pause" and self.rng.random() < 0.7:
            await asyncio.sleep(self.rng.uniform(0, 3) * DAY_S)
            await self.wish(home, "active")

    # -- the play

    async def open_bank(self) -> None:
        """Let the bank answer at its address, in a process of its own."""
        process = Process("bank")
        self.network.bank = process

        async def serve() -> None:
            runner = web.AppRunner(self.bank.app(), access_log=None)
            await runner.setup()
            self.network.answering = runner.server  # type: ignore[assignment]

        await self.loop.spawn(process, serve())

    def calm_down(self) -> None:
        """Switch every fault off, and start what is dead."""
        self.calm = True
        self.loop.note("calm")
        self.network.weather.clear()
        self.kill_rates, self.pause_rates, self.on_moment = {}, {}, None
        self.on_recorded = None
        self.db.rates = {}
        self.bank.heal()
        self.token = TOKEN
        killed = list(self.services.values())
        self.services = {}
        for process in killed:
            self.loop.kill(process)
        self.start(killed[0].name)

    def heard_everything(self) -> bool:
        """Tell whether the service has dealt with every event of the bank."""
        handled = self.db.rows["bank_event"]
        return all((event_id,) in handled for event_id in self.bank.event_ids())

    def compared(self) -> bool:
        """Tell whether every payout has been compared with the statement since."""
        return self.comparing is None or self.comparing.done()

    def forget(self) -> None:
        """End the run; nobody closes connections of a world that is over."""
        for connector in self.connectors:
            connector._closed = True
        self.loop.finish()

    def unfinished(self) -> list[str]:
        """Return the debits that have neither ended nor stand before a person."""
        over = OVER | {"confirmed"} if self.patient else OVER
        debits = self.db.rows["debit"].items()
        refunds = self.db.rows["refund"].items()
        return [
            *(
                f"{'/'.join(map(str, key))} {row.state}"
                for key, row in debits
                if row.state not in over
            ),
            *(
                f"refund {'/'.join(map(str, key))} {row.state}"
                for key, row in refunds
                if row.state not in REFUND_OVER
            ),
        ]


def _now(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run what never waits."""
    for coroutine in coroutines:
        try:
            coroutine.send(None)
        except StopIteration:
            continue
        raise AssertionError("it waits")


def build(seed: object, *, start: datetime = START) -> World:
    """Return a world before its first instant; randomness must be repeatable already."""
    loop = SeededLoop(seed, start=start)
    network = Network(loop, seed)
    db = Database(tables(), seed)
    world = World(
        seed=seed,
        loop=loop,
        network=network,
        db=db,
        bank=open_bank_side(loop, seed),
        rng=random.Random(f"town {seed}"),  # noqa: S311 - chance, not secrecy
    )
    network.long_way = network.rng.random() < LONG_WAY
    db.now, db.note = loop.now, loop.note
    db.on_commit, db.before_commit = world.watch, world.before_commit
    network.moment = world.moment
    loop.on_death = world.start_later
    return world
