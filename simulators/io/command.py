"""Run a fleet or a replay for a person or a program: options in, a summary and an exit code out."""

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from time import monotonic
from typing import Any, Final

import structlog
from aiomqtt import MqttError
from rich.console import Console

from simulators import signed, wire
from simulators.backlog import Outage, Packing
from simulators.conductor import conduct
from simulators.fleet import Fleet, Pace, connected, registry, run_free
from simulators.flood import Flood
from simulators.io.gateway import Broker, Manners, NoBrokerError
from simulators.io.options import fleet_parser, flood_parser, replay_parser
from simulators.io.pump import PumpError, Tap
from simulators.io.pump import connected as connected_pump
from simulators.io.truth import Truth, TruthError, write_keys
from simulators.meter import StoreFullError
from simulators.packet import PacketError
from simulators.recover import recover
from simulators.replay import Job, ReplayFileError, check_meter_id, replay, succeeded
from simulators.scenario import SCENARIOS
from simulators.tally import Tally
from simulators.town import Plan, PlanMismatchError, Town, build

log = structlog.get_logger()

_PROGRESS_S: Final = 0.5
_FAILED: Final = 1
_INTERRUPTED: Final = 130
# What a person can mend; everything else is a defect and shows its traceback.
_PLAIN_ERRORS: Final = (
    NoBrokerError,
    PlanMismatchError,
    ReplayFileError,
    StoreFullError,
    TruthError,
    OSError,
)


def fleet_main(args: list[str]) -> int:
    """Run a fleet and return its exit code: 0 when every telegram has its receipt."""
    parser = fleet_parser()
    options = parser.parse_args(args)
    try:
        plan = Plan(
            seed=options.seed,
            count=options.count,
            first_number=options.startnumber,
            prefix=options.prefix,
            start=options.start,
            registers_per_day=options.registers_per_day,
            scenario=SCENARIOS[options.scenario],
            first_counter=1 if options.signed else 0,
            server_key=_server_key(options),
        )
        check_meter_id(f"{plan.prefix}{plan.first_number + plan.count - 1:06d}")
        topics = _topics(options)
        outage = _outage(options)
    except ValueError as error:
        parser.error(str(error))
    return _run(_fleet(options, plan, topics, outage))


def replay_main(args: list[str]) -> int:
    """Replay a file and return its exit code: 0 when every row was stored or repeated."""
    return _run(_replay(replay_parser().parse_args(args)))


def flood_main(args: list[str]) -> int:
    """Pour a flood and return the exit code: 0 when the broker took every message."""
    parser = flood_parser()
    options = parser.parse_args(args)
    try:
        flood = Flood(
            meters=options.count,
            messages=options.messages,
            registers=options.registers,
            signed=options.signed,
            seed=options.seed,
            prefix=options.prefix,
            first_number=options.startnumber,
            first_counter=options.first_counter,
            start_s=int(options.start.timestamp()),
            opening_dm3=options.opening_dm3,
            step_dm3=options.step_dm3,
        )
    except ValueError as error:
        parser.error(str(error))
    if options.keys_out is not None:
        write_keys(options.keys_out, map(flood.identity, range(flood.meters)))
    tap = Tap(
        host=options.host,
        port=options.port,
        user=options.username,
        password=options.password,
        window=options.window,
        connections=options.connections,
        rate=options.rate,
        patience_s=options.patience,
    )
    try:
        pump = connected_pump(
            flood, tap, sample=options.receipts, processes=options.processes, clock=monotonic
        )
        if options.hold:
            _say({"ready": True, "prepared_s": round(pump.prepared_s, 3)})
            sys.stdin.readline()
        report = pump.pour()
    except (PumpError, PacketError, OSError) as error:
        sys.stderr.write(f"simulators: {error}\n")
        return _FAILED
    _say(report)
    return 0 if report["acked"] == flood.messages else _FAILED


def _topics(options: argparse.Namespace) -> wire.Topics:
    """Return where the meters speak and listen; raises ValueError."""
    template = options.topic or (signed.UP_TEMPLATE if options.signed else wire.UP_TEMPLATE)
    topics = wire.Topics(template=template, user=options.username or "")
    if topics.is_signed != options.signed:
        raise ValueError("a topic ends in /up for signed telegrams, in /up/json for plain ones")
    return topics


def _server_key(options: argparse.Namespace) -> bytes | None:
    """Return whose acknowledgements the meters believe, None for plain meters; raises ValueError.

    Without one a signing fleet can only show its keys.
    """
    if not options.signed:
        if options.server_key or options.keys_out:
            raise ValueError("--server-key and --keys-out go with --signed")
        return None
    if options.server_key is None and not (options.registry or options.keys_out):
        raise ValueError("--signed needs --server-key, or --keys-out to show the keys alone")
    key: bytes = options.server_key or bytes(signed.SERVER_KEY_BYTES)
    return key


def _outage(options: argparse.Namespace) -> Outage | None:
    """Return the outage to live through, if any; raises ValueError."""
    if options.outage is None:
        return None
    if options.conducted or options.keep:
        raise ValueError("an outage is neither conducted nor kept")
    packing = Packing(
        registers=options.registers_per_telegram, live_first=options.backlog == "live-first"
    )
    return Outage(
        hours=options.outage,
        live_hours=options.live_hours,
        calm_hours=options.calm_hours,
        packing=packing,
    )


