"""The families of foreign hardware, each by the name that a source gives it.

A family is a file in ``adapters/`` with a function ``read``; the first line of its text says what
it is. Files without one are what several families share. There is nothing else to enter.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Final

from metering import adapters
from metering.adapter import Read


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


FAMILIES: Final[dict[str, Read]] = found(adapters)
