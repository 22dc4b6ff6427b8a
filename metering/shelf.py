"""Sources that hear one topic, and which of them a message has to be read for.

Reading is dear, and a thousand devices may share a topic. A family can say how a device is spelt
(``spellings``, see ``family.py``); a message in which none of the spellings stands is about another
device. In doubt a message is read: nothing here may make a meter silent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metering.adapter import Message, Source
from metering.telegram import PAYLOAD_BYTES_MAX

# How a device of a source is spelt in bytes or a text; nothing when the family cannot say.
Spellings = Callable[[Source], Sequence[str]]

# So few are found faster one after another than by looking at each place of a message.
_FEW: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A source to read a message for, and how many others would refuse it if this one does."""

    source: Source
    others: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """Sources in their order, by what must stand in a message about them.

    ``always`` are places of those whose family cannot say; ``spelt`` are the others', by length and
    spelling; ``kinds`` are the others' too, family by family.
    """

    sources: tuple[Source, ...]
    always: tuple[int, ...]
    spelt: Mapping[int, Mapping[bytes, Sequence[int]]]
    kinds: tuple[tuple[int, ...], ...]

    def asked(self, message: Message) -> list[Asked]:
        """Return whom to read a message for, in the order of the sources.

        Of each family the first that the message is not about is asked as well: what it cannot read
        of a stranger's message, none of the others of its family can.
        """
        if not self.kinds:
            return [Asked(source, 0) for source in self.sources]
        named = self._named(message)
        if named is None:
            return [Asked(source, 0) for source in self.sources]
        others = dict.fromkeys([*self.always, *named], 0)
        for places in self.kinds:
            first = next((place for place in places if place not in named), None)
            if first is not None:
                strangers = len(places) - sum(place in named for place in places)
                others[first] = strangers - 1
        return [Asked(self.sources[place], others[place]) for place in sorted(others)]

    def _named(self, message: Message) -> set[int] | None:
        """Return the places of those that a message may be about; None when nobody can say."""
        if len(message.payload) > PAYLOAD_BYTES_MAX:
            return set()
        if b"\\u" in message.payload:
            # JSON may write any character so.
            return None
        said = message.topic.encode("utf-8", "surrogatepass") + b"\n" + message.payload
        # The one other way in which JSON hides a character that may stand in a spelling.
        said = said.replace(b"\\/", b"/").lower()
        named: set[int] = set()
        for length, spelt in self.spelt.items():
            if len(spelt) <= _FEW:
                found = [places for spelling, places in spelt.items() if spelling in said]
            else:
                ends = range(length, len(said) + 1)
                found = [spelt[part] for end in ends if (part := said[end - length : end]) in spelt]
            for places in found:
                named.update(places)
        return named


def shelf(sources: Sequence[Source], spellings: Mapping[str, Spellings | None]) -> Shelf:
    """Return sources by their devices; ``spellings`` has a function, or None, for each family."""
    always: list[int] = []
    spelt: dict[int, dict[bytes, list[int]]] = {}
    kinds: dict[str, list[int]] = {}
    for place, source in enumerate(sources):
        spell = spellings.get(source.family)
        texts = () if spell is None or not source.device else spell(source)
        if not texts or not all(_is_plain(text) for text in texts):
            always.append(place)
            continue
        kinds.setdefault(source.family, []).append(place)
        for text in texts:
            spelling = text.encode("utf-8", "surrogatepass").lower()
            spelt.setdefault(len(spelling), {}).setdefault(spelling, []).append(place)
    return Shelf(tuple(sources), tuple(always), spelt, tuple(map(tuple, kinds.values())))


def _is_plain(text: str) -> bool:
    """Say whether JSON writes a text as it is, or else in one of the two ways seen to above."""
    return bool(text) and text.isprintable() and not {'"', "\\"} & {*text}
