"""The families of foreign hardware, each by the name that a source gives it.

A family is a file in ``adapters/`` with a function ``read``; the first line of its text says what
it is. Files without one are what several families share. There is nothing else to enter.

A family may have a function ``spellings`` as well. It returns texts of which one at least stands in
the topic or the payload of every message about a source's device, in any case of ASCII letters,
JSON's escapes aside; and nothing where that cannot be said. It must hold for all that ``read``
takes or refuses for this device alone, or a meter falls silent.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Final

from metering import adapters
from metering.adapter import Read
from metering.shelf import Spellings


def found(package: ModuleType) -> dict[str, Read]:
    """Return the families that stand in a package, by the names of their files."""
    families: dict[str, Read] = {}
    for file in pkgutil.iter_modules(package.__path__):
        read: Read | None = getattr(
            importlib.import_module(f"{package.__name__}.{file.name}"), "read", None
        )
        if read is not None:
            families[file.name] = read
    return families


def about(read: Read) -> str:
    """Return what a family is, in the first line of its file."""
    text = importlib.import_module(read.__module__).__doc__ or ""
    return text.strip().split("\n", 1)[0]


def spellings(read: Read) -> Spellings | None:
    """Return how a family spells its devices, or None when it does not say."""
    spell: Spellings | None = getattr(importlib.import_module(read.__module__), "spellings", None)
    return spell


FAMILIES: Final[dict[str, Read]] = found(adapters)
