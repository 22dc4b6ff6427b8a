"""./aqkol on a fresh machine: one environment, made once, mended after a kill."""

import ast
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, os, sys
import marker
print(json.dumps({"args": sys.argv[1:], "cwd": os.getcwd(), "python": sys.executable}))
"""

pytestmark = pytest.mark.timeout(120)


def checkout(folder: Path) -> Path:
    """Make a checkout with the real bootstrap, a tiny program and locks that name nothing."""
    for name in ("app", "locks", "scripts"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "aqkol", folder)
    (folder / "marker.py").write_text("")
    (folder / "app" / "__init__.py").write_text("")
    (folder / "app" / "__main__.py").write_text(PROGRAM)
    (folder / "scripts" / "check").write_text('#!/bin/sh\necho "checked $*"\n')
    (folder / "scripts" / "check").chmod(0o755)
    for name in ("run", "dev"):
        (folder / "locks" / f"{name}.txt").write_text(f"# nothing for {name}\n")
    return folder


def environment(**more: str) -> dict[str, str]:
    # No uv, no index: nothing here may come from a network.
    return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PIP_NO_INDEX": "1", **more}


def start(
    place: Path, *words: str, cwd: str = "/", **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(place / "aqkol"), *words],
        capture_output=True, text=True, cwd=cwd, check=False, env=environment(**more),
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Start once in a fresh checkout; the tests begin with copies of what that left."""
    place = checkout(Path(tempfile.mkdtemp(prefix="aqkol-b-")) / "checkout")
    said(start(place))
    yield place
    shutil.rmtree(place.parent)


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """Give a checkout with its environment."""
    shutil.copytree(made, tmp_path / "checkout", symlinks=True)
    return tmp_path / "checkout"


