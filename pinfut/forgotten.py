"""Forgotten awaits: a future that a statement throws away has done nothing, and that is said.

It is seen when the future goes, in a ``__del__`` that returns at once where it was polled. That
costs a tenth of a send into a channel, so of the kinds that are made by the million `AT_FIRST` are
watched, and all of them under ``-X dev`` or a ``-W``. Checked mode tells of more."""

from __future__ import annotations

import ast
import linecache
import sys
import warnings
from dis import opmap
from types import CodeType
from typing import Any, Final, TypeVar

T = TypeVar("T")

AT_FIRST: Final = 1_000
"""So many futures of a kind that is made by the million are watched."""

_PLACES: Final = 1_024  # how many places are remembered where futures go and nothing is forgotten
_LONG: Final = 60  # A call of more characters is named without its arguments
_POP_TOP: Final = opmap["POP_TOP"]
_CALLS: Final = frozenset(
    opmap[name] for name in ("CALL", "CALL_KW", "CALL_FUNCTION_EX") if name in opmap
)
_TAKES_OUT: Final = frozenset({"pop", "popleft", "popitem", "__exit__", "__delitem__"})
"""Calls that give what was there before: a statement of these may throw it away."""

_innocent: set[tuple[int, int]] = set()


def tell_if_forgotten(future: object, *inside: str, outcome: str = "it did nothing") -> None:
    """Warn if the statement that has just ended made `future` and threw it away. For ``__del__``,
    which calls this itself, of a future that was not polled. `inside`: the attributes with the
    futures that go with it, of which nothing more is said."""
    record = getattr(future, "_law", None)
    if (record is not None and record.must_be_taken) or sys.is_finalizing():
        return  # its record tells
    try:
        frame = sys._getframe(2)
    except ValueError:
        return  # no Python code runs
    code = frame.f_code
    # The address may be another code's one day: then that place is not told of.
    place = (id(code), frame.f_lasti)
    if place in _innocent:
        return
    call = _call_before(code, frame.f_lasti)
    if call is None or frame.f_globals.get("__name__", "").startswith("pinfut."):
        if len(_innocent) >= _PLACES:
            _innocent.clear()
        _innocent.add(place)
        return
    kind = type(future).__qualname__
    warnings.warn(
        f"{call or f'a {kind}'} was never awaited, so {outcome}: the statement threw its future "
        f"(a {kind}) away. Write 'await {call or '...'}'",
        RuntimeWarning,
        stacklevel=3,
    )
    _innocent.add(place)
    for attribute in inside:
        delattr(future, attribute)
    _innocent.discard(place)


def _call_before(code: CodeType, lasti: int) -> str | None:
    """The source of the call, if known, whose value `lasti` throws away; None if there is none."""
    bytecode = code.co_code
    if lasti < 0 or bytecode[lasti] != _POP_TOP:
        return None
    before = lasti - 2
    while before > 0 and bytecode[before] == 0:  # the caches of an instruction follow it
        before -= 2
    if bytecode[before] not in _CALLS:
        return None
    positions = list(code.co_positions())[before // 2]
    text = _source(code.co_filename, *positions)
    try:
        call = ast.parse(text, mode="eval").body
    except SyntaxError:
        return ""
    if not isinstance(call, ast.Call):
        return ""
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    if name in _TAKES_OUT:
        return None
    return text if len(text) <= _LONG and "\n" not in text else f"{ast.unparse(call.func)}(...)"


def _source(
    filename: str, first: int | None, last: int | None, begin: int | None, end: int | None
) -> str:
    if first is None or last is None or begin is None or end is None:
        return ""
    lines = [line.encode() for line in linecache.getlines(filename)[first - 1 : last]]
    if not lines:
        return ""
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    return b"".join(lines).decode(errors="replace")


def watch_at_first(cls: type[T]) -> type[T]:
    """Watch `AT_FIRST` futures of `cls`, polled if they have a `waker`; all if warnings are on."""
    # Invariant: how many more are watched.
    left = sys.maxsize if sys.flags.dev_mode or sys.warnoptions else AT_FIRST

    def __del__(self: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            del cls.__del__  # type: ignore[attr-defined]
        if self.waker is None:
            tell_if_forgotten(self)

    cls.__del__ = __del__  # type: ignore[attr-defined]
    return cls
