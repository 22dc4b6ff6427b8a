"""A page that says which test shows a thing names a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
DOCS = TESTS.parent / "docs"
# In these pages a name without a folder stands in tests/billing.
PAGES = ["bank-bad-input.md"]
NAMED = re.compile(r"`(?:(\w+)/)?(test_\w+\.py)(?:::(\w+))?(?:::(\w+))?`")


@cache
def classes_of(path: Path) -> dict[str, set[str]]:
    """Return the classes of a file, each with its tests."""
    return {
        node.name: {
            part.name
            for part in node.body
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }


class TestATestThatAPageNames:
    """A test that a page names ..."""

    @pytest.mark.parametrize("page", PAGES)
    def test_is_there(self, page: str) -> None:
        """Whoever believes the page and looks finds nothing where a test was renamed."""
        named = NAMED.findall((DOCS / page).read_text(encoding="utf-8"))
        lost = []
        for folder, name, group, test in named:
            path = TESTS / (folder or "billing") / name
            found = classes_of(path) if path.exists() else {}
            there = path.exists() if not group else group in found
            if not there or (test and test not in found[group]):
                lost.append(f"{folder or 'billing'}/{name}::{group}::{test}")

        assert len(named) > 9, "the page names its tests"
        assert lost == []
