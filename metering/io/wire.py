"""What meters, installations and readings look like on the wire of the API."""

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from metering.io.registry import RefusedMark, RefusedTelegram
from metering.io.route import AccountId, Instant, MeterId, PageSize, SupplyPointId, Wire

# The largest register that the schema can hold; no dial is larger.
REGISTER_DM3_MAX: Final = 10**15

RegisterDm3 = Annotated[int, Field(ge=0, le=REGISTER_DM3_MAX, description="whole dm3 (litres)")]


class CursorError(ValueError):
    """The place to go on from was not given out by this list."""


class NewMeter(Wire):
    """A meter: what its dial can show and how fast gas can pass."""

    meter_id: MeterId
    dial_dm3: Annotated[int, Field(ge=1000, le=REGISTER_DM3_MAX)]
    step_dm3: Annotated[int, Field(ge=1, le=1_000_000)]
    qmax_dm3_h: Annotated[int, Field(ge=1, le=1_000_000_000)]
    compensated: bool

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if self.step_dm3 >= self.dial_dm3:
            raise ValueError("step_dm3 must be smaller than dial_dm3")
        return self


class NewInstallation(Wire):
    """A meter hung up at a supply point, and what it showed then."""

    account_id: AccountId
    supply_point_id: SupplyPointId
    installed_at: Instant
    opening_dm3: RegisterDm3


class NewRemoval(Wire):
    """A meter taken down, and what it showed then."""

    removed_at: Instant
    closing_dm3: RegisterDm3


class InstallationShown(Wire):
    """One stay of a meter at a supply point; open while removed_at is null."""

    meter_id: MeterId
    account_id: AccountId
    supply_point_id: SupplyPointId
    installed_at: Instant
    opening_dm3: int
    removed_at: Instant | None
    closing_dm3: int | None
    closing_turns: Annotated[
        int | None, Field(description="how often the dial passed zero between the two")
    ]


class MeterShown(Wire):
    """A meter of the registry."""

    meter_id: MeterId
    dial_dm3: int
    step_dm3: int
    qmax_dm3_h: int
    compensated: bool


class MeterInPlace(MeterShown):
    """A meter and where it has hung, oldest first."""

    installations: list[InstallationShown]


class MeterPage(Wire):
    """Meters in the order of their ids."""

    meters: list[MeterShown]
    next: str | None


class ReadingShown(Wire):
    """What a meter said, and how far we believe it."""

    read_at: Instant
    register_dm3: int
    verdict: str
    reason: str | None
    turns: int | None
    counter: int
    received_at: Instant


class ReadingPage(Wire):
    """Readings, oldest first."""

    readings: list[ReadingShown]
    next: Instant | None


class OwnMeter(Wire):
    """A meter that hangs or hung at the account."""

    installation: InstallationShown
    dial_dm3: int
    compensated: bool


class OwnMeters(Wire):
    """The meters of an account, oldest first."""

    meters: list[OwnMeter]


class RefusedShown(Wire):
    """A telegram that was not taken, and why; payload holds at most its first 4096 bytes."""

    sender: str
    reason: str
    detail: str
    topic: str
    digest: str
    payload_base64: str
    size_bytes: int
    times: int
    first_received_at: Instant
    last_received_at: Instant


class RefusedPage(Wire):
    """Refused telegrams, the latest first."""

    telegrams: list[RefusedShown]
    next: str | None


class MeterPath(Wire):
    """One meter."""

    meter_id: MeterId


class OwnPath(Wire):
    """One account."""

    account_id: AccountId


class OwnMeterPath(OwnPath):
    """One meter of one account."""

    meter_id: MeterId


class MeterQuery(Wire):
    """Which page of the meters."""

    after: MeterId | None = None
    limit: PageSize = 100


class ReadingQuery(Wire):
    """Which readings: after one instant and before another."""

    after: Instant | None = None
    until: Instant | None = None
    limit: PageSize = 100


class RefusedQuery(Wire):
    """Which page of the refused telegrams."""

    after: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,1000}$")] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


_MARK: Final = TypeAdapter(tuple[datetime, str, str, str])


def refused_shown(telegram: RefusedTelegram) -> RefusedShown:
    """Show a refused telegram; its payload may be any bytes, so it travels as base64."""
    return RefusedShown(
        sender=telegram.sender,
        reason=telegram.reason,
        detail=telegram.detail,
        topic=telegram.topic,
        digest=telegram.digest.hex(),
        payload_base64=base64.b64encode(telegram.payload).decode("ascii"),
        size_bytes=telegram.size_bytes,
        times=telegram.times,
        first_received_at=telegram.first_received_at,
        last_received_at=telegram.last_received_at,
    )


def cursor(telegram: RefusedTelegram) -> str:
    """Write down the place of a telegram in the list, as one opaque word."""
    place = [
        telegram.last_received_at.isoformat(),
        telegram.sender,
        telegram.digest.hex(),
        telegram.reason,
    ]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode("ascii").rstrip("=")


def mark(word: str) -> RefusedMark:
    """Read a place that ``cursor`` wrote.

    Raises:
        CursorError: the word is none of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        last_received_at, sender, digest, reason = _MARK.validate_json(raw)
        if last_received_at.utcoffset() is None or "\x00" in sender + reason:
            raise CursorError("this list never gave out that place")
        return RefusedMark(
            last_received_at=last_received_at,
            sender=sender,
            digest=bytes.fromhex(digest),
            reason=reason,
        )
    except (ValidationError, binascii.Error, ValueError):
        raise CursorError("this list never gave out that place") from None