def stamp(place: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((place / ".venv" / "aqkol-installed.json").read_text())
    return found


class TestHandover:
    """The bootstrap hands over ..."""

    def test_what_it_was_given(self, place: Path) -> None:
        """Every word, and the folder in which the person stands."""
        answer = said(start(place, "simulate", "fleet", "-h", "127.0.0.1", cwd="/usr"))

        assert answer["args"] == ["simulate", "fleet", "-h", "127.0.0.1"]
        assert answer["cwd"] == "/usr"
        assert answer["python"] == str(place / ".venv" / "bin" / "python")

    def test_through_a_link(self, place: Path, tmp_path: Path) -> None:
        """A link in somebody's bin folder works as well."""
        link = tmp_path / "aqkol"
        link.symlink_to(place / "aqkol")

        assert said(start(tmp_path, "doctor"))["args"] == ["doctor"]

    def test_to_our_package_and_no_other(self, place: Path, tmp_path: Path) -> None:
        """A folder named app where the person stands is not ours."""
        (tmp_path / "app.py").write_text("raise SystemExit('the wrong app')")

        assert said(start(place, cwd=str(tmp_path)))["args"] == []

    def test_quietly(self, place: Path) -> None:
        """Nobody at a terminal, nothing to say."""
        assert start(place).stderr == ""


class TestInstalling:
    """The environment ..."""

    def test_is_made_once(self, place: Path) -> None:
        """The second start takes no longer than Python itself."""
        before = (place / ".venv" / "aqkol-installed.json").stat().st_mtime_ns

        said(start(place))

        assert (place / ".venv" / "aqkol-installed.json").stat().st_mtime_ns == before

    def test_follows_the_lock(self, place: Path) -> None:
        """A pull that changed the lock changes the environment at the next start."""
        before = stamp(place)
        (place / "locks" / "run.txt").write_text("# nothing else\n")

        said(start(place))

        assert stamp(place)["run"] != before["run"]

    @pytest.mark.slow
    def test_is_made_anew_after_a_kill(self, place: Path) -> None:
        """A half-written package looks installed; only a fresh environment is sure."""
        (place / ".venv" / "aqkol-unfinished").touch()
        (place / ".venv" / "half").touch()

        said(start(place))

        assert not (place / ".venv" / "half").exists()
        assert not (place / ".venv" / "aqkol-unfinished").exists()

    @pytest.mark.slow
    def test_is_made_anew_when_its_python_is_gone(self, place: Path) -> None:
        """An upgrade of the system's Python leaves a dangling link."""
        for name in (place / ".venv" / "bin").glob("python*"):
            name.unlink()

        said(start(place))

    def test_is_not_believed_without_its_stamp(self, place: Path) -> None:
        """Killed between the last package and the stamp: install again, it does no harm."""
        (place / ".venv" / "aqkol-installed.json").unlink()

        said(start(place))

        assert set(stamp(place)) == {"run"}

    @pytest.mark.slow
    def test_is_shared_by_two_starts_at_once(self, place: Path) -> None:
        """Two terminals, one checkout: the second waits for the first."""
        shutil.rmtree(place / ".venv")
        both = [
            subprocess.Popen(
                [sys.executable, str(place / "aqkol"), name], text=True, env=environment(),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for name in ("first", "second")
        ]  # fmt: skip
        answers = [process.communicate() for process in both]

        assert [process.returncode for process in both] == [0, 0], answers
        assert [json.loads(out)["args"] for out, _ in answers] == [["first"], ["second"]]

    def test_is_not_stamped_when_it_failed(self, place: Path) -> None:
        """A network that was down is tried again next time, and the reason is shown."""
        lock = "no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n"
        (place / "locks" / "run.txt").write_text(lock)

        failed = start(place)

        assert failed.returncode == 3
        assert "could not be installed" in failed.stderr
        assert "no-such-package" in failed.stderr
        assert not (place / ".venv" / "aqkol-installed.json").exists()

    def test_holds_what_the_lock_names(self, place: Path, tmp_path: Path) -> None:
        """A package with the digest of the lock is installed and can be imported."""
        wheel = tiny_wheel(tmp_path)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (place / "locks" / "run.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
        (place / "marker.py").write_text("import tiny")

        said(start(place, PIP_FIND_LINKS=str(wheel.parent)))

    @pytest.mark.parametrize("words", ["tiny==1.0", "tiny==1.0 --hash=sha256:" + "0" * 64])
    def test_takes_no_package_without_its_digest(
        self, place: Path, tmp_path: Path, words: str
    ) -> None:
        """What an index serves today need not be what was tested."""
        wheel = tiny_wheel(tmp_path)
        (place / "locks" / "run.txt").write_text(f"{words}\n")

        failed = start(place, PIP_FIND_LINKS=str(wheel.parent))

        assert failed.returncode == 3
        assert "hash" in failed.stderr.lower()


def tiny_wheel(folder: Path) -> Path:
    """Make a package of one empty module."""
    wheel = folder / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    about = "tiny-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr("tiny.py", "")
        content.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        content.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(f"{about}/RECORD", f"tiny.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n")
    return wheel


class TestDeveloper:
    """What developers start ..."""

    def test_gets_the_larger_environment(self, place: Path) -> None:
        """Checking needs more packages than running."""
        done = start(place, "check", "--fix")

        assert done.stdout == "checked --fix\n"
        assert set(stamp(place)) == {"run", "dev"}

    def test_leaves_it_good_for_running(self, place: Path) -> None:
        """The larger environment contains the other; going back and forth installs nothing."""
        start(place, "check")
        before = (place / ".venv" / "aqkol-installed.json").stat().st_mtime_ns

        said(start(place))

        assert (place / ".venv" / "aqkol-installed.json").stat().st_mtime_ns == before

    def test_stops_at_the_first_finding(self, place: Path) -> None:
        """What does not pass the check is not worth ten minutes of tests."""
        (place / "scripts" / "check").write_text("#!/bin/sh\nexit 1\n")

        assert start(place, "test").returncode == 1

    def test_hands_words_on_to_pytest(self, place: Path) -> None:
        """--quick is ours, the rest is pytest's."""
        (place / "pytest.py").write_text("import sys, os\nprint(sys.argv[1:], os.getcwd())")

        done = start(place, "test", "--quick", "tests/billing", "-k", "vat")

        words = ["-n", "2", "-m", "not slow and not planted", "tests/billing", "-k", "vat"]
        assert done.stdout == f"checked \n{words} {place}\n"

    def test_plays_many_seeds_when_asked(self, place: Path) -> None:
        """--sim is ours too: 200 seeds of each scenario, and nothing else."""
        (place / "pytest.py").write_text(
            "import sys, os\nprint(sys.argv[1:], os.environ['AQKOL_SIM_SEEDS'])"
        )

        done = start(place, "test", "--sim", "-k", "lost")

        words = ["-n", "2", "tests/world", "-k", "lost"]
        assert done.stdout == f"checked \n{words} 200\n"


class TestRefusals:
    """A machine that lacks something ..."""

    def test_is_told_that_its_python_is_too_old(self, place: Path) -> None:
        """One sentence instead of a syntax error."""
        program = (
            "import runpy, sys; sys.version_info = (3, 9, 2, 'final', 0);"
            f"sys.argv = ['aqkol']; runpy.run_path({str(place / 'aqkol')!r}, run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False,
            env={"PATH": "/nonexistent"},
        )  # fmt: skip

        assert done.returncode == 3
        assert done.stderr == (
            "aqkol: Python 3.11 or newer is needed and this is 3.9; "
            "install python3.11 and try again.\n"
        )

    def test_can_read_the_sentence(self) -> None:
        """The grammar of 3.8 is enough to get there."""
        ast.parse((ROOT / "aqkol").read_text(), feature_version=(3, 8))

    def test_is_told_that_the_checkout_is_not_whole(self, place: Path) -> None:
        """A copy without its locks cannot install."""
        shutil.rmtree(place / "locks")

        done = start(place)

        assert (done.returncode, "not whole" in done.stderr) == (3, True)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_is_told_that_it_may_not_write(self, made: Path) -> None:
        """Somebody else's checkout: say so, and what to do."""
        nobody = pwd.getpwuid(65534)
        made.parent.chmod(0o755)
        shutil.copytree(made, made.parent / "foreign", symlinks=True, dirs_exist_ok=True)
        (made.parent / "foreign" / "locks" / "run.txt").write_text("# changed\n")
        python = f"/usr/bin/python3.{sys.version_info.minor}"
        if not Path(python).exists():
            pytest.skip("needs the system's Python")

        done = subprocess.run(
            [python, str(made.parent / "foreign" / "aqkol")], capture_output=True, text=True,
            check=False, env=environment(), user=nobody.pw_uid, group=nobody.pw_gid,
            extra_groups=[], cwd="/",
        )  # fmt: skip

        assert done.returncode == 3
        assert "may not write" in done.stderr

    def test_does_not_run_a_pip_it_does_not_know(self, place: Path, tmp_path: Path) -> None:
        """The file has the right name and another content: an index may be anybody's."""
        wheels = tmp_path / "wheels"
        wheels.mkdir()
        (wheels / "pip-25.3-py3-none-any.whl").write_bytes(b"not pip")
        shutil.rmtree(place / ".venv")
        program = (
            "import runpy, sys; sys.modules['ensurepip'] = None;"
            f"sys.argv = ['aqkol']; runpy.run_path({str(place / 'aqkol')!r}, run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False,
            env=environment(PIP_FIND_LINKS=str(wheels), PIP_INDEX_URL=f"file://{wheels}"),
        )  # fmt: skip

        assert done.returncode == 3
        assert "has no pip" in done.stderr
        assert not (place / ".venv" / "pip-25.3-py3-none-any.whl").exists()
