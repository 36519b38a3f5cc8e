"""Clients that name what is not theirs, and move the words that both sides share."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.hostile.raw import (
    Lane,
    call,
    overwrite,
    release,
    short,
    tail_of,
    word,
)
from pinfut.rpc.lab.hostile.shop import COUNT, MAKE
from pinfut.rpc.lab.hostile.stage import Scenario, Stage
from pinfut.rpc.wire.frames import FINISH


async def forged_ids(stage: Stage) -> None:
    """Names an object that was released, one of another session, one that never was, and the
    largest numbers there are. Nothing is found, and each call is answered so."""
    raw = await stage.session(64)
    other = await stage.session(64)
    for one in (raw, other):
        one.send(call(64, 0, MAKE))
    await stage.sample()
    for one in (raw, other):
        one.replies()
        one.send(short(FINISH, 64))
    raw.send(release(1, 1))
    await stage.sample()
    wrong = [1, 2, 1 << 32, 1 << 32 | 2, (1 << 64) - 1, 63, (7 << 32) | 1]
    for n in range(40):
        x = 64 * (n + 2)
        raw.send(*(call(x + i, number, 0, i, place=i % 4) for i, number in enumerate(wrong)))
        await stage.sample()
        if len(raw.replies()) != len(wrong) or raw.closed:
            raise AssertionError("a forged id was not answered")


async def stale_frames(stage: Stage) -> None:
    """Ids of calls that are over, and releases of what was given back: the session ends."""
    for frame in (call(0, 0, COUNT, 1), short(FINISH, 0), release(0, 9), release(5, 1)):
        raw = await stage.session(8)
        raw.send(frame)
        await stage.sample()
        if not raw.closed:
            raise AssertionError("a stale id was taken")


async def moved_indices(stage: Stage) -> None:
    """While the server handles the first of its messages the client moves the tail and writes
    over the others. What is handled was copied before it was looked at; the next look ends the
    session."""
    for tail in (3, 1 << 62, (1 << 64) - 8, 0):
        raw = await stage.session(8)
        lane = raw.lane

        def meddle(lane: Lane = lane, tail: int = tail) -> None:
            stage.shop.meanwhile = lambda: None
            overwrite(lane, tail_of(lane) + 32, b"\xff" * 4096)
            overwrite(lane, tail_of(lane), word(tail))

        stage.shop.meanwhile = meddle
        raw.send(*(call(8 + i, 0, COUNT, i, place=i % 4) for i in range(8)))
        await stage.sample()
        if raw.replies() != list(range(8, 16)):
            raise AssertionError("what was copied was changed")
        raw.lane.signal()
        await stage.sample()
        if not raw.closed:
            raise AssertionError("a tail that makes no sense was taken")


FORGING: Final = (
    Scenario(
        "forged and foreign ids",
        forged_ids,
        "servers that find objects by a number gave a client those of another",
        "E and CapTP: a capability is what the session was given, never a number it made up",
    ),
    Scenario(
        "stale ids",
        stale_frames,
        "an id that is used again while the old call is open hits the new one",
        "Fuchsia channel_dispatcher.cc, Cap'n Proto rpc.capnp",
    ),
    Scenario(
        "ring indices moved while the server reads",
        moved_indices,
        "kernels that read shared words twice were made to check one value and use another",
        "double fetches; Xen XSA-155",
    ),
)
