"""Tracebacks of an unboxed frame: a line of its own for each embedded function.

The column of an instruction says which activation it is of (`frameplan.SHIFT`). When an error is
seen, the one entry of the frame is replaced by what plain coroutines would show."""

from __future__ import annotations

import sys
from array import array
from dis import opmap
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Final, final

from pinfut.unboxed.frameplan import SHIFT, Activation
from pinfut.unboxed.support import OF_CLOSE


def _here(getframe: Any = sys._getframe) -> FrameType:
    frame: FrameType = getframe()
    return frame


_HERE: Final[CodeType] = _here.__code__


@final
class Tracer:
    """Rewrites the tracebacks of one generated function."""

    __slots__ = ("_callers", "_calls", "_codes", "_functions", "_known", "_lines")

    def __init__(self, activations: list[Activation]) -> None:
        # Of each activation: its function, the one that called it (-1: nobody), and in which line.
        self._functions: tuple[FunctionType, ...] = tuple(
            each.plan.function for each in activations
        )
        self._callers = array(
            "l", [-1 if b.caller is None else b.caller.number for b in activations]
        )
        self._calls = array("l", [each.line for each in activations])
        # Activation → the code under whose name its entries stand; made when first needed.
        self._codes: dict[int, CodeType] = {}
        self._known: dict[CodeType, int] = {}
        # Code → the activation of each of its instructions.
        self._lines: dict[CodeType, array[int]] = {}

    def __call__(self, base: int) -> bool:
        """Rewrite the traceback of the error at hand, for `base`; is it that of a close?"""
        error = sys.exc_info()[1]
        if error is None or error.__traceback__ is None:
            return False
        frame = sys._getframe(1)
        close = isinstance(error, GeneratorExit) and _of_close(error, frame)
        error.__traceback__ = self._rewritten(error.__traceback__, frame, base)
        del error, frame
        return close

    def _rewritten(self, traceback: TracebackType, frame: FrameType, base: int) -> TracebackType:
        entries: list[TracebackType] = []
        each: TracebackType | None = traceback
        while each is not None:
            entries.append(each)
            each = each.tb_next
        new: TracebackType | None = None
        for index in range(len(entries) - 1, -1, -1):
            entry = entries[index]
            if entry.tb_frame is frame:
                number = self._activation(frame.f_code, entry.tb_lasti)
                if number == 0 and base == 0:
                    new = TracebackType(new, frame, entry.tb_lasti, entry.tb_lineno)
                else:
                    new = self._chain(new, frame, number, entry.tb_lineno, base)
                continue
            new = TracebackType(new, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
            if index == 0:
                inner = self._known.get(entry.tb_frame.f_code)
                if inner is not None and inner != base:
                    new = self._chain(new, frame, self._callers[inner], self._calls[inner], base)
        assert new is not None
        return new

    def _chain(
        self, new: TracebackType | None, frame: FrameType, number: int, line: int, base: int
    ) -> TracebackType:
        """Entries for the activation `number`, at `line`, and its callers up to `base`."""
        while True:
            shown = frame if number == 0 else self._frame(number)
            new = TracebackType(new, shown, -1, line)
            if number == base or number == 0:
                return new
            line = self._calls[number]
            number = self._callers[number]

    def _activation(self, code: CodeType, at: int) -> int:
        lines = self._lines.get(code)
        if lines is None:
            numbers = ((column or 0) >> SHIFT for _, _, column, _ in code.co_positions())
            lines = self._lines[code] = array("l", numbers)
        index = at // 2
        number = lines[index] if 0 <= index < len(lines) else 0
        return number if number < len(self._functions) else 0

    def _frame(self, number: int) -> FrameType:
        """A frame that has ended, under the name and in the file of the embedded function."""
        code = self._codes.get(number)
        function = self._functions[number]
        if code is None:
            code = _HERE.replace(
                co_name=function.__name__,
                co_qualname=function.__qualname__,
                co_filename=function.__code__.co_filename,
                co_firstlineno=function.__code__.co_firstlineno,
                # Different for each activation: the way back from an entry to it.
                co_consts=(*_HERE.co_consts, number),
            )
            self._codes[number] = code
            self._known[code] = number
        made = FunctionType(code, function.__globals__, function.__name__, (sys._getframe,))
        frame: FrameType = made()
        return frame


def _of_close(error: GeneratorExit, frame: FrameType) -> bool:
    """Whether the interpreter has raised it where `frame` waited."""
    if OF_CLOSE in error.__dict__:
        return True
    entry = error.__traceback__
    if entry is None or entry.tb_frame is not frame or entry.tb_next is not None:
        return False
    if frame.f_code.co_code[entry.tb_lasti] == _RAISE:
        return False
    error.__dict__[OF_CLOSE] = True
    return True


_RAISE: Final = opmap["RAISE_VARARGS"]
