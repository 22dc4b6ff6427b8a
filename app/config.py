"""The settings: one frozen object, the only reader of the environment.

Every setting is a variable ``AQKOL_<NAME>``. What is not set runs embedded or has the default
below.
"""

import difflib
import json
import os
import zoneinfo
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from billing.breaker import Limits
from billing.chart import Chart
from billing.contact import address_of
from billing.decision import REVIEW_TWO_FROM_MINOR
from billing.io.smtp import relay_of
from billing.money import BASIS_POINTS
from billing.payee import Payee, PayeeError, compact
from billing.policy import BillPolicy
from billing.webhook import SECRET_LENGTH_MIN, SECRETS_MAX

PREFIX: Final = "AQKOL_"
MASK: Final = "****"

MINIMUM_BILL: Final = r"^([A-Z]{3}:[0-9]{1,12}(,[A-Z]{3}:[0-9]{1,12})*)?$"

BankScheme = Literal["kz_direct", "sepa_core"]
LogFormat = Literal["auto", "json", "console"]


class SettingsError(Exception):
    """The settings cannot be used; the message is one plain sentence for each mistake."""


class Settings(BaseSettings):
    """Everything an installation decides. Secrets are masked wherever this is printed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    # PostgreSQL; unset: our own in the state folder.
    database_url: SecretStr | None = None
    # Brokers; unset: our own Mosquitto on loopback.
    mqtt_urls: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    # The port of our own Mosquitto; 0: any free one, kept from then on.
    mqtt_port: int = Field(default=0, ge=0, le=65535)
    # For mqtts://: who signs the brokers (unset: the system's authorities), and who we are there.
    mqtt_ca: Path | None = None
    mqtt_cert: Path | None = None
    mqtt_key: Path | None = None
    # The bank's API and our token there; unset: no debits are sent.
    bank_url: str | None = None
    bank_token: SecretStr | None = None
    bank_scheme: BankScheme = "kz_direct"
    # A bank without an API: the folder for its files, and our name in its scheme of direct debits.
    bank_files: Path | None = None
    creditor_id: str | None = Field(default=None, pattern=r"^[A-Z0-9]{1,35}$")
    # From this sum on, in minor units (10 000 tenge), two people decide about a debit in review.
    review_two_from_minor: int = Field(default=REVIEW_TWO_FROM_MINOR, ge=1, le=1_000_000_000)
    # The folder into which the bank's statements (camt.053) are put; unset: by hand only.
    statements: Path | None = None
    # What the bank signs its webhooks with, the newest first; unset: all of them are refused.
    bank_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    # From which figures on the debit run stops as a whole: season=300,plain=1000,...
    run_limits: str | None = None
    # The relay that takes our mails, and whom they come from; unset: all is read in the API.
    smtp_url: SecretStr | None = None
    mail_from: str | None = None
    # Our own API: where it listens, and how the world calls it.
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = None
    # Who is paid, as a payment order names him; all or none. Unset: documents say so.
    payee_name: str | None = None
    payee_bin: str | None = None
    payee_iban: str | None = None
    payee_bic: str | None = None
    payee_bank: str | None = None
    payee_kbe: str | None = None
    payee_knp: str | None = None
    # How the accountants call the accounts of our ledger: receivable=1210,revenue=6010,...
    chart: str | None = None
    # The town's time zone: where its days and months begin.
    zone: str = "Asia/Almaty"
    # From which local hour on the rules of belief go over what is over, once a day.
    validate_hour: int = Field(default=4, ge=0, le=23)
    # What else a town wants to know of a volume: at standard conditions; as energy, by whose rule.
    standard_volume: Literal["off", "on"] = "off"
    energy_rule: Literal["off", "uk", "it", "de"] = "off"
    # Corrections of less than this, in minor units (100 tenge), go onto the next bill.
    adjust_below_minor: int = Field(default=10_000, ge=0, le=100_000_000)
    # Gas of more whole months before a correction is not charged if the fault is ours; 0: all is.
    back_billing_months: int = Field(default=0, ge=0, le=36)
    # Beside another system: everything is worked out, nothing issued, corrected or debited.
    parallel_run: Literal["off", "on"] = "off"
    # Whether a person approves the figures of a month before its first bills go out.
    approval: Literal["off", "on"] = "off"
    # What becomes of money paid beyond all bills: used on the next ones, or to be sent back.
    credit: Literal["carry", "refund"] = "carry"
    # For how many days after a month late registers are waited for before they are made up.
    estimate_after_days: int | None = Field(default=None, ge=0, le=60)
    # What paying late costs: K of the published formula; unset: nothing.
    penalty_factor: Decimal | None = Field(default=None, gt=0, le=10, decimal_places=4)
    # From which amount on, in minor units by currency, a bill is asked for ("KZT:50000").
    minimum_bill: str = Field(
        default="", pattern=r"^([A-Z]{3}:[0-9]{1,12}(,[A-Z]{3}:[0-9]{1,12})*)?$"
    )
    # The folder of the embedded servers.
    state: Path = Path(".aqkol")
    log_format: LogFormat = "auto"
    # Our Ed25519 key for signed acknowledgements (64 hex digits); unset: one in the state folder.
    signing_key: Path | None = None
    # "off" tells no meter anything: only where nobody reads receipts, and for measuring.
    receipts: Literal["on", "off"] = "on"
    # Into how many shares the meters are cut, so that several processes can read them side by side.
    ingest_shares: Literal[1, 2, 4, 8, 16, 32, 64] = 1
    # On how many connections a month is billed side by side.
    billing_sessions: int = Field(default=2, ge=1, le=8)
    # For rehearsals: a file that says what time it is, moved by somebody else; unset: real time.
    clock_file: Path | None = None
    # Programs of PostgreSQL (a folder) and Mosquitto (a file), when they stand in a strange place.
    pg_bin: Path | None = None
    mosquitto_bin: Path | None = None

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _demand(value.get_secret_value(), ("postgresql", "postgres"), host=False)
        return value

    @field_validator("mqtt_urls", "bank_webhook_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take a JSON list, or several with commas between them."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                return tuple(json.loads(value))
            except json.JSONDecodeError as error:
                raise ValueError("is not a JSON list") from error
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("ingest_shares", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("mqtt_urls")
    @classmethod
    def _are_brokers(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for url in value:
            _demand(url.get_secret_value(), ("mqtt", "mqtts"), host=True)
        return value

    @field_validator("bank_webhook_secrets")
    @classmethod
    def _are_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if len(value) > SECRETS_MAX:
            raise ValueError(f"has at most {SECRETS_MAX}: the newest, and the one before it")
        if any(len(one.get_secret_value()) < SECRET_LENGTH_MIN for one in value):
            raise ValueError(f"must be {SECRET_LENGTH_MIN} letters or longer, each of them")
        return value

    @model_validator(mode="after")
    def _is_somebody(self) -> Self:
        """Refuse half an identity, which would silently be none."""
        if (self.mqtt_cert is None) is not (self.mqtt_key is None):
            raise ValueError("AQKOL_MQTT_CERT and AQKOL_MQTT_KEY belong together")
        return self

    @field_validator("smtp_url")
    @classmethod
    def _is_relay(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _ = relay_of(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return None if value is None else address_of(value)

    @model_validator(mode="after")
    def _can_write(self) -> Self:
        """Refuse a relay without a sender, which would silently write nothing."""
        if (self.smtp_url is None) is not (self.mail_from is None):
            raise ValueError("AQKOL_SMTP_URL and AQKOL_MAIL_FROM belong together")
        return self

    @field_validator("payee_bin", "payee_iban", "payee_bic", "payee_kbe", "payee_knp")
    @classmethod
    def _without_spaces(cls, value: str | None) -> str | None:
        return None if value is None else compact(value)

    @model_validator(mode="after")
    def _can_be_paid(self) -> Self:
        """Refuse half a payee, and one that no bank would pay."""
        said = self._payee_said()
        unset = [name for name, value in said.items() if value is None]
        if 0 < len(unset) < len(said):
            missing = ", ".join(f"AQKOL_PAYEE_{name.upper()}" for name in unset)
            raise ValueError(f"who is paid is said in full or not at all; missing: {missing}")
        try:
            _ = self.payee
        except PayeeError as error:
            raise ValueError(f"AQKOL_PAYEE_{error.field.upper()}: {error}") from error
        return self

    @field_validator("run_limits")
    @classmethod
    def _are_limits(cls, value: str | None) -> str | None:
        _ = Limits.parse(value or "")
        return value

    @model_validator(mode="after")
    def _has_one_bank(self) -> Self:
        """Refuse two banks, and files that no bank could take."""
        if self.bank_files is None:
            return self
        if self.bank_url is not None:
            raise ValueError("AQKOL_BANK_FILES and AQKOL_BANK_URL are two banks; set one")
        if self.creditor_id is None or self.payee is None:
            raise ValueError("AQKOL_BANK_FILES needs AQKOL_CREDITOR_ID and all of AQKOL_PAYEE_*")
        return self

    @field_validator("chart")
    @classmethod
    def _is_chart(cls, value: str | None) -> str | None:
        _ = Chart.parse(value or "")
        return value

    @field_validator("bank_url", "public_url")
    @classmethod
    def _is_web(cls, value: str | None) -> str | None:
        if value is None:
            return None
        _demand(value, ("http", "https"), host=True)
        if "@" in urlsplit(value).netloc:
            raise ValueError("must not hold a name or a password")
        return value.rstrip("/")

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{value!r} is not the name of a time zone, such as Asia/Almaty"
            ) from error
        return value

    @property
    def bill_policy(self) -> BillPolicy:
        """What the town decides about its bills besides prices."""
        pairs = [pair.split(":") for pair in self.minimum_bill.split(",") if pair]
        return BillPolicy(
            penalty_factor_bp=None
            if self.penalty_factor is None
            else int(self.penalty_factor * BASIS_POINTS),
            minimums_minor={currency: int(minor) for currency, minor in pairs},
            issues=self.parallel_run == "off",
            approval=self.approval == "on",
            estimate_after_days=self.estimate_after_days,
            mails=self.smtp_url is not None,
        )

    @property
    def brokers(self) -> tuple[str, ...]:
        """The brokers' addresses in clear, for those who connect."""
        return tuple(url.get_secret_value() for url in self.mqtt_urls)

    @property
    def breaker_limits(self) -> Limits:
        """From which figures on the debit run stops."""
        return Limits.parse(self.run_limits or "")

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """What the bank signs its webhooks with, in clear, for those who check."""
        return tuple(one.get_secret_value() for one in self.bank_webhook_secrets)

    @property
    def database(self) -> str | None:
        """The database's address in clear, for those who connect."""
        return self.database_url.get_secret_value() if self.database_url else None

    @property
    def statement_folder(self) -> Path | None:
        """Where statements are put; a bank without an API puts them among its other files."""
        beside = None if self.bank_files is None else self.bank_files / "statements"
        return self.statements or beside

    @property
    def chart_of_accounts(self) -> Chart:
        """How the accountants call the accounts of the ledger."""
        return Chart.parse(self.chart or "")

    @property
    def payee(self) -> Payee | None:
        """Who is paid; None when nobody said."""
        said = {name: value for name, value in self._payee_said().items() if value is not None}
        return Payee(**said) if said else None

    def _payee_said(self) -> dict[str, str | None]:
        return {field.name: getattr(self, f"payee_{field.name}") for field in fields(Payee)}

    def shown(self) -> dict[str, Any]:
        """Return the settings for people: passwords and tokens masked."""
        plain = self.model_dump(mode="json")
        plain["database_url"] = masked(self.database) if self.database else None
        plain["mqtt_urls"] = [masked(url) for url in self.brokers]
        plain["bank_token"] = MASK if self.bank_token else None
        plain["smtp_url"] = masked(self.smtp_url.get_secret_value()) if self.smtp_url else None
        plain["bank_webhook_secrets"] = [MASK for _ in self.bank_webhook_secrets]
        return plain


