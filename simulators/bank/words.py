"""The words of the hosted page, kept in words.json so that a translator can correct them."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

WORDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))
)
LANGUAGES: Final[Mapping[str, str]] = MappingProxyType(
    {code: words["language"] for code, words in WORDS.items()}
)
