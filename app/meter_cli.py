"""``aqkol meter``: make meters known, look at their keys, replace and revoke them."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import custody_cli, gap_cli, verbs
from app.command import DONE, Json, MeterName, State, in_house, say, settings_of
from app.meter_work import Algorithm, PublicHex, do, key_of, name_of
from app.wiring import House
from metering.device import EDDSA, PENDING, PublicKey
from metering.io.device_rows import DeviceKey, KeyKnownError
from metering.io.devices import (
    Devices,
    MeterKnownError,
)
from metering.meter import Meter
from metering.signed import EPOCH_MAX

# What PostgreSQL holds for a dial's step and a meter's flow, and for its dial.
INT_MAX: Final = 2**31 - 1
DIAL_DM3_MAX: Final = 10**15
# Who did it, in a device's history, where nobody was asked for a name.
BY_HAND: Final = "aqkol meter"
COLUMNS: Final = (
    "meter_id", "dial_dm3", "step_dm3", "qmax_dm3_h", "compensated", "algorithm", "public_key",
)  # fmt: skip
BOOLEANS: Final = {"true": True, "false": False}

Epoch = Annotated[int, typer.Argument(min=1, max=EPOCH_MAX, help="Epoch of the key.")]

meter = typer.Typer(help="Make meters known, and look after their keys.", no_args_is_help=True)
for _command in (
    gap_cli.gaps, gap_cli.declare_gap, gap_cli.withdraw_gap, custody_cli.freeze,
    custody_cli.remove, custody_cli.vouch, custody_cli.reissue, custody_cli.history,
    custody_cli.firmware,
):  # fmt: skip
    meter.command()(_command)


@meter.command()
def add(  # noqa: PLR0913 - options
    meter_id: MeterName,
    *,
    dial_dm3: Annotated[int, typer.Option(min=1000, max=DIAL_DM3_MAX)],
    step_dm3: Annotated[int, typer.Option(min=1, max=1_000_000)],
    qmax_dm3_h: Annotated[int, typer.Option(min=1, max=1_000_000_000)],
    compensated: Annotated[bool, typer.Option("--compensated/--no-compensated")],
    public_key: PublicHex,
    algorithm: Algorithm = EDDSA,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Register a meter with the key it made; its claim code is printed this once."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        wanted = Meter(
            meter_id=meter_id,
            dial_dm3=dial_dm3,
            step_dm3=step_dm3,
            qmax_dm3_h=qmax_dm3_h,
            compensated=compensated,
        )
        key = key_of(algorithm, public_key)
        code = await _devices(house).provision(wanted, key, by=BY_HAND, at=house.clock.now())
        return _made(meter_id, key, code)

    do(work, state=state, as_json=as_json)


@meter.command()
def show(meter_id: MeterName, *, state: State = None, as_json: Json = False) -> None:
    """Show a meter's state and every key it has or had."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        found, keys = await _devices(house).keys(name_of(meter_id))
        shown = {f"epoch {key.key_epoch}": _shown(key) for key in keys}
        return {"meter_id": meter_id, "state": found, "keys": shown}

    do(work, state=state, as_json=as_json)


@meter.command()
def rotate(  # noqa: PLR0913 - options
    meter_id: MeterName,
    epoch: Epoch,
    *,
    public_key: PublicHex,
    signature: Annotated[str, typer.Option(help="By the old key, in hexadecimal.")],
    algorithm: Algorithm = EDDSA,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Give a meter its next key, which the one before has signed."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        key = key_of(algorithm, public_key)
        signed = bytes.fromhex(signature)
        fresh = await _devices(house).rotate(
            name_of(meter_id), epoch, key, signed, by=BY_HAND, at=house.clock.now()
        )
        return {"meter_id": meter_id, "key_epoch": epoch, "kid": key.kid.hex(), "new": fresh}

    do(work, state=state, as_json=as_json)


@meter.command()
def revoke(
    meter_id: MeterName, epoch: Epoch, *, state: State = None, as_json: Json = False
) -> None:
    """Believe nothing more that a key signs, from the next telegram on."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        key = await _devices(house).revoke(
            name_of(meter_id), epoch, by=BY_HAND, at=house.clock.now()
        )
        return {"meter_id": meter_id, "key_epoch": epoch, **_shown(key)}

    do(work, state=state, as_json=as_json)


@meter.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help=f"CSV with a head: {','.join(COLUMNS)}.")],
    *,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Register the meters of a maker's list; a row that cannot be read stops all of it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        made = {}
        for wanted, key in _rows(file):
            try:
                code = await _devices(house).provision(
                    wanted, key, imported=True, at=house.clock.now()
                )
            except (MeterKnownError, KeyKnownError) as error:
                made[wanted.meter_id] = {"refused": str(error)}
            else:
                made[wanted.meter_id] = _made(wanted.meter_id, key, code)
        return made

    do(work, state=state, as_json=as_json)


@meter.command()
def republish(*, state: State = None, as_json: Json = False) -> None:
    """Tell all meters again what is safe, after a broker has lost what it kept for them."""

    async def main(house: House, _stopping: object) -> int:
        say(await verbs.republish_now(house), as_json=as_json)
        return DONE

    in_house(settings_of(state=state), main, broker=True)


def _devices(house: House) -> Devices:
    return Devices(pool=house.pool)


def _rows(file: Path) -> list[tuple[Meter, PublicKey]]:
    """Read a maker's list as a whole, so that half a file does nothing.

    Raises:
        ValueError: no file, or a row that is no meter with a key; the text says which.
    """
    found: list[tuple[Meter, PublicKey]] = []
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise ValueError(f"the first row must be {','.join(COLUMNS)}")
    try:
        found.extend(_row(row) for row in rows)
    except (csv.Error, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"row {rows.line_num} is no meter with a key: {error}") from None
    return found


def _row(row: dict[str, str]) -> tuple[Meter, PublicKey]:
    wanted = Meter(
        meter_id=row["meter_id"],
        dial_dm3=_whole(row["dial_dm3"], DIAL_DM3_MAX),
        step_dm3=_whole(row["step_dm3"], INT_MAX),
        qmax_dm3_h=_whole(row["qmax_dm3_h"], INT_MAX),
        compensated=BOOLEANS[row["compensated"]],
    )
    return wanted, key_of(row["algorithm"], row["public_key"])


def _whole(text: str, most: int) -> int:
    number = int(text)
    if not 0 < number <= most:
        raise ValueError(f"{number} is not between 1 and {most}")
    return number


def _made(meter_id: str, key: PublicKey, code: str) -> dict[str, Any]:
    return {
        "meter_id": meter_id,
        "state": PENDING,
        "key_epoch": 1,
        "kid": key.kid.hex(),
        "claim_code": code,
    }


def _shown(key: DeviceKey) -> dict[str, Any]:
    """Return what people want to know of a key; instants that never came are left out."""
    instants = {
        "added_at": key.added_at,
        "valid_until": key.valid_until,
        "frozen_at": key.frozen_at,
        "revoked_at": key.revoked_at,
    }
    return {
        "algorithm": key.algorithm,
        "kid": key.kid.hex(),
        "public_key": key.public_key.hex(),
        "origin": key.origin,
        **{name: at.isoformat() for name, at in instants.items() if at is not None},
    }
