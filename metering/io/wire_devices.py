"""What devices, their keys and their claims look like on the wire of the API."""

from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from metering.device import Event, PublicKey
from metering.firmware import FirmwareWord
from metering.io.device_rows import DeviceKey
from metering.io.route import Instant, MeterId, Wire
from metering.io.wire import NewMeter, RegisterDm3
from metering.io.wire_desk import Sentence
from metering.signed import EPOCH_MAX

KeyEpoch = Annotated[int, Field(ge=1, le=EPOCH_MAX)]
Algorithm = Literal["EdDSA", "ES256"]
PublicKeyHex = Annotated[
    str,
    Field(
        pattern=r"^([0-9a-f]{64}|04[0-9a-f]{128})$",
        description="32 bytes of Ed25519, or an uncompressed point of P-256",
    ),
]
SignatureHex = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
DigestHex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the photo")]
MeterTypeName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,32}$", examples=["diaphragm"])]
FirmwareHex = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the whole firmware")
]
# Sixteen letters in four groups, and a little room for what people type between them.
CODE_PATTERN: Final = r"^[0-9A-Za-z -]{16,24}$"


class NewKey(Wire):
    """A public key, checked to be a point that only one can sign for."""

    algorithm: Algorithm = "EdDSA"
    public_key: PublicKeyHex

    @property
    def key(self) -> PublicKey:
        """Return the key."""
        return PublicKey(algorithm=self.algorithm, public_key=bytes.fromhex(self.public_key))

    @model_validator(mode="after")
    def _can_be_a_key(self) -> Self:
        assert self.key.kid
        return self


class NewDevice(NewMeter, NewKey):
    """A meter together with its first key."""

    imported: Annotated[
        bool, Field(description="true when the key was not made inside the meter")
    ] = False


class DeviceMade(Wire):
    """A meter that waits to be claimed; its code is shown this once."""

    meter_id: MeterId
    state: str
    key_epoch: int
    kid: str
    claim_code: str


class KeyShown(Wire):
    """A key of a meter, and what stands against it."""

    key_epoch: int
    algorithm: str
    public_key: str
    kid: str
    origin: str
    added_at: Instant
    valid_until: Instant | None
    frozen_at: Instant | None
    revoked_at: Instant | None


class Keys(Wire):
    """The state of a meter and its keys, the newest first."""

    meter_id: MeterId
    state: str
    keys: list[KeyShown]


class NewRotation(NewKey):
    """The next key of a meter, signed by the key before it."""

    key_epoch: Annotated[int, Field(ge=2, le=EPOCH_MAX)]
    signature: SignatureHex


class NewClaim(Wire):
    """The code on the label of a meter."""

    code: Annotated[str, Field(pattern=CODE_PATTERN, examples=["0123-4567-89AB-CDEF"])]


class NewSight(Wire):
    """What somebody saw on the dial when the meter was hung up."""

    witness: Literal["installer", "resident"]
    register_dm3: RegisterDm3
    photo_digest: DigestHex


class StateShown(Wire):
    """The state of a meter: pending, active, frozen or removed."""

    meter_id: MeterId
    state: str


class NewReason(Wire):
    """Why a person does this."""

    because: Sentence


class NewVouchedKey(NewKey, NewReason):
    """A key that an operator vouches for, and why."""


class FrozenShown(StateShown):
    """A meter that was stopped, and the case whose outcome lets it go."""

    case_id: UUID


class CodeMade(StateShown):
    """The new claim code of a meter, shown this once."""

    claim_code: str


class NoteShown(Wire):
    """One line of a device's history; by is null where nobody at a desk did it."""

    event: Event
    at: Instant
    by: str | None
    detail: str


class History(Wire):
    """What was done to a device, the newest first."""

    meter_id: MeterId
    events: list[NoteShown]


class NewFirmwareWord(NewReason):
    """Whether meters of a type may run a firmware, which is named by its SHA-256."""

    meter_type: MeterTypeName
    firmware_sha256: FirmwareHex
    approved: bool


class FirmwareQuery(Wire):
    """Of which type of meter; left out, of all."""

    meter_type: MeterTypeName | None = None


class FirmwareShown(Wire):
    """A word on a firmware; the highest revision counts."""

    meter_type: str
    firmware_sha256: str
    revision: int
    approved: bool
    because: str
    said_by: str
    said_at: Instant


class FirmwareList(Wire):
    """Words on firmware, the newest first."""

    firmwares: list[FirmwareShown]


class KeyPath(Wire):
    """One key of one meter."""

    meter_id: MeterId
    epoch: Annotated[int, Field(strict=False, ge=1, le=EPOCH_MAX)]


def key_shown(key: DeviceKey) -> KeyShown:
    """Show a key; its bytes travel as hexadecimal digits."""
    return KeyShown(
        key_epoch=key.key_epoch,
        algorithm=key.algorithm,
        public_key=key.public_key.hex(),
        kid=key.kid.hex(),
        origin=key.origin,
        added_at=key.added_at,
        valid_until=key.valid_until,
        frozen_at=key.frozen_at,
        revoked_at=key.revoked_at,
    )


def firmware_shown(word: FirmwareWord) -> FirmwareShown:
    """Show a word on a firmware."""
    return FirmwareShown(
        meter_type=word.meter_type,
        firmware_sha256=word.firmware_digest.hex(),
        revision=word.revision,
        approved=word.approved,
        because=word.because,
        said_by=word.said_by,
        said_at=word.said_at,
    )
