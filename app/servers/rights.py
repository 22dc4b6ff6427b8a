"""How a server runs that refuses root, when we are root.

First choice is a user namespace (``unshare -U``): the process keeps owning root's files but has
no power beyond that. Where that is forbidden, as in many containers, it becomes uid 65534, and
its files move to where that user can reach them. We never create users and never open somebody's
folders.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# "nobody" on every Linux: the user that owns nothing.
NOBODY: Final = 65534

# Where the data of a dropped server lives if the state folder is closed to everybody but root.
SHARED: Final = Path("/var/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What stands before a command (``prefix``) and who runs it (``uid``; 0: whoever we are)."""

    prefix: tuple[str, ...] = ()
    uid: int = 0

    @property
    def owner(self) -> int:
        """The user who must own the server's files."""
        return self.uid or os.geteuid()


def namespaces_work() -> str | None:
    """Return the path of ``unshare`` if it can make a user namespace here, else None."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    tried = subprocess.run(  # noqa: S603 - a fixed command
        [unshare, "-U", "/bin/true"], check=False, capture_output=True
    )
    return unshare if tried.returncode == 0 else None


def unprivileged() -> Rights:
    """Return how to run a program that refuses root; nothing special for an ordinary user."""
    if os.geteuid() != 0:
        return Rights()
    unshare = namespaces_work()
    if unshare is not None:
        return Rights(prefix=(unshare, "-U"))
    return Rights(uid=NOBODY)


def reachable(path: Path, uid: int) -> bool:
    """Say whether a user without groups can reach what stands at a path."""
    for folder in path.resolve().parents:
        facts = folder.stat()
        wanted = stat.S_IXUSR if facts.st_uid == uid else stat.S_IXOTH
        if not facts.st_mode & wanted:
            return False
    return True


def home(wanted: Path, rights: Rights) -> Path:
    """Return a folder that the server can reach: the wanted one, or another that it then names.

    The name is written last, so that a crash in between leaves the data where it was.
    """
    wanted.mkdir(parents=True, exist_ok=True)
    wanted.chmod(0o711 if rights.uid else 0o700)
    pointer = wanted / "elsewhere"
    if pointer.exists():
        return Path(pointer.read_text(encoding="utf-8"))
    if not rights.uid or reachable(wanted / "data", rights.uid):
        return wanted.resolve()
    moved = Path(tempfile.mkdtemp(prefix="aqkol-", dir=SHARED))
    moved.chmod(0o711)
    data = wanted / "data"
    if data.is_dir():
        shutil.copytree(data, moved / "data", symlinks=True)
    draft = wanted / "elsewhere.draft"
    draft.write_text(str(moved), encoding="utf-8")
    draft.replace(pointer)
    shutil.rmtree(data, ignore_errors=True)
    return moved


def give(folder: Path, rights: Rights) -> None:
    """Make the server the owner of a folder of ours and of everything in it."""
    if os.geteuid() != 0 or folder.lstat().st_uid == rights.owner:
        return
    for inner in (*folder.rglob("*"), folder):  # The folder itself last: it says that all is done.
        os.chown(inner, rights.owner, rights.owner, follow_symlinks=False)


def private_folder(folder: Path, rights: Rights) -> Path:
    """Make a folder that nobody but the server may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    give(folder, rights)
    return folder


def copy_for(rights: Rights, folder: Path, trees: tuple[Path, ...], home_folder: Path) -> Path:
    """Return the folder of programs, from a copy if the server's user cannot reach the original."""
    if not rights.uid or reachable(folder / "postgres", rights.uid):
        return folder
    base = Path(os.path.commonpath([tree.parent for tree in trees]))
    copies = home_folder / "programs"
    shutil.rmtree(copies, ignore_errors=True)
    for tree in trees:
        shutil.copytree(tree, copies / tree.relative_to(base), symlinks=True)
    copies.chmod(0o755)
    return copies / folder.relative_to(base)
