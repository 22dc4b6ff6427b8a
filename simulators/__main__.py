"""The outside world on the command line: python -m simulators fleet | replay | flood | bank."""

import sys
from typing import Final

from simulators.io.command import fleet_main, flood_main, replay_main

_USAGE: Final = """usage: python -m simulators fleet|replay|flood|bank [options]

  fleet         meters that live, write telegrams and keep them until the receipt
  replay FILE   a CSV with read_at and register_m3, through one meter
  flood         telegrams made beforehand, poured into a broker to see what it takes
  bank          a bank that keeps state

Each knows --help."""


def main(args: list[str]) -> int:
    """Run one simulator and return its exit code: 0 all well, 1 not all well, 2 bad usage."""
    match args:
        case ["fleet", *rest]:
            return fleet_main(rest)
        case ["replay", *rest]:
            return replay_main(rest)
        case ["flood", *rest]:
            return flood_main(rest)
        case ["bank", *rest]:
            # Only here, so that a fleet starts without a web server.
            from simulators.bank.command import main as bank_main  # noqa: PLC0415

            return bank_main(rest) or 0
        case ["--help"]:
            print(_USAGE)
            return 0
    print(_USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
