"""``aqkol broker``: write the configuration of a broker that meters of strangers may reach."""

import os
import secrets
import sys
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

import typer

from app import broker_config
from app.broker_config import BrokerConfigError, Plan

UNUSABLE: Final = 2
NEW_KEY_BYTES: Final = 32

broker = typer.Typer(help="Prepare a broker of your own.", no_args_is_help=True)


@broker.callback()
def _group() -> None:
    """Keep ``config`` a command of its own while it is the only one."""


@broker.command("config")
def config(  # noqa: PLR0913 - options
    *,
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    folder: Annotated[
        str, typer.Option(help="Where the files will lie on the broker's machine.")
    ] = "/etc/mosquitto/aqkol",
    data: Annotated[
        str, typer.Option(help="Where the broker keeps its store.")
    ] = "/var/lib/mosquitto",
    address: Annotated[str, typer.Option(help="Where meters connect.")] = "0.0.0.0",  # noqa: S104 - meters come from outside
    port: Annotated[int, typer.Option(help="Port of meters with a certificate.")] = 8883,
    services_address: Annotated[str, typer.Option(help="Where services connect.")] = "127.0.0.1",
    services_port: Annotated[int, typer.Option(help="Port of the services.")] = 8884,
    psk_meters: Annotated[
        Path | None, typer.Option(help="Meters that get a shared key: a file, one per line.")
    ] = None,
    psk_port: Annotated[int, typer.Option(help="Port of meters with a shared key.")] = 8885,
    ingest: Annotated[
        list[str] | None, typer.Option(help="Name in the certificate of an ingest; repeatable.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="Filter of other makers' hardware that ingest hears; repeatable."),
    ] = None,
    gateway: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILTER: who may publish there; repeatable."),
    ] = None,
    revocations: Annotated[
        bool, typer.Option("--crl/--no-crl", help="Refuse revoked certificates.")
    ] = True,
    mosquitto: Annotated[str, typer.Option(help="Version of the broker, such as 2.0.")] = "2.0",
) -> None:
    """Write mosquitto.conf, acl and psk, and say which certificates go where."""
    try:
        plan = Plan(
            folder=PurePosixPath(folder),
            data=PurePosixPath(data),
            meters_address=address,
            meters_port=port,
            psk_port=psk_port if psk_meters is not None else None,
            services_address=services_address,
            services_port=services_port,
            ingests=tuple(ingest or ("aqkol-ingest",)),
            sources=tuple(source or ()),
            gateways=tuple(_gateway(text) for text in gateway or ()),
            revocations=revocations,
            version=_version(mosquitto),
        )
        write(plan, out, psk_meters)
    except (BrokerConfigError, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"aqkol: {error}.\n")
        raise typer.Exit(UNUSABLE) from None
    typer.echo(f"Written to {out}; it belongs in {folder}, with:")
    for name, holds in broker_config.places(plan).items():
        typer.echo(f"  {name:18}{holds}")


def write(plan: Plan, out: Path, psk_meters: Path | None) -> None:
    """Write the files; a meter keeps the key it has, one that is no longer listed loses it.

    Raises:
        BrokerConfigError: a name that is no meter's, or a key file that is not ours.
        OSError: a file that cannot be read or written.
    """
    keys: dict[str, bytes] = {}
    if psk_meters is not None:
        names = broker_config.meter_names(psk_meters.read_text(encoding="utf-8").splitlines())
        held = out / "psk"
        old = broker_config.read_psk(held.read_text(encoding="ascii")) if held.exists() else {}
        keys = {name: old.get(name) or secrets.token_bytes(NEW_KEY_BYTES) for name in names}
    out.mkdir(parents=True, exist_ok=True)
    (out / "mosquitto.conf").write_text(broker_config.conf(plan), encoding="ascii")
    (out / "acl").write_text(broker_config.acl(plan), encoding="utf-8")
    if psk_meters is not None:
        _write_secret(out / "psk", broker_config.psk(keys))


def _write_secret(path: Path, text: str) -> None:
    """Replace a file as a whole; at no moment may anybody else read it."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _gateway(text: str) -> tuple[str, str]:
    name, _, topic = text.partition("=")
    return name, topic


def _version(text: str) -> tuple[int, int]:
    numbers = text.split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers[:2]):  # noqa: PLR2004 - major and minor
        raise BrokerConfigError("the version must be like 2.0")
    return int(numbers[0]), int(numbers[1])
