"""Slopes: one client holds more and more of one kind, and what it pays grows at least as fast.

Prices are checked kind by kind elsewhere. Here a whole server is looked at from outside: what
tracemalloc sees of it between `few` and `many`, against what the client's bank was debited.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, final

from pinfut.rpc.contract import MAX_CAPS, Memory
from pinfut.rpc.lab.hostile.handing import items, listed
from pinfut.rpc.lab.hostile.raw import Raw, call, quiet, short
from pinfut.rpc.lab.hostile.shop import (
    COUNT,
    FAIL,
    HOLD,
    HOLD_ANY,
    HOLD_ITEMS,
    MAKE,
    NAP,
    NEVER,
    WATCH,
)
from pinfut.rpc.lab.hostile.stage import Stage, perform
from pinfut.rpc.wire.frames import FINISH, ON_ANSWER, PIPELINE, RECEIVER_ANSWER, SENDER

BATCH: Final = 64

FILLING: Final = 8
"""Messages after which the client's ring is full of releases."""

Grow = Callable[[Stage, Raw, int, int], Coroutine[Any, Any, None]]
"""Let the client hold so many: from the second number up to the third."""


async def _open_calls(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for at in range(begin, end, BATCH):
        ids = range(raw.slots + at, raw.slots + min(at + BATCH, end))
        raw.send(*(call(x, 0, HOLD, b"") for x in ids))
        await quiet()


async def _held_capabilities(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for at in range(begin, end, BATCH):
        ids = range(raw.slots + at, raw.slots + min(at + BATCH, end))
        raw.send(*(call(x, 0, MAKE) for x in ids))
        await quiet()
        raw.replies()
        raw.send(*(short(FINISH, x) for x in ids))
        await quiet()


async def _pipelined_calls(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    if not begin:
        raw.send(call(raw.slots, 0, NEVER, flags=PIPELINE))
        await quiet()
    for at in range(begin, end, BATCH):
        ids = range(raw.slots + 1 + at, raw.slots + 1 + min(at + BATCH, end))
        raw.send(*(call(x, raw.slots, 0, at, flags=ON_ANSWER) for x in ids))
        await quiet()


async def _arguments(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for at in range(begin, end, BATCH):
        ids = range(raw.slots + at, raw.slots + min(at + BATCH, end))
        raw.send(*(call(x, 0, HOLD_ANY, {"numbers": [x, x], "text": str(x)}) for x in ids))
        await quiet()


async def _timers(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for at in range(begin, end, BATCH):
        ids = range(raw.slots + at, raw.slots + min(at + BATCH, end))
        raw.send(*(call(x, 0, NAP, 1e6 + x) for x in ids))
        await quiet()


async def _of_a_session_each(
    stage: Stage, begin: int, end: int, make: Callable[[int], bytes]
) -> None:
    """In a session for each batch: what its slots pay for is paid when it is opened."""
    for at in range(begin, end, BATCH):
        slots = min(BATCH, end - at)
        raw = await stage.session(slots=slots, ring=1 << 14)
        for x in range(slots, 2 * slots):
            raw.send(make(x))
            await quiet()


async def _answers(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    await _of_a_session_each(stage, begin, end, lambda x: call(x, 0, MAKE, flags=PIPELINE))


async def _errors(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    text = "\U0001f600" + "a" * 2000
    await _of_a_session_each(stage, begin, end, lambda x: call(x, 0, FAIL, text, flags=PIPELINE))


async def _stand_ins(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    half = raw.slots // 2
    for x in range(raw.slots + begin // 2, raw.slots + end // 2):
        caps = items(RECEIVER_ANSWER, x, 1)
        held = call(half + x, 0, HOLD_ITEMS, caps=caps, payload=listed(1))
        raw.send(call(x, 0, NEVER, flags=PIPELINE), held)
        await quiet()


async def _queued_capabilities(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    if not begin:
        raw.send(call(raw.slots, 0, NEVER, flags=PIPELINE))
        await quiet()
    for at in range(begin, end):
        x, caps = raw.slots + 1 + at, items(SENDER, 8 * at, 8)
        raw.send(call(x, raw.slots, 0, caps=caps, payload=listed(8), flags=ON_ANSWER))
        if at % BATCH == BATCH - 1:
            await quiet()
    await quiet()


async def _releases(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    if not begin:
        # First its ring is filled, so that what comes then waits for room in it.
        for x in range(raw.slots, raw.slots + FILLING):
            raw.send(_in_vain(x, MAX_CAPS))
            await quiet()
        raw.replies()
    for at in range(begin, end, BATCH):
        raw.send(_in_vain(raw.slots + FILLING + at // BATCH, min(BATCH, end - at)))
        await quiet()
        raw.replies()


def _in_vain(x: int, count: int) -> bytes:
    """A call with objects that nobody takes: each is released, in a message to the client."""
    return call(x, 0, COUNT, 1, caps=items(SENDER, x << 20, count))


async def _labels(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for at in range(begin, end):
        await stage.session(slots=1, ring=4096, cell=4096, bank=stage.child(f"{at:0111}"))


async def _sessions(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for _ in range(begin, end):
        await stage.session(slots=1, ring=4096, cell=4096)


async def _half_sent(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    for _ in range(begin, end):
        half = await stage.session(slots=1, ring=4096, cell=4096)
        half.lane.submissions.submit(call(1, 0, HOLD, bytes(1900)))
        half.lane.signal()  # with the tail where it was
    await quiet()


async def _subscriptions(stage: Stage, raw: Raw, begin: int, end: int) -> None:
    channel = raw.channel
    assert channel is not None
    buffer = channel.events or stage.events(raw, raw.slots)
    for at in range(begin, end, BATCH):
        ids = range(raw.slots + at, raw.slots + min(at + BATCH, end))
        raw.send(*(call(x, 0, WATCH, buffer.open()) for x in ids))
        await quiet()
        raw.replies()


KINDS: Final[dict[str, Grow]] = {
    "open calls": _open_calls,
    "held capabilities": _held_capabilities,
    "queued pipelined calls": _pipelined_calls,
    "queued capabilities": _queued_capabilities,
    "stand-ins": _stand_ins,
    "arguments": _arguments,
    "answers": _answers,
    "errors": _errors,
    "timers": _timers,
    "releases": _releases,
    "labels": _labels,
    "subscriptions": _subscriptions,
    "sessions": _sessions,
    "half-sent messages": _half_sent,
}
"""What a client can hold. A kind is added here, and is in the tests and the command."""


@final
@dataclass(frozen=True, slots=True)
class Slope:
    """What more of a kind costs and takes, in bytes, and what is left when all of it is over."""

    kind: str
    few: int
    many: int
    charged: int
    traced: int
    peak: int
    left: int

    @property
    def tightness(self) -> float:
        """Charged for each byte that is taken: 1.00 is the truth, and below it is a lie."""
        return self.charged / self.traced


def slope(kind: str, few: int = 64, many: int = 20_000, mode: Memory = "prices") -> Slope:
    """Measure one of `KINDS`, with memory paid for in that way. Raises KeyError for any other."""
    grow = KINDS[kind]
    found: list[int] = []

    async def hold(stage: Stage) -> None:
        raw = await stage.session(slots=many + BATCH, ring=1 << 16)
        await grow(stage, raw, 0, few)
        traced, charged = stage.weigh()
        tracemalloc.reset_peak()
        await grow(stage, raw, few, many)
        peak = stage.peak()
        more, paid = stage.weigh()
        found.extend((paid - charged, more - traced, peak - traced))

    stage = perform(hold, suffers=False, traced=True, mode=mode)
    return Slope(kind, few, many, found[0], found[1], found[2], stage.left)
