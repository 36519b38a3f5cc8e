"""Closing several things: one that fails does not keep the others open.

The first error is raised as it is, and the rest stands in its notes: no group, which an
`except OSError:` would not catch, and text alone, which keeps no frames alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from traceback import format_exception_only
from typing import Any, Final, Protocol

ENDS_THE_RUN: Final = (KeyboardInterrupt, SystemExit)
"""What is let through wherever it comes; everything else is an error of somebody's."""

_TRACEBACK: Final[Any] = BaseException.__dict__["__traceback__"]
traceback_of: Final[Callable[[BaseException], Any]] = _TRACEBACK.__get__
set_traceback: Final = BaseException.with_traceback
"""Get and set it without the error's class, which may have its own idea of it. What an error is, is
asked of its type for the same reason: isinstance asks the error, too."""

_QUALNAME: Final[Any] = type.__dict__["__qualname__"]


def tell(log: Callable[..., None], error: BaseException, message: str, *args: object) -> None:
    """Log an error that is nobody's, also one whose class raises when it is shown."""
    try:
        log(message, *args, exc_info=(type(error), error, traceback_of(error)), stacklevel=2)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        log("%r: to show it raises %s", message, name_of(problem))


def name_of(error: BaseException) -> str:
    """The name of an error's class, whatever that says of itself."""
    name: str = _QUALNAME.__get__(type(error))
    return name


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
    first = next((error for error in errors if issubclass(type(error), ENDS_THE_RUN)), errors[0])
    with suppress(Exception):  # of their own classes
        for note in ["".join(format_exception_only(one)) for one in errors if one is not first]:
            first.add_note(f"closing the others: {note.strip()}")
    errors.clear()
    try:
        raise first
    finally:
        del first  # or the traceback would keep what it is part of
