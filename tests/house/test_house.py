"""Rules of the house that no linter knows. CONTRIBUTING.md gives each its reason."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sql

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "billing", "metering", "simulators", "sql")

# One step of the business each; everything else at a package's root is a noun.
VERBS = {
    "metering/ingest.py",
    "metering/republish.py",
    "metering/take_in.py",
    "metering/validate.py",
    "billing/adopt.py",
    "billing/announce.py",
    "billing/approve.py",
    "billing/aside.py",
    "billing/ask.py",
    "billing/audit.py",
    "billing/bank_recon.py",
    "billing/collect.py",
    "billing/deliver.py",
    "billing/enrol.py",
    "billing/export.py",
    "billing/follow.py",
    "billing/give_back.py",
    "billing/give_way.py",
    "billing/pay_back.py",
    "billing/refund_news.py",
    "billing/guard.py",
    "billing/hear.py",
    "billing/link.py",
    "billing/news.py",
    "billing/correct.py",
    "billing/decide.py",
    "billing/compare.py",
    "billing/preview.py",
    "billing/reconcile.py",
    "billing/recover.py",
    "billing/retire.py",
    "billing/retry.py",
    "billing/send.py",
    "billing/stop_debit.py",
    "billing/watch.py",
    "billing/switch.py",
    "billing/together.py",
    "billing/withdraw.py",
    "simulators/__main__.py",
    "simulators/conductor.py",
    "simulators/fleet.py",
    "simulators/recover.py",
    "simulators/replay.py",
}
NOUN_FOLDERS = (
    "metering",
    "metering/adapters",
    "billing",
    "billing/iso",
    "billing/recompute",
    "simulators",
)
# What the verbs need from outside, as protocols: it waits for nothing itself, and is no step.
PORTS = {"billing/recon_port.py", "metering/port.py"}
# What holds bills against the calculator; nothing that makes them is among them.
ASKERS_OF_THE_CALCULATOR = {"app/recompute_cli.py", "billing/proof_record.py"}
DRIVERS = {
    "aiohttp",
    "aiomqtt",
    "aiosql",
    "asyncpg",
    "mqtt5",
    "paho",
    "prometheus_client",
    "sql",
    "sqlite3",
    "structlog",
    "typer",
}
FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 400
SQL_IN_PYTHON = re.compile(
    r"\b(SELECT\s+.+\s+FROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE)\b",
    re.IGNORECASE | re.DOTALL,
)


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nouns() -> list[Path]:
    found = [
        path
        for package in NOUN_FOLDERS
        for path in (ROOT / package).glob("*.py")
        if name(path) not in VERBS | PORTS and path.name != "__init__.py"
    ]
    return sorted(found)


@cache
def parsed(path: Path) -> ast.Module:
    """Return a module's tree; many rules look at it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def billing() -> list[Path]:
    return sorted((ROOT / "billing").rglob("*.py"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        return [path for path in modules() if path.is_file()]
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


class TestNouns:
    """A noun is pure: no waiting, no driver, no log."""

    @pytest.mark.parametrize("path", nouns(), ids=name)
    def test_never_wait(self, path: Path) -> None:
        """An async def in a noun means that I/O has crept in."""
        tree = parsed(path)

        assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]

    @pytest.mark.parametrize("path", nouns(), ids=name)
    def test_know_no_driver(self, path: Path) -> None:
        """A noun that imports a driver, the queries or the log cannot be reasoned about alone."""
        tree = parsed(path)

        assert not DRIVERS & set(imported(tree))


class TestCalculator:
    """The calculator of billing/recompute is worth something because it shares nothing."""

    def test_imports_only_itself_and_what_comes_with_python(self) -> None:
        """Two calculations that share a line share its mistake; and anybody can copy the folder."""
        foreign = {
            f"{name(path)}: {module}"
            for path in (ROOT / "billing" / "recompute").glob("*.py")
            for module in imported(parsed(path))
            if module
            not in sys.stdlib_module_names | {"compare", "derive", "penalty", "record", "strict"}
        }

        assert foreign == set()

    def test_is_known_to_nothing_that_makes_bills(self) -> None:
        """The other way round would share as much; only what checks and shows may ask it."""
        askers = {
            name(path)
            for path in modules()
            if path.parent.name != "recompute"
            and any(
                isinstance(node, ast.ImportFrom)
                and (node.module or "").startswith("billing.recompute")
                for node in ast.walk(parsed(path))
            )
        }

        assert askers <= ASKERS_OF_THE_CALCULATOR


class TestMoney:
    """No float ever touches money: 0.1 + 0.2 is no sum an accountant would sign."""

    @pytest.mark.parametrize("path", billing(), ids=name)
    def test_is_never_a_float(self, path: Path) -> None:
        """Seconds to wait may be one, and so may what is refused for being one."""
        tree = parsed(path)
        seconds = {
            id(part)
            for node in ast.walk(tree)
            if (isinstance(node, ast.AnnAssign) and ast.unparse(node.target).lower().endswith("_s"))
            or (isinstance(node, ast.arg) and node.arg.endswith("_s"))
            for part in ast.walk(node)
        }
        refused = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance"
            for part in ast.walk(node)
        }
        floats = [
            f"{node.lineno}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if id(node) not in seconds | refused
            and (
                (isinstance(node, ast.Name) and node.id == "float")
                or (isinstance(node, ast.Constant) and isinstance(node.value, float))
            )
        ]

        assert floats == []

    @pytest.mark.parametrize("path", billing(), ids=name)
    def test_is_never_divided_into_one(self, path: Path) -> None:
        """Whole numbers divided with / are a float; exact fractions and names of files are not."""
        tree = parsed(path)
        if "pathlib" in imported(tree):
            # Files are io's or a command's, and there / joins their names.
            assert path.parent.name == "io" or path.name == "__main__.py"
            return
        divisions = [
            f"{node.lineno}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        ]

        assert [one for one in divisions if "exact" not in one] == []

    def test_is_whole_in_the_database(self) -> None:
        """A column of another kind would turn a tiyn into almost one."""
        offenders = [
            f"{path.name}: {found[0]}"
            for path in sorted((ROOT / "sql").rglob("*.sql"))
            if (
                found := re.search(
                    r"\b(double precision|real|float[48]?|money)\b(?=\s*(,|\)|NOT|CHECK|::|$))",
                    re.sub(r"--.*", "", path.read_text(encoding="utf-8")),
                    re.IGNORECASE | re.MULTILINE,
                )
            )
        ]

        assert offenders == []


class TestVerbs:
    """A verb is one step of the business."""

    def test_are_all_there(self) -> None:
        """A renamed verb must not turn into a noun unseen."""
        assert [verb for verb in sorted(VERBS) if not (ROOT / verb).is_file()] == []

    def test_speak_no_sql(self) -> None:
        """Verbs ask a store; only io/ binds queries."""
        offenders = [
            name(path)
            for path in modules()
            if path.parent.name != "io"
            and not name(path).startswith(("sql/", "app/"))
            and "sql.queries" in path.read_text(encoding="utf-8")
        ]

        assert offenders == []


class TestSql:
    """Every statement the system can run stands in sql/."""

    def test_stands_in_files_only(self) -> None:
        """A query in a Python string is prepared by no test and read by no reviewer.

        The simulated bank keeps a store of its own and is not one of us.
        """
        offenders = []
        for path in modules():
            if name(path).startswith("simulators/"):
                continue
            for node in ast.walk(parsed(path)):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and SQL_IN_PYTHON.search(text):
                    offenders.append(f"{name(path)}:{node.lineno}")

        assert offenders == []

    def test_has_a_caller_for_every_query(self) -> None:
        """A query nobody calls is deleted, not kept for later."""
        source = "\n".join(path.read_text(encoding="utf-8") for path in modules())
        orphans = [
            f"{path.name}: {query}"
            for path in sorted((ROOT / "sql").glob("*.sql"))
            if path.name != "schema.sql"
            for query in sql.queries(path.stem).available_queries
            if not query.endswith("_cursor") and not re.search(rf"\.{query}(_cursor)?\(", source)
        ]

        assert orphans == []

    def test_leaves_nothing_on_a_connection(self) -> None:
        """app/pool.py hands connections on as they are, so all must end with its transaction."""
        stays = (
            r"\bpg_(try_)?advisory_lock(_shared)?\(",
            r"\bLISTEN\b",
            r"(?m)^SET (?!LOCAL)(?!\w+ = )",
            r"\bTEMP(ORARY)?\b",
            r"\bWITH HOLD\b",
            r"\bset_config\([^)]*,\s*false\)",
        )
        wrong = [
            f"{path.name}: {found.group()}"
            for path in (ROOT / "sql").glob("*.sql")
            for pattern in stays
            for found in re.finditer(pattern, path.read_text(encoding="utf-8"))
        ]
        assert not wrong


class TestSizes:
    """Tripwires: a longer one needs a decision page, not a trick."""

    @pytest.mark.parametrize("path", modules(), ids=name)
    def test_modules_fit_in_a_head(self, path: Path) -> None:
        """A module is read in one sitting."""
        assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX

    @pytest.mark.parametrize("path", modules(), ids=name)
    def test_functions_fit_on_a_screen(self, path: Path) -> None:
        """A function is seen whole."""
        tree = parsed(path)
        long = [
            f"{node.name}: {node.end_lineno - node.lineno + 1}"
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno is not None
            and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
        ]

        assert long == []


class TestPaper:
    """What people read first keeps its promises."""

    @pytest.mark.parametrize("package", ["metering", "billing", "simulators"])
    def test_each_package_says_what_it_owns(self, package: str) -> None:
        """Owns, does not own, always true: the three things a newcomer asks."""
        text = (ROOT / package / "README.md").read_text(encoding="utf-8").lower()

        assert [part for part in ("owns", "does not own", "always true") if part not in text] == []

    def test_leaves_nothing_undone(self) -> None:
        """A note to oneself is a promise nobody keeps; write it down where it will be read."""
        pattern = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
        offenders = [
            name(path)
            for path in tracked()
            if path.suffix in {".py", ".sql", ".md", ".toml", ".yml"}
            and path != Path(__file__)
            and not name(path).startswith("app/static/")
            and pattern.search(path.read_text(encoding="utf-8"))
        ]

        assert offenders == []

    def test_map_in_the_readme_leads_somewhere(self) -> None:
        """Every path that the README's map names exists."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        named = re.findall(
            r"`((?:app|billing|metering|simulators|sql|tests|docs|scripts)/[\w./-]*)`", text
        )

        assert [path for path in named if not (ROOT / path).exists()] == []
        assert named