def masked(url: str) -> str:
    """Return an address without its password, nor a password among its parameters."""
    parts = urlsplit(url)
    place = parts.netloc
    if "@" in place:
        user, host = place.rsplit("@", 1)
        place = f"{user.split(':', 1)[0]}:{MASK}@{host}" if ":" in user else place
    query = "&".join(
        f"{pair.split('=', 1)[0]}={MASK}" if "password" in pair.split("=", 1)[0] else pair
        for pair in parts.query.split("&")
    )
    # urlunsplit would drop the empty place of postgresql:///name.
    text = f"{parts.scheme}://{place}{parts.path}"
    return text + (f"?{query}" if query else "")


def _demand(url: str, schemes: tuple[str, ...], *, host: bool) -> None:
    """Refuse an address of another kind, without repeating it: it may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and (not host or bool(parts.hostname))
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be an address that begins with {schemes[0]}://")


def load(**chosen: Any) -> Settings:  # noqa: ANN401 - options of the command line, validated below
    """Return the settings of this process; ``chosen`` (not None) wins over the environment.

    Raises:
        SettingsError: a value cannot be used, or a variable is none of ours (a typing error would
            otherwise silently mean the default).
    """
    names = set(Settings.model_fields)
    for variable in os.environ:
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else "."
            raise SettingsError(f"{variable} is not a setting{hint}")
    try:
        return Settings(**{name: value for name, value in chosen.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(" ".join(_sentence(fault) for fault in error.errors())) from None


def _sentence(fault: Mapping[str, Any]) -> str:
    said = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return f"{said}."
    return f"{PREFIX}{str(fault['loc'][0]).upper()}: {said}."