async def _fleet(
    options: argparse.Namespace, plan: Plan, topics: wire.Topics, outage: Outage | None
) -> int:
    """Run the fleet that the options describe and print what came of it."""
    town = build(plan)
    if options.keys_out is not None:
        write_keys(options.keys_out, map(plan.identity, town.meters))
        if options.server_key is None:
            return 0
    if options.registry:
        _say(registry(town))
        return 0
    truth = _open_truth(options, town)
    try:
        async with connected(
            town=town,
            truth=truth,
            broker=_broker(options),
            topics=topics,
            manners=Manners(window=options.window, resend_after_s=options.resend_after),
            connections=options.connections,
            connect_interval_s=options.interval / 1000,
        ) as fleet:
            if options.conducted:
                await conduct(fleet, _lines(), _say, patience_s=options.patience)
                return 0 if fleet.waiting == 0 else _FAILED
            return await _free(options, fleet, outage)
    finally:
        truth.close()


async def _free(options: argparse.Namespace, fleet: Fleet, outage: Outage | None) -> int:
    """Run a fleet by itself and print its summary, also when it is interrupted."""
    clock = asyncio.get_running_loop().time
    pace = Pace(interval_s=options.interval_of_msg / 1000, limit=options.limit, until=options.until)
    begun_s = clock()
    done = False
    outcome: dict[str, Any] = {}
    try:
        async with _progress(fleet.tally, lambda: fleet.waiting):
            if outage is not None:
                outcome = await recover(fleet, outage, patience_s=options.patience)
                done = outcome["done"]
            else:
                done = await run_free(fleet, pace, patience_s=options.patience)
    finally:
        report = {
            "meters": len(fleet.town.meters),
            **outcome,
            **fleet.tally.report(clock() - begun_s),
            "waiting": fleet.waiting,
            "held": fleet.held,
        }
        _report(options, report)
    return 0 if done else _FAILED


async def _replay(options: argparse.Namespace) -> int:
    """Replay the file that the options name and print what came of it."""
    clock = asyncio.get_running_loop().time
    tally = Tally()
    begun_s = clock()
    job = Job(
        path=options.file,
        meter_id=options.meter,
        first_counter=options.first_counter,
        readings_per_telegram=options.readings_per_telegram,
    )
    async with _progress(tally, lambda: tally.telegrams - tally.results.total()):
        summary = await replay(
            job,
            broker=_broker(options),
            manners=Manners(window=options.window, resend_after_s=options.resend_after),
            tally=tally,
            patience_s=options.patience,
        )
    for row in summary["bad_first"]:
        sys.stderr.write(f"line {row['line']}: {row['reason']}\n")
    _report(options, {**summary, "seconds": round(clock() - begun_s, 3)})
    return 0 if succeeded(summary) else _FAILED


def _open_truth(options: argparse.Namespace, town: Town) -> Truth:
    """Open the files of a fleet and let the town live again what they remember."""
    if options.keep is None:
        return Truth.fresh(options.truth)
    truth, lived, answered = Truth.kept(options.keep, options.truth)
    town.resume(lived, answered)
    return truth


def _broker(options: argparse.Namespace) -> Broker:
    """Return the broker that the options name; raises OSError for an unreadable certificate."""
    tls = None
    if options.ssl:
        tls = ssl.create_default_context(cafile=options.cacertfile)
        if options.certfile:
            tls.load_cert_chain(options.certfile, options.keyfile)
    return Broker(
        host=options.host,
        port=options.port or (8883 if options.ssl else 1883),
        user=options.username,
        password=options.password,
        version=options.version,
        qos=options.qos,
        keepalive_s=options.keepalive,
        clean=options.clean == "true",
        tls=tls,
    )


async def _lines() -> AsyncIterator[str]:
    """Yield the lines of standard input, whatever it is connected to, until its end."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # The loop closed: nobody listens any more.
            for line in sys.stdin:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, "")

    # A daemon: it must not keep the process when the input stays open.
    threading.Thread(target=read, daemon=True).start()
    while line := await queue.get():
        if line.strip():
            yield line


def _say(answer: dict[str, Any]) -> None:
    """Print one JSON line for a program."""
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _report(options: argparse.Namespace, summary: dict[str, Any]) -> None:
    """Print a summary: one JSON object for a program, or a line per fact for a person."""
    if options.json:
        _say(summary)
        return
    for name, value in summary.items():
        sys.stdout.write(f"{name.replace('_', ' '):>26}  {value}\n")
    sys.stdout.flush()


@contextlib.asynccontextmanager
async def _progress(tally: Tally, waiting: Callable[[], int]) -> AsyncIterator[None]:
    """Show how far the telegrams are, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return

    async def show() -> None:
        with console.status("connecting") as status:
            while True:
                await asyncio.sleep(_PROGRESS_S)
                status.update(
                    f"{tally.telegrams:,} sent  {tally.results.total():,} receipts  "
                    f"{waiting():,} waiting  {tally.resent:,} sent again"
                )

    showing = asyncio.create_task(show())
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run to the end, to Ctrl-C or to an error that a person can mend; return the exit code."""
    # Standard output belongs to the summary and to the conductor.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    code, errors = _FAILED, list[Exception]()
    try:
        code = asyncio.run(_interruptible(work))
    except* _PLAIN_ERRORS as group:
        errors += group.exceptions
    if errors:
        sys.stderr.write(f"simulators: {_first(errors[0])}\n")
    return code


async def _interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Run work as a task that Ctrl-C and SIGTERM end in good order."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_note_left_over)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return _INTERRUPTED


def _note_left_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what a broken connection left behind in one line; show everything else in full."""
    error = context.get("exception")
    if isinstance(error, MqttError | OSError):
        log.warning("connection.left_over", reason=str(error))
    else:
        loop.default_exception_handler(context)


def _first(error: BaseException) -> BaseException:
    """Return the first plain error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
