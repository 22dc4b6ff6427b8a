"""Mosquitto without root: the distribution's own package, unpacked into our state folder.

The package manager is only asked to download, with the sources and keys the machine trusts already;
nothing is installed. Libraries that the machine lacks come the same way.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from app.servers.child import ServerError

log = structlog.get_logger()

# Mosquitto needs about ten libraries; more means that we misread the package.
PACKAGES_MAX: Final = 40
DOWNLOAD_S_MAX: Final = 300

MISSING: Final = (
    "No MQTT broker was found: install Mosquitto (Debian and Ubuntu: apt-get install mosquitto; "
    "Fedora: dnf install mosquitto), set AQKOL_MOSQUITTO_BIN to it, "
    "or set AQKOL_MQTT_URLS to a running broker."
)


def unpacked(folder: Path) -> Path | None:
    """Return the program of an earlier unpacking, None if there was none."""
    program = folder / "tree" / "usr/sbin/mosquitto"
    return program if os.access(program, os.X_OK) else None


def libraries(program: Path) -> list[str]:
    """Return the folders of the libraries that came with an unpacked program."""
    tree = program.parents[2]
    return sorted({str(library.parent) for library in tree.rglob("*.so*")})


def unpack(folder: Path) -> Path:
    """Download and unpack Mosquitto and what it lacks into a folder; return the program.

    Raises:
        ServerError: this is no Debian-like machine, or the packages cannot be had.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ServerError(MISSING)
    log.info("mosquitto.unpacking", folder=str(folder))
    half, packages = folder / "tree.half", folder / "packages"
    for stale in (half, packages):
        shutil.rmtree(stale, ignore_errors=True)
    packages.mkdir(parents=True)
    half.mkdir()
    wanted, seen = ["mosquitto"], {"mosquitto"}
    options = _lists(folder, packages)
    while wanted:
        name = wanted.pop()
        archive = _download(name, packages, options)
        _run(["dpkg-deb", "-x", str(archive), str(half)], packages)
        depends = _run(["dpkg-deb", "-f", str(archive), "Depends"], packages)
        new = [package for package in lacking(depends) if package not in seen]
        seen.update(new)
        wanted.extend(new)
        if len(seen) > PACKAGES_MAX:
            raise ServerError(MISSING)
    half.rename(folder / "tree")
    shutil.rmtree(packages)
    program = unpacked(folder)
    if program is None:
        raise ServerError(MISSING)
    return program


def _lists(folder: Path, packages: Path) -> list[str]:
    """Return the options for lists that know Mosquitto: the machine's own, else private ones."""
    try:
        _run(["apt-get", "-q", "download", "--print-uris", "mosquitto"], packages)
    except ServerError:
        lists = folder / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        cache = folder / "cache"
        (cache / "archives/partial").mkdir(parents=True, exist_ok=True)
        options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
        _run(["apt-get", "-q", *options, "update"], packages)
        return options
    return []


def _download(name: str, packages: Path, options: Sequence[str]) -> Path:
    _run(["apt-get", "-q", *options, "download", name], packages)
    found = sorted(packages.glob(f"{name}_*.deb"))
    if not found:
        raise ServerError(MISSING)
    return found[0]


def lacking(depends: str) -> list[str]:
    """Return the libraries among a package's needs that this machine does not have."""
    names = [re.split(r"[ (|:]", need.strip(), maxsplit=1)[0] for need in depends.split(",")]
    return [name for name in names if name.startswith("lib") and not installed(name)]


def installed(name: str) -> bool:
    """Say whether the machine has a package."""
    asked = subprocess.run(  # noqa: S603 - a name from the distribution's own package
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", name],  # noqa: S607 - the system's
        check=False,
        capture_output=True,
        text=True,
    )
    return asked.stdout.strip() == "installed"


def _run(command: Sequence[str], folder: Path) -> str:
    """Run a command of the package manager; its failure becomes our one sentence."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands with names from packages
            command, check=False, capture_output=True, text=True, cwd=folder, timeout=DOWNLOAD_S_MAX
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{MISSING} ({command[0]}: {error})") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it failed"])[-1]
        raise ServerError(f"{MISSING} ({command[0]} said: {said})")
    return done.stdout
