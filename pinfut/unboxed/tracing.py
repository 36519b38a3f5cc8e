"""Tracebacks of an unboxed frame: a line of its own for each embedded function.

An instruction knows by its column which block it is of (`frameplan.SHIFT`), and a block knows
who called it and where. So when an error is seen, the one entry of the frame is replaced by
what plain coroutines would show. All of this happens on the way of an error, and only there.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any, Final

from pinfut.unboxed.frameplan import SHIFT, Block


def _here(getframe: Any = sys._getframe) -> FrameType:
    frame: FrameType = getframe()
    return frame


_HERE: Final[CodeType] = _here.__code__


class Tracer:
    """Rewrites the tracebacks of one generated function."""

    __slots__ = ("_blocks", "_codes", "_known", "_lines")

    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        # Block → the code under whose name its entries stand; made when first needed.
        self._codes: dict[int, CodeType] = {}
        self._known: dict[CodeType, int] = {}
        # Code → the block of each of its instructions.
        self._lines: dict[CodeType, list[int]] = {}

    def __call__(self, base: int) -> None:
        """Rewrite the traceback of the error that is being handled, as seen in block `base`."""
        error = sys.exc_info()[1]
        if error is None or error.__traceback__ is None:
            return
        frame = sys._getframe(1)
        error.__traceback__ = self._rewritten(error.__traceback__, frame, base)
        del error, frame

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
                number = self._block(frame.f_code, entry.tb_lasti)
                if number == 0 and base == 0:
                    new = TracebackType(new, frame, entry.tb_lasti, entry.tb_lineno)
                else:
                    new = self._chain(new, frame, number, entry.tb_lineno, base)
                continue
            new = TracebackType(new, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
            if index == 0:
                inner = self._known.get(entry.tb_frame.f_code)
                if inner is not None and inner != base:
                    block = self._blocks[inner]
                    assert block.caller is not None
                    new = self._chain(new, frame, block.caller.number, block.line, base)
        assert new is not None
        return new

    def _chain(
        self, new: TracebackType | None, frame: FrameType, number: int, line: int, base: int
    ) -> TracebackType:
        """Entries for the block `number`, at `line`, and its callers up to `base`."""
        while True:
            block = self._blocks[number]
            shown = frame if number == 0 else self._frame(block)
            new = TracebackType(new, shown, -1, line)
            if number == base or block.caller is None:
                return new
            line = block.line
            number = block.caller.number

    def _block(self, code: CodeType, at: int) -> int:
        lines = self._lines.get(code)
        if lines is None:
            lines = self._lines[code] = [
                (column or 0) >> SHIFT for _, _, column, _ in code.co_positions()
            ]
        index = at // 2
        number = lines[index] if 0 <= index < len(lines) else 0
        return number if number < len(self._blocks) else 0

    def _frame(self, block: Block) -> FrameType:
        """A frame that has ended, under the name and in the file of the embedded function."""
        code = self._codes.get(block.number)
        function = block.plan.function
        if code is None:
            code = _HERE.replace(
                co_name=function.__name__,
                co_qualname=function.__qualname__,
                co_filename=block.plan.file,
                # Different for each block: the way back from an entry to its block.
                co_firstlineno=block.plan.code.co_firstlineno,
                co_consts=(*_HERE.co_consts, block.number),
            )
            self._codes[block.number] = code
            self._known[code] = block.number
        made = FunctionType(code, function.__globals__, function.__name__, (sys._getframe,))
        frame: FrameType = made()
        return frame
