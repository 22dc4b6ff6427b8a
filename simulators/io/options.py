"""The options of fleet and replay, under the names that users of emqtt-bench know."""

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from simulators.replay import check_meter_id
from simulators.scenario import SCENARIOS
from simulators.wire import COUNTER_MAX, READINGS_PER_TELEGRAM_MAX

# A fixed day, so that a seed gives the same registers whenever it is run.
_START: Final = "2025-01-01T00:00:00+05:00"
# A day; also refuses infinity.
_SECONDS_MAX: Final = 86_400
_INTERVAL_HELP: Final = "ms between two telegrams of one meter; 0: as fast as receipts allow"


def fleet_parser() -> argparse.ArgumentParser:
    """Return the options of the fleet."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators fleet",
        description="Seeded meters over MQTT; they keep each telegram until its receipt.",
        add_help=False,
    )
    add = parser.add_argument
    add("-c", "--count", type=_between(1, 10**6), default=10, help="meters")
    add("-n", "--startnumber", type=_between(0, 10**9), default=1, help="number of the first")
    add("-i", "--interval", type=_between(0, 10**6), default=10, help="ms between connects")
    add("-I", "--interval-of-msg", type=_between(0, 10**9), default=1000, help=_INTERVAL_HELP)
    add("-t", "--topic", help="%%b bucket, %%c meter, %%i number, %%u user")
    add("--connections", type=_between(1, 10**5), help="default: one for 500 meters")
    add("--prefix", default="AQ-", help="what meter names begin with")
    add("--seed", default="1")
    add("--scenario", choices=sorted(SCENARIOS), default="ordinary-days")
    add("--start", type=_instant, default=_START, help="simulated time, ISO 8601 with a zone")
    add("--until", type=_instant, help="simulated time at which a free fleet ends")
    add("--limit", type=_between(1, 10**12), help="telegrams after which a free fleet ends")
    add("--registers-per-day", type=int, choices=(1, 24), default=1)
    add("--truth", type=Path, help="JSON lines of every reading, written before it leaves")
    add("--keep", type=Path, help="directory that lets a fleet started again continue")
    add("--conducted", action="store_true", help="follow JSON lines on standard input")
    add("--signed", action="store_true", help="sign with a key that follows from the seed")
    add("--server-key", type=_key, help="hex; the service whose acknowledgements signers believe")
    add("--keys-out", type=Path, help="write meter, epoch and public key of everyone as JSON")
    add("--outage", type=_between(1, 10**4), help="hours all are without network, then catch up")
    add("--live-hours", type=_between(1, 300), default=6, help="lived while they catch up")
    add("--calm-hours", type=_between(0, 300), default=0, help="lived after that, to compare with")
    add("--registers-per-telegram", type=_between(1, READINGS_PER_TELEGRAM_MAX), default=24)
    add("--backlog", choices=("live-first", "oldest-first"), default="live-first")
    add("--registry", action="store_true", help="print the plates of the meters and end")
    _add_broker_options(parser)
    return parser


def _add_broker_options(parser: argparse.ArgumentParser) -> None:
    """Add what fleet and replay share; -h is the host, as people know it."""
    add = parser.add_argument
    add("--help", action="help", help="show this and end")
    add("-h", "--host", default="127.0.0.1")
    add("-p", "--port", type=_between(1, 65535))
    add("-u", "--username", help="name at the broker")
    add("-P", "--password", help="password at the broker")
    add("-V", "--version", type=int, choices=(4, 5), default=5, help="MQTT 3.1.1 or 5")
    add("-q", "--qos", type=int, choices=(0, 1, 2), default=1)
    add("-k", "--keepalive", type=_between(1, 65535), default=60, help="seconds")
    add("-C", "--clean", choices=("true", "false"), default="false", help="forget the session")
    add("-S", "--ssl", action="store_true")
    add("--cacertfile", type=Path)
    add("--certfile", type=Path)
    add("--keyfile", type=Path)
    add("--window", type=_between(1, 60000), default=2000, help="telegrams in flight")
    add("--resend-after", type=_seconds, default=5.0, help="seconds without a receipt")
    add("--patience", type=_seconds, default=60.0, help="seconds without any receipt at all")
    add("--json", action="store_true", help="the summary as one JSON object")


def replay_parser() -> argparse.ArgumentParser:
    """Return the options of replay."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators replay",
        description="Send a CSV with read_at and register_m3 (m3), plain or .gz, as one meter.",
        add_help=False,
    )
    add = parser.add_argument
    add("file", type=Path)
    add("--meter", required=True, type=check_meter_id, help="whose register it is")
    add("--first-counter", type=_between(0, COUNTER_MAX), default=1, help="of the first telegram")
    add("--readings-per-telegram", type=_between(1, READINGS_PER_TELEGRAM_MAX), default=200)
    _add_broker_options(parser)
    return parser


def flood_parser() -> argparse.ArgumentParser:
    """Return the options of the flood."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators flood",
        description="Telegrams made beforehand, poured into a broker as fast as it acknowledges.",
        add_help=False,
    )
    add = parser.add_argument
    add("--help", action="help", help="show this and end")
    add("-h", "--host", default="127.0.0.1")
    add("-p", "--port", type=_between(1, 65535), default=1883)
    add("-u", "--username", help="name at the broker")
    add("-P", "--password", help="password at the broker")
    add("-c", "--count", type=_between(1, 10**6), default=1000, help="meters")
    add("-n", "--startnumber", type=_between(0, 10**9), default=1, help="number of the first")
    add("--prefix", default="FL-", help="what meter names begin with")
    add("--messages", type=_between(1, 10**7), default=100_000, help="telegrams, of all meters")
    add("--registers", type=_between(1, READINGS_PER_TELEGRAM_MAX), default=1, help="per telegram")
    add("--signed", action="store_true", help="COSE instead of JSON")
    add("--seed", default="7", help="what the keys of the meters follow from")
    add("--keys-out", type=Path, help="write meter, epoch and public key of everyone as JSON")
    add("--first-counter", type=_between(1, COUNTER_MAX), default=1)
    add("--start", type=_instant, default=_START, help="one hour before the first register")
    add("--opening-dm3", type=_between(0, 10**12), default=1_000_000, help="register at the start")
    add("--step-dm3", type=_between(0, 10**6), default=100, help="burned in each hour")
    add("--connections", type=_between(1, 1000), default=1)
    add("--window", type=_between(1, 65535), default=2000, help="messages in flight, each")
    add("--rate", type=_between(0, 10**6), default=0, help="messages per second, each; 0: no limit")
    add("--receipts", type=_between(0, 10**6), default=0, help="meters whose receipts are timed")
    add("--processes", type=_between(1, 64), default=2, help="that sign before the start")
    add("--patience", type=_seconds, default=30.0, help="seconds without any answer at all")
    add("--hold", action="store_true", help='print {"ready": true}, begin at a line of input')
    return parser


def _between(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from low to high."""

    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return number


def _seconds(text: str) -> float:
    """Return a positive number of seconds."""
    value = float(text)
    if not 0 < value < _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


def _key(text: str) -> bytes:
    """Return a key out of hex digits."""
    return bytes.fromhex(text)


def _instant(text: str) -> datetime:
    """Return an instant with a zone."""
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone")
    return at
