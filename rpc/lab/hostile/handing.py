"""Clients that hand capabilities over: their own, promised ones, and far too many."""

from __future__ import annotations

from typing import Final

import msgspec

from pinfut.rpc.lab.hostile.raw import Raw, call, returned, short
from pinfut.rpc.lab.hostile.shop import COUNT, FAIL, HOLD_ITEMS, NEVER, VISIT, Item
from pinfut.rpc.lab.hostile.stage import Scenario, Stage
from pinfut.rpc.wire.frames import FINISH, ON_ANSWER, PIPELINE, RECEIVER_ANSWER, SENDER, Cap

SLOTS: Final = 64

MANY: Final = 100
"""Capabilities in one message."""


def items(kind: int, first: int, count: int = MANY, step: int = 1) -> tuple[Cap, ...]:
    """So many capabilities."""
    return tuple(Cap(kind, first + step * n, Item._pinfut_id) for n in range(count))


def listed(count: int = MANY) -> bytes:
    """Arguments that are a list of so many."""
    return msgspec.msgpack.encode([list(range(count))])


async def pass_often(stage: Stage, raw: Raw) -> None:
    """Pass the answer of the first call, so many times in each of many calls."""
    caps = items(RECEIVER_ANSWER, SLOTS, step=0)
    for x in range(SLOTS + 1, 2 * SLOTS):
        raw.send(call(x, 0, HOLD_ITEMS, caps=caps, payload=listed(), place=x % 4))
        await stage.sample()


async def stand_ins(stage: Stage) -> None:
    """Passes the answer of one call that does not end, a hundred times in each of many calls."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    raw.send(call(SLOTS, 0, NEVER, flags=PIPELINE))
    await pass_often(stage, raw)


async def stand_ins_of_failures(stage: Stage) -> None:
    """The same with an answer that is an error, so that nothing has to be waited for."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    raw.send(call(SLOTS, 0, FAIL, "no", flags=PIPELINE))
    await stage.sample()
    await pass_often(stage, raw)


async def imports(stage: Stage) -> None:
    """Hands a hundred objects of its own over in each of many calls that are not ended."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    for n in range(SLOTS):
        x, caps = SLOTS + n, items(SENDER, MANY * n)
        raw.send(call(x, 0, HOLD_ITEMS, caps=caps, payload=listed(), place=x % 4))
        await stage.sample()


async def unread_releases(stage: Stage) -> None:
    """Hands objects over where none is expected, so that each has to be released, and never reads
    its own ring: what is owed to it waits in memory that it pays, or the session ends."""
    raw = await stage.session(SLOTS, ring=1 << 16)
    for x in range(SLOTS, SLOTS + 600):
        if raw.closed:
            break
        raw.send(call(x, 0, COUNT, 1, caps=items(SENDER, MANY * x)))
        await stage.turn()
        raw.replies()
        if x % 50 == 0:
            await stage.sample()
    await stage.sample()


async def queued_capabilities(stage: Stage) -> None:
    """Pipelines calls with capabilities on a promise that nobody keeps."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    raw.send(call(SLOTS, 0, NEVER, flags=PIPELINE))
    for n in range(SLOTS - 1):
        x, caps = SLOTS + 1 + n, items(SENDER, MANY * n)
        raw.send(call(x, SLOTS, 0, caps=caps, payload=listed(), flags=ON_ANSWER, place=x % 4))
        await stage.sample()


async def unanswered_calls_back(stage: Stage) -> None:
    """Has the server call objects of its own, and answers none of these calls."""
    raw = await stage.session(SLOTS, ring=1 << 16)
    for n in range(SLOTS):
        x = SLOTS + n
        raw.send(call(x, 0, VISIT, 0, caps=items(SENDER, n, 1), place=x % 4))
        await stage.sample()


async def answers_to_nothing(stage: Stage) -> None:
    """Sends answers to calls that nobody made, in the ring where calls belong: the session
    ends."""
    for frame in (returned(0, b"\xc0"), returned(7, b"", caps=3), returned(1 << 63, b"\x01")):
        raw = await stage.session(8)
        raw.send(frame)
        await stage.sample()
        if not raw.closed:
            raise AssertionError("an answer was taken as a call")


async def answers_that_are_kept(stage: Stage) -> None:
    """Has objects made by calls that it never finishes, and uses each answer as a target."""
    raw = await stage.session(256, ring=1 << 16)
    for n in range(4):
        first = 256 + 64 * n
        raw.send(
            *(call(x, 0, FAIL, "no", flags=PIPELINE, place=x % 4) for x in range(first, first + 32))
        )
        await stage.sample()
        later = range(first + 32, first + 64)
        raw.send(*(call(x, x - 32, 0, 1, flags=ON_ANSWER, place=x % 4) for x in later))
        await stage.sample()
        raw.replies()
        raw.send(*(short(FINISH, x) for x in range(first, first + 16)))


HANDING: Final = (
    Scenario(
        "stand-ins for an answer to come",
        stand_ins,
        "500 stand-ins of 686 bytes in each open call, for 2 KiB a call",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "stand-ins for an answer that failed",
        stand_ins_of_failures,
        "the same, with nothing that would ever be settled",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "objects handed over",
        imports,
        "100 objects handed over cost bytes and no capability",
        "Genode 17.05: capabilities are a quota of their own",
    ),
    Scenario(
        "releases that nobody reads",
        unread_releases,
        "86 pages of client held any amount of server, in releases that waited for room",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "capabilities in calls that wait",
        queued_capabilities,
        "pycapnp grew with each call on a promise, and what it carried",
        "measured; 8.4 KB per call",
    ),
    Scenario(
        "calls back that are not answered",
        unanswered_calls_back,
        "a server that waits for its client holds what it has for it",
        "Cap'n Proto rpc.capnp, on callbacks",
    ),
    Scenario(
        "answers to nothing",
        answers_to_nothing,
        "an answer that nobody asked for was matched to a later question",
        "Fuchsia channel_dispatcher.cc",
    ),
    Scenario(
        "answers kept as targets",
        answers_that_are_kept,
        "answers that the protocol keeps for pipelining were kept forever",
        "Cap'n Proto rpc.capnp, on Finish",
    ),
)
