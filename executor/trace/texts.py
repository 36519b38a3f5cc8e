"""Futures, values and places as the text of an event: short, and without what differs from run to
run, addresses and folders."""

from __future__ import annotations

import re
from os.path import basename
from reprlib import Repr
from typing import Any, Final

from pinfut.coroutine import YIELD, CoroutineFuture
from pinfut.executor.trace.watched import WatchedTask

LONGEST: Final = 2_000
"""Characters of a message that are kept."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
# Possessive, and not in the middle of a name: it looks at each character a bounded number of times.
_FOLDER: Final = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?[/\\](?:[^\s:/\\]+[/\\])*+(?=[^\s:/\\]+:\d)")


class _Values(Repr):
    """The repr of plain values, cut short; of others their kind alone, and no address."""

    def repr_instance(self, x: Any, level: int) -> str:
        if x is None or isinstance(x, bool | float | bytes):
            return repr(x)[:60]
        kind = type(x).__name__
        return kind + self.repr_tuple(tuple(x), level) if isinstance(x, tuple) else f"<{kind}>"


_values: Final = _Values()


def shown(value: object) -> str | None:
    """A value as text; None for None."""
    if value is None:
        return None
    try:
        return _values.repr(value)
    except Exception:  # an int of very many digits, or what a program calls a list
        return f"<{type(value).__name__}>"


def kind_of(thing: object) -> str:
    """The kind of a future or an error, with its name if any; a coroutine is its function."""
    if thing is YIELD:
        return "yield_now"
    if isinstance(thing, CoroutineFuture):
        return f"{_short(getattr(thing._coro, '__qualname__', 'coroutine'))}()"
    kind = _short(type(thing).__qualname__)
    name = getattr(thing, "name", None)
    return kind if not isinstance(name, str) else f"{kind} {name[:80]!r}"


def named(leaf: object) -> str:
    """A future by its type, and its name if it has one; of a task its number, too."""
    if isinstance(leaf, WatchedTask):
        return f"Task {leaf.name!r} #{leaf.number}"
    return kind_of(leaf)


def place(where: str) -> str | None:
    """``folder/file.py:12`` without its folder; None for words that name no place."""
    return basename(where) if where.rpartition(":")[2].isdecimal() else None


def without_places(message: str) -> str:
    """A message without addresses and without the folders of files."""
    return _FOLDER.sub("", _ADDRESS.sub("", message[: 2 * LONGEST]))[:LONGEST]


def _short(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]
