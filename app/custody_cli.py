"""What people do about a device by hand: freeze, remove, vouch, reissue; and its history."""

import re
from typing import Annotated, Any

import typer

from app.command import Json, MeterName, State
from app.meter_work import (
    NAME_MAX,
    REASON_MAX,
    Algorithm,
    Because,
    By,
    PublicHex,
    do,
    key_of,
    name_of,
    written,
)
from app.wiring import House
from metering.device import EDDSA, FROZEN, PENDING, REMOVED
from metering.io.custody import Custody
from metering.io.firmware import Firmwares


def freeze(
    meter_id: MeterName, *, because: Because, by: By, state: State = None, as_json: Json = False
) -> None:
    """Believe a meter nothing until the case that is opened is closed with an outcome."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        case_id = await _custody(house).freeze(
            name_of(meter_id), **_signed(because, by), at=house.clock.now()
        )
        return {"meter_id": meter_id, "state": FROZEN, "case_id": str(case_id)}

    do(work, state=state, as_json=as_json)


def remove(
    meter_id: MeterName, *, because: Because, by: By, state: State = None, as_json: Json = False
) -> None:
    """Take a meter that hangs nowhere any more out of service for good."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        await _custody(house).remove(
            name_of(meter_id), **_signed(because, by), at=house.clock.now()
        )
        return {"meter_id": meter_id, "state": REMOVED}

    do(work, state=state, as_json=as_json)


def vouch(  # noqa: PLR0913 - options
    meter_id: MeterName,
    *,
    public_key: PublicHex,
    because: Because,
    by: By,
    algorithm: Algorithm = EDDSA,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Give a meter whose keys were all revoked a new one on your word; a case is opened."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        key, fresh = await _custody(house).vouch(
            name_of(meter_id),
            key_of(algorithm, public_key),
            **_signed(because, by),
            at=house.clock.now(),
        )
        return {
            "meter_id": meter_id,
            "key_epoch": key.key_epoch,
            "kid": key.kid.hex(),
            "new": fresh,
        }

    do(work, state=state, as_json=as_json)


def reissue(
    meter_id: MeterName, *, because: Because, by: By, state: State = None, as_json: Json = False
) -> None:
    """Void the claim code of a meter nobody has claimed; the new one is printed this once."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        code = await _custody(house).reissue(
            name_of(meter_id), **_signed(because, by), at=house.clock.now()
        )
        return {"meter_id": meter_id, "state": PENDING, "claim_code": code}

    do(work, state=state, as_json=as_json)


def history(meter_id: MeterName, *, state: State = None, as_json: Json = False) -> None:
    """Tell what was done to a device, by whom and why, the newest first."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        notes = await _custody(house).history(name_of(meter_id))
        told = {
            f"{len(notes) - place}": {
                "event": one.event.value,
                "at": one.at.isoformat(),
                "by": one.by,
                "detail": one.detail,
            }
            for place, one in enumerate(notes)
        }
        return {"meter_id": meter_id, "events": told}

    do(work, state=state, as_json=as_json)


def firmware(  # noqa: PLR0913 - options
    meter_type: Annotated[str, typer.Argument(help="Type of meter, such as ultrasonic.")],
    sha256: Annotated[str, typer.Argument(help="SHA-256 of the firmware, 64 hex digits.")],
    *,
    approved: Annotated[bool, typer.Option("--approve/--withdraw")],
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Say whether meters of a type may run a firmware; those that claim another become cases."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        if re.fullmatch(r"[a-z0-9_]{1,32}", meter_type) is None:
            raise ValueError("a type of meter is up to 32 small letters, digits and underscores")
        word, fresh = await Firmwares(pool=house.pool).say(
            meter_type,
            bytes.fromhex(sha256),
            approved=approved,
            because=written(because, REASON_MAX),
            said_by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {
            "meter_type": meter_type,
            "firmware_sha256": word.firmware_digest.hex(),
            "approved": word.approved,
            "revision": word.revision,
            "new": fresh,
        }

    do(work, state=state, as_json=as_json)


def _custody(house: House) -> Custody:
    return Custody(pool=house.pool)


def _signed(because: str, by: str) -> dict[str, str]:
    return {"because": written(because, REASON_MAX), "by": written(by, NAME_MAX)}
