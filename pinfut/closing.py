"""Closing several things: one that fails does not keep the others open.

The first error is raised as it is, and the rest stands in its notes. No group: then what an
`except OSError:` around the close catches would depend on how many have failed. And notes are
text, so the errors do not keep each other's frames alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from traceback import format_exception_only
from typing import Final, Protocol

ENDS_THE_RUN: Final = (KeyboardInterrupt, SystemExit)
"""What is let through wherever it comes; everything else is an error of somebody's."""


class Closes(Protocol):
    """What can be closed."""

    def close(self) -> object: ...


@contextmanager
def closed_on_error(*things: Closes) -> Iterator[None]:
    """Close what was opened if the block raises, for then nobody gets it."""
    try:
        yield
    except BaseException:
        for thing in things:
            thing.close()
        raise


def close_each(calls: Iterable[Callable[[], object]]) -> None:
    """Make all the calls, also when some fail. Raises as `raise_first`."""
    errors: list[BaseException] = []
    for call in calls:
        try:
            call()
        except BaseException as error:
            errors.append(error)
    raise_first(errors)


def raise_first(errors: list[BaseException]) -> None:
    """Raise the first of `errors`, KeyboardInterrupt and SystemExit before others, with the rest
    as its notes; nothing if there are none. The list is emptied."""
    if not errors:
        return
    first = next((error for error in errors if isinstance(error, ENDS_THE_RUN)), errors[0])
    for note in ["".join(format_exception_only(error)) for error in errors if error is not first]:
        first.add_note(f"closing the others: {note.strip()}")
    errors.clear()
    try:
        raise first
    finally:
        del first  # or the traceback would keep what it is part of
