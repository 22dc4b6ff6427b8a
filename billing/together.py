"""Work on many at once, in which one bad one does not stop the others."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

log = structlog.get_logger()

Item = TypeVar("Item")
Done = TypeVar("Done")


async def together(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Awaitable[Done]],
    *,
    name: Callable[[Item], str],
) -> list[Done]:
    """Do work on all items at once; if that fails, on each alone, and log which one it was.

    ``work`` does all or nothing. One that fails alone is left as it is for the next round.

    Raises:
        Exception: what it raised for all at once, if it fails for each one too: it is not they.
    """
    try:
        return [await work(items)]
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one is not the others' fault
        trouble = error
    if len(items) == 1:
        _complain(name(items[0]), trouble)
        return []
    done: list[Done] = []
    failed: list[tuple[Item, Exception]] = []
    for item in items:
        try:
            done.append(await work([item]))
        except Exception as error:  # noqa: BLE001 - as above
            failed.append((item, error))
    if not done:
        raise trouble
    for item, its_trouble in failed:
        _complain(name(item), its_trouble)
    return done


def _complain(key: str, error: Exception) -> None:
    # Only what kind of mistake it is: the database's text would carry the row into our logs.
    log.error("debit.left_behind", key=key, error=type(error).__name__)
