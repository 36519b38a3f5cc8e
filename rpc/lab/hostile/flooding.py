"""Clients that send much of what costs them nothing: empty frames, control frames, drips."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.hostile.raw import call, overwrite, short, tail_of, word
from pinfut.rpc.lab.hostile.shop import COUNT, HOLD
from pinfut.rpc.lab.hostile.stage import Scenario, Stage
from pinfut.rpc.wire.frames import CANCEL

SLOTS: Final = 64


async def empty_calls(stage: Stage) -> None:
    """Calls without a byte of arguments, as many as the ring holds, without a pause. Each costs a
    message of its look, so others have their turn after 64."""
    raw = await stage.session(DEEP, ring=1 << 15)
    x, answered = DEEP, DEEP
    for _ in range(TURNS):
        answered += len(raw.replies())
        room = answered + DEEP - x
        x += raw.offer(*(call(x + i, 0, COUNT, payload=b"") for i in range(room)))
        await stage.turn()
    await stage.sample()


async def answers_at_once(stage: Stage) -> None:
    """Uses the ids of calls again before it has their answers, so that more are answered at once
    than there are slots: the session ends, and the server goes on."""
    raw = await stage.session(8)
    raw.offer(*(call(8 + i, 0, COUNT, i) for i in range(16)))
    await stage.sample()
    if not raw.closed:
        raise AssertionError("answers went over those that were not read")


async def empty_frames(stage: Stage) -> None:
    """Frames of no length at all: no honest side writes one, so the session ends."""
    for _ in range(8):
        raw = await stage.session(8)
        lane = raw.lane
        at = tail_of(lane) + 32 + lane.submissions.tail % lane.submissions.capacity
        raw.lane.submissions.submit(short(CANCEL, 1))
        overwrite(lane, at, bytes(16))
        lane.submissions.publish()
        raw.lane.signal()
        await stage.sample()
        if not raw.closed:
            raise AssertionError("a frame of no length was taken")


async def control_frames(stage: Stage) -> None:
    """Cancels of calls that are not there, by the ring-full: they are allowed to cross a Return,
    so they are read and dropped, and no answer to them is ever queued."""
    raw = await stage.session(SLOTS)
    frames = [short(CANCEL, SLOTS + 7)] * 1000
    for _ in range(TURNS):
        raw.offer(*frames)
        await stage.turn()
    await stage.sample()


async def slow_drip(stage: Stage) -> None:
    """A long message, of which a few bytes come at a time: the tail is moved on to the middle of
    it. It lies in memory that the client bought, and the session ends at the first look."""
    raw = await stage.session(8, ring=1 << 16)
    lane = raw.lane
    begin = lane.submissions.tail
    lane.submissions.submit(call(8, 0, HOLD, bytes(30_000)))
    for n in range(1, 40):
        overwrite(lane, tail_of(lane), word(begin + 64 * n))
        if not raw.closed:
            raw.lane.signal()
        await stage.sample()
    if not raw.closed:
        raise AssertionError("a message that was cut was taken")


async def unpublished_drip(stage: Stage) -> None:
    """The same with the length of the message not yet said: the bytes are there and the tail is
    not moved, forever. The server holds nothing for what is not finished."""
    raws = [await stage.session(8) for _ in range(4)]
    for _ in range(40):
        for raw in raws:
            raw.lane.signal()
        await stage.sample()


DEEP: Final = 256
"""Calls open at once: four looks of them."""

TURNS: Final = 600
"""How many turns of the executor a flood lasts, longer than all that the victim does."""

FLOODING: Final = (
    Scenario(
        "calls of zero length",
        empty_calls,
        "HTTP/2 servers spent all their time and memory on frames that held nothing",
        "CVE-2019-9518, CVE-2019-9516",
    ),
    Scenario(
        "more answers than slots",
        answers_at_once,
        "completion queues that could overflow lost completions, or overwrote them",
        "io_uring before NODROP, EBADR",
    ),
    Scenario(
        "frames of zero length",
        empty_frames,
        "HTTP/2 servers looped over empty frames",
        "CVE-2019-9518",
    ),
    Scenario(
        "control flood",
        control_frames,
        "HTTP/2 servers queued an answer to each ping, reset and settings frame",
        "CVE-2019-9512, CVE-2019-9514, CVE-2019-9515",
    ),
    Scenario(
        "slow drip of a large message",
        slow_drip,
        "servers kept a buffer, and often a thread, for each request that never became whole",
        "Slowloris, CVE-2007-6750",
    ),
    Scenario(
        "signals without a message",
        unpublished_drip,
        "the same, with nothing to refuse",
        "CVE-2007-6750",
    ),
)
