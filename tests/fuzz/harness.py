"""Fuzzing: a target is a function of bytes that raises when something has gone wrong.

An input of a target is a row of pieces, each an operation with its data, so that changed
bytes are still operations. What a target does with each is counted by name, and the memory
that it takes is bounded by the input's size.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pinfut.rpc.lab.hostile.raw import Message
from pinfut.rpc.memory.side_table import CAP
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import CALL_HEAD, EXPECTED, RETURN_HEAD, Cap

CORPUS = Path(__file__).parent / "corpus"

_PIECE = struct.Struct("<BBH")
"""operation, argument, length"""


class Target(NamedTuple):
    """Something that reads a peer's bytes."""

    run: Callable[[bytes, Counter[str]], None]
    fixed: int
    """Bytes that it may take whatever comes, at most."""
    times: int
    """How often the input's size it may take besides."""


class TooMuchMemory(AssertionError):
    """An input made a decoder take more memory than its size explains."""


def piece(operation: int, argument: int = 0, data: bytes = b"") -> bytes:
    """One operation of an input."""
    return _PIECE.pack(operation, argument, len(data)) + data


def pieces(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The operations of an input; the last may be cut short."""
    at = 0
    while at + _PIECE.size <= len(data):
        operation, argument, length = _PIECE.unpack_from(data, at)
        at += _PIECE.size
        yield operation, argument, data[at : at + length]
        at += length


AS_IT_IS = 128
"""In an operation's argument: the frame is used with whatever stands in its head. Without it the
length is made to fit, or few changed frames would get beyond the first look at them."""

NAMED = 64
"""In an operation's argument: the frame names what is there, an id that can be used next."""


_HEADS = {
    frames.RETURN: (RETURN_HEAD.size, 6),
    **dict.fromkeys(
        (frames.CALL, frames.BOOTSTRAP, frames.PROVIDE, frames.ACCEPT, frames.TAKE),
        (CALL_HEAD.size, CALL_HEAD.size - 2),
    ),
}


def _cut(frame: bytes, count: int | None = None) -> tuple[int, int]:
    """Where the capabilities of a message stand in an input: behind its head."""
    start, at = _HEADS.get(frame[4] if len(frame) > 4 else 0, (0, 0))
    if len(frame) < start or not start:
        return 0, 0
    if count is None:
        count = int.from_bytes(frame[at : at + 2], "little")
    if start == CALL_HEAD.size and frame[5] & frames.ON_ANSWER and frame[4] != frames.BOOTSTRAP:
        start += EXPECTED.size
    return start, start + CAP.size * count


def parted(frame: bytes) -> Message:
    """The message of an input, with what goes beside it."""
    start, end = _cut(frame)
    if end == start or end > len(frame):
        return Message(frame)
    caps = tuple(Cap(*cap) for cap in CAP.iter_unpack(frame[start:end]))
    left = frame[:start] + frame[end:]
    length = int.from_bytes(frame[:4], "little") - (end - start)
    return Message(max(0, length).to_bytes(4, "little") + left[4:], caps)


def joined(frame: bytes, caps: Sequence[Cap]) -> bytes:
    """The input of a message and what goes beside it."""
    start, _ = _cut(frame, 0)
    packed = b"".join(CAP.pack(*cap) for cap in caps)
    whole = frame[:start] + packed + frame[start:]
    return len(whole).to_bytes(4, "little") + whole[4:]


def fitting(argument: int, frame: bytes) -> bytearray:
    """The frame with its own length in front, unless it is wanted as it is."""
    changed = bytearray(frame)
    if len(frame) >= 4 and not argument & AS_IT_IS:
        struct.pack_into("<I", changed, 0, len(frame))
    return changed


def check(target: Target, data: bytes) -> Counter[str]:
    """Run one input; what it did. Raises what the target raises, and TooMuchMemory."""
    counts: Counter[str] = Counter()
    measured = tracemalloc.is_tracing()
    if measured:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
    target.run(data, counts)
    if measured:
        took = tracemalloc.get_traced_memory()[1] - before
        allowed = target.fixed + target.times * len(data)
        if took > allowed:
            raise TooMuchMemory(f"{len(data)} bytes took {took}, and {allowed} are allowed")
    return counts


def corpus(name: str) -> list[tuple[str, bytes]]:
    """The inputs in the tree for a target, by file name."""
    return [(file.name, file.read_bytes()) for file in sorted((CORPUS / name).iterdir())]
