"""One run of one seed of one scenario, and what came of it."""

import asyncio
import functools
import gc
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp.connector
import structlog

from tests.world.chance import repeatable
from tests.world.comparing import Comparing
from tests.world.invariants import Checker
from tests.world.invariants_people import decided
from tests.world.invariants_recon import compared
from tests.world.loop import EndlessError, StuckError
from tests.world.office import Office
from tests.world.retelling import Retelling
from tests.world.scenarios import SCENARIOS, Switch
from tests.world.town import CALM_DAYS_MAX, DAY_S, PATIENCE_DAYS, World, build

_SILENT: Final = structlog.make_filtering_bound_logger(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run found; ``digest`` is the same for the same seed of the same code."""

    scenario: str
    seed: int
    wrong: tuple[str, ...]
    digest: str
    steps: int
    struck: Counter[str]
    states: Counter[str]
    trace: tuple[str, ...]


@functools.cache
def set_aside() -> None:
    """Let the collector pass over all that the first run has imported, in each run again."""
    gc.freeze()


@contextmanager
def quiet(world: World) -> Iterator[None]:
    """Let nobody write a log line, and let idle connections age with the world's time."""
    kept = aiohttp.connector.monotonic
    aiohttp.connector.monotonic = world.loop.time  # type: ignore[attr-defined]
    config = structlog.get_config()
    structlog.configure(wrapper_class=_SILENT)
    # What the collector throws away must not run in the middle of a run, wherever that may be.
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        set_aside()
        gc.enable()
        structlog.configure(**config)
        aiohttp.connector.monotonic = kept  # type: ignore[attr-defined]


async def _live(world: World, switch: Switch, checker: Checker) -> None:
    await world.open_bank()
    switch(world)
    for number in range(world.services_count):
        world.start(f"service-{number}")
    await world.ordinary_life()
    world.office.open()
    retelling = Retelling(world)
    world.during(retelling.remember())
    for _ in range(int(world.chaos_days)):
        await asyncio.sleep(DAY_S)
        world.bank.catch_up()
        checker.quiet(world.bank.documents("payments"), world.bank.documents("refunds"))
    world.calm_down()
    for day in range(CALM_DAYS_MAX):
        await asyncio.sleep(DAY_S)
        world.bank.catch_up()
        world.patient = day >= PATIENCE_DAYS
        if not world.unfinished() and world.heard_everything() and world.compared():
            break
    for line in await retelling.compare():
        checker.say(*line.split(" ", 1))
    refunds = world.bank.documents("refunds")
    checker.end(world.bank.documents("payments"), refunds, world.unfinished())
    payouts, items = world.bank.documents("payouts"), world.bank.documents("payout_items")
    compared(checker, payouts, items, world.comparing.came_minor)
    decided(checker, world.office.two_from_minor)
    if SCENARIOS[world.name].family == "none":
        checker.nobody_needed()
    if world.postbox is not None:
        checker.wrong.extend(world.postbox.check())
    if world.releases is not None:
        checker.wrong.extend(world.releases.wrong)
        world.network.struck += world.releases.struck


def play(name: str, seed: int) -> Outcome:
    """Run one seed of a scenario to its end."""
    scenario = SCENARIOS[name]
    with repeatable(f"{name} {seed}"):
        world = build(f"{name} {seed}", start=scenario.start)
        checker = Checker(world.truth, world.db.rows)
        world.checks, world.name = checker, name
        world.comparing, world.office = Comparing(world), Office(world)
        world.bank.keeper.on_order = lambda order: checker.order(order.at, order.key, order.body)
        world.bank.keeper.on_refusal = checker.refused
        with quiet(world):
            try:
                world.settle_in()
                world.loop.run_until_complete(_live(world, scenario.on, checker))
            except (StuckError, EndlessError) as error:
                checker.say("I10", f"{type(error).__name__}: {error}")
            finally:
                if world.releases is not None:
                    world.releases.forget()
                world.forget()
        digest = hashlib.sha256("\n".join(world.loop.trace).encode()).hexdigest()
        return Outcome(
            scenario=name,
            seed=seed,
            wrong=(*world.broken, *checker.wrong),
            digest=digest,
            steps=world.loop.steps,
            struck=world.network.struck + world.db.struck + world.bank.struck,
            states=Counter(str(row.state) for row in world.db.rows["debit"].values()),
            trace=tuple(world.loop.trace),
        )
