"""Every attack on devices that we know by a number has a test that carries it in its name."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
# The list of attacks on devices, D01 to D26; tests/README.md has their names.
ATTACKS = [f"D{number:02d}" for number in range(1, 27)]
NUMBERED = re.compile(r"^Test((?:D\d\d)+)[A-Z]")


@cache
def attacked() -> dict[str, list[str]]:
    """Return the classes that carry a number, by number; only those with a test in them."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            numbered = NUMBERED.match(node.name)
            tests = [
                part
                for part in node.body
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
                and part.name.startswith("test_")
            ]
            if numbered and tests:
                for number in re.findall(r"D\d\d", numbered[1]):
                    found.setdefault(number, []).append(node.name)
    return found


class TestAttacks:
    """An attack on devices ..."""

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_has_a_test_with_its_number(self, attack: str) -> None:
        """A number without a test is a lock that nobody has tried."""
        assert attacked().get(attack), f"no class Test{attack}… with a test in it"

    def test_with_a_number_is_on_the_list(self) -> None:
        """A number that nobody has given is a slip of the pen."""
        assert set(attacked()) <= set(ATTACKS)

    def test_is_named_where_people_look(self) -> None:
        """The table in tests/README.md says the same as the tests: each number with its classes."""
        told = {
            row[1]: set(re.findall(r"`(Test\w+)`", row[3]))
            for row in re.finditer(
                r"^\| (D\d\d) \| ([^|]+) \| ([^|]+) \|$",
                (TESTS / "README.md").read_text(encoding="utf-8"),
                re.MULTILINE,
            )
        }

        assert told == {attack: set(classes) for attack, classes in attacked().items()}
