"""The families there are, found and not entered; what each of them owes to ingest."""

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.adapter import Message, Source, adapt
from metering.family import FAMILIES, about, found
from metering.telegram import Refusal
from tests.metering import toy_family

ALL: Final = {**FAMILIES, "toy": toy_family.read}
SOURCE: Final = Source(source_id="s", family="toy", topic="a/b", meter_id="AQ-1", device="A")
MESSAGE: Final = Message(
    topic="a/b", payload=b"", retained=False, received_at=datetime(2026, 3, 1, tzinfo=UTC)
)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "value", "time", "timestamp", "object", "data", "devEUI", "n", "v"]
            )
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


class TestFamilies:
    """A file in adapters/ ..."""

    def test_is_a_family_when_it_reads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing has to be entered anywhere, so nothing can be forgotten."""
        folder = tmp_path / "some_adapters"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "shared.py").write_text('"""What others share."""\n')
        (folder / "one.py").write_text(
            '"""One: a meter.\n\nMore of it.\n"""\ndef read(m, s): ...\n'
        )
        monkeypatch.syspath_prepend(str(tmp_path))

        families = found(__import__("some_adapters"))

        assert list(families) == ["one"]
        assert about(families["one"]) == "One: a meter."
        for name in [name for name in sys.modules if name.startswith("some_adapters")]:
            monkeypatch.delitem(sys.modules, name)

    def test_has_a_name_and_a_sentence(self) -> None:
        """The name goes into a table, the sentence to whoever has to choose."""
        for name, read in ALL.items():
            assert re.fullmatch(r"[a-z0-9_]{1,32}", name)
            assert len(about(read)) > 20

    def test_has_a_row_in_the_guide(self) -> None:
        """Whoever maps hardware looks there for what ``device`` is."""
        guide = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()
        table = guide.partition("| family |")[2]

        assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(FAMILIES)


class TestWhatAFamilyOwes:
    """Whatever comes, a family ..."""

    @given(document=JSON, device=st.sampled_from(["", "A", "00043094", "0123456789abcdef/x"]))
    def test_says_what_is_wrong_with_json(self, document: Any, device: str) -> None:
        """A mistake of ours would be caught and kept, and a meter would be silent all the same."""
        self._try(json.dumps(document).encode(), device)

    @given(payload=st.binary(max_size=200), device=st.sampled_from(["", "A"]))
    def test_says_what_is_wrong_with_bytes(self, payload: bytes, device: str) -> None:
        """Likewise."""
        self._try(payload, device)

    def _try(self, payload: bytes, device: str) -> None:
        for name, read in ALL.items():
            for topic in ("a/b", "application/1/device/0123456789abcdef/event/up"):
                message = replace(MESSAGE, payload=payload, topic=topic)
                said = adapt(replace(SOURCE, device=device), message, read)
                if isinstance(said, Refusal) and payload != b"bug":
                    assert not said.detail.startswith("not understood"), name
