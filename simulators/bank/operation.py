"""One entry of the contract: a method, a path, and the function that does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from simulators.bank.fields import Fields
from simulators.bank.store import Document
from simulators.bank.wire import Text
from simulators.bank.world import Bank

# Resources whose amount somebody pays or gets back.
PAYING: Final = frozenset({"payments", "refunds"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as an operation sees it: whose id, which fields, which query."""

    identity: str
    fields: Fields
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation; `run` returns the resource, or a whole list envelope, or nothing (204)."""

    name: str
    method: str
    path: str
    run: Callable[[Bank, Call], Document | Text | None]
    creates: bool = False

    @property
    def kind(self) -> str:
        """Return the plural resource, which is also the envelope's key."""
        return self.name.split(".", 1)[0]

    @property
    def reads(self) -> bool:
        """Say whether nothing changes by it."""
        return self.method == "GET"

    @property
    def traits(self) -> frozenset[str]:
        """Return what the operation does, in the words of the table of faults."""
        pays = self.kind in PAYING and not self.lists and self.method != "DELETE"
        found = {
            "asks": True,
            "creates": self.creates,
            "reads": self.reads,
            "lists": self.lists,
            "itemises": self.name == "payout_items.list",
            "pays": pays,
        }
        return frozenset(name for name, has in found.items() if has)

    @property
    def envelope(self) -> str:
        """Return the key around the request: the resource's, or `data` for an action."""
        return "data" if "/actions/" in self.path else self.kind

    @property
    def lists(self) -> bool:
        """Say whether `run` returns the whole answer instead of one resource."""
        return self.name.endswith(".list")
