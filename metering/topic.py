"""Topics and filters of MQTT (MQTT 5.0, section 4.7), and which of them a stranger may have.

``+`` stands for one whole level, ``#`` for all that follow and for the level above them. Neither
reaches a topic that begins with ``$``: those are the broker's own.
"""

import re
from typing import Final

# As many characters as a refused message keeps of its topic.
FILTER_CHARS_MAX: Final = 256
# What no source may hear: our own meters, and the corner where the doctor tries the queue.
OURS: Final = (("gas", "v1"), ("aqkol", "doctor"))

# Control characters break a line of a configuration; the others are no characters at all.
_UNFIT: Final = re.compile("[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class FilterError(ValueError):
    """A filter that is none, or that would hear what is ours; the message says which."""


def checked(topic_filter: str) -> str:
    """Return a filter that a source may have.

    Raises:
        FilterError: it is none, or it would hear our own meters or the broker itself.
    """
    if not 0 < len(topic_filter) <= FILTER_CHARS_MAX:
        raise FilterError(f"a filter has 1 to {FILTER_CHARS_MAX} characters")
    if _UNFIT.search(topic_filter) is not None or topic_filter != topic_filter.strip():
        raise FilterError("a filter has no control characters, and no space at its ends")
    if topic_filter.startswith("$"):
        raise FilterError("topics that begin with $ are the broker's own")
    levels = topic_filter.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        raise FilterError("# stands alone, as the last level")
    if any("+" in level and level != "+" for level in levels):
        raise FilterError("+ stands alone in its level")
    for own in OURS:
        if overlap(topic_filter, "/".join((*own, "#"))):
            raise FilterError(f"{'/'.join(own)}/ is ours")
    return topic_filter


def has_wildcard(topic_filter: str) -> bool:
    """Say whether a filter can hear more than one topic."""
    return "+" in topic_filter or "#" in topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Say whether a filter hears a topic."""
    if topic.startswith("$") and not topic_filter.startswith("$"):
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at == len(levels):
            return False
        if level not in {"+", levels[at]}:
            return False
    return len(wanted) == len(levels)


def overlap(first: str, second: str) -> bool:
    """Say whether some topic is heard by both of two filters."""
    if first.startswith("$") != second.startswith("$") and {first[0], second[0]} & {"+", "#"}:
        return False
    return _meet(first.split("/"), second.split("/"))


def _meet(first: list[str], second: list[str]) -> bool:
    for at in range(max(len(first), len(second)) + 1):
        one = first[at] if at < len(first) else None
        other = second[at] if at < len(second) else None
        if "#" in {one, other}:
            return True
        if one is None or other is None:
            return one is other
        if "+" not in {one, other} and one != other:
            return False
    raise AssertionError("one of the two ends")
