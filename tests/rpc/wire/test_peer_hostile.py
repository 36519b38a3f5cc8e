"""What a peer does with frames that no honest side sends: an error of the protocol that
ends the session, or nothing that matters; never another exception, and never a charge that
stays."""

from __future__ import annotations

import random
import struct
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE
from pinfut.rpc.errors import ProtocolError, RpcError
from pinfut.rpc.lab.hostile.raw import Message, beside
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import Cap
from tests.covered import covered, require
from tests.rpc.wire.fakes import (
    Host,
    Plain,
    Thing,
    bootstrap,
    call,
    cancel,
    finish,
    host_in_the_midst,
    opened,
    release,
)

ID = Thing._pinfut_id
CAPS = (Cap(frames.SENDER, 3, ID), Cap(frames.RECEIVER, 0, ID), Cap(frames.RECEIVER_ANSWER, 1, ID))

FRAMES = {
    "call": call(5, 0, b"arguments"),
    "call with capabilities": call(5, 0, b"arguments", caps=CAPS),
    "call on an answer": call(5, 1, b"arguments", on_answer=True, pipeline=True),
    "bootstrap": bootstrap(5),
    "finish": finish(2),
    "finish and release": finish(2, release=True),
    "cancel": cancel(1),
    "release": release(0),
}


def wind_up(host: Host) -> None:
    """The session ends: handlers end first, then everything is given back."""
    host.peer.close()
    assert host.held == (0, 0), "a charge stayed"
    host.account.close()
    assert (host.bank.pages_used, host.bank.caps_used) == (0, 0)


def take(host: Host, frame: bytes) -> str:
    """Give a frame to a peer: "refused" or "handled". Any other exception is raised."""
    before = len(host.peer.answers), len(host.calls)
    try:
        host.receive(frame)
    except ProtocolError:
        return "refused"
    assert len(host.peer.answers) == before[0], "a table grew"
    assert len(host.calls) <= before[1] + 1
    return "handled"


def test_every_frame_is_handled_as_it_is() -> None:
    for name, frame in FRAMES.items():
        host = host_in_the_midst()
        assert take(host, frame) == "handled", name
        wind_up(host)


def test_every_frame_that_is_cut_short_or_too_long_is_refused() -> None:
    refused = 0
    for name, frame in FRAMES.items():
        for length in range(len(frame)):
            host = host_in_the_midst()
            assert take(host, frame[:length]) == "refused", (name, length)
            wind_up(host)
            refused += 1
            # And one that is honest about its length, which therefore says something else.
            host = host_in_the_midst()
            if length >= 4:
                take(host, Message(struct.pack("<I", length) + frame[4:length], beside(frame)))
            wind_up(host)
        for more in (1, 7, 8, 1000):
            host = host_in_the_midst()
            assert take(host, frame + bytes(more)) == "refused", (name, more)
            wind_up(host)
            refused += 1
    require(covered("peer, frames cut short", refused=refused), "refused")


def test_every_single_byte_of_every_frame_can_be_anything() -> None:
    counts: Counter[str] = Counter()
    for frame in FRAMES.values():
        for at in range(len(frame)):
            for value in {0, 1, 2, 3, 4, 5, 6, 7, 8, 127, 128, 255, frame[at] ^ 1}:
                host = host_in_the_midst()
                changed = frame[:at] + bytes([value]) + frame[at + 1 :]
                counts[take(host, Message(changed, beside(frame)))] += 1
                wind_up(host)
    require(covered("peer, one byte changed", **counts), "refused", "handled")


def test_frames_changed_at_random_are_refused_or_handled() -> None:
    change_at_random()
    require(covered("peer, frames changed at random"), "refused", "handled")


@settings(max_examples=max(400, settings().max_examples))
@given(
    name=st.sampled_from(sorted(FRAMES)),
    seed=st.integers(0, 1 << 40),
    edits=st.integers(1, 6),
    keep_head=st.booleans(),
    noise=st.one_of(st.none(), st.binary(max_size=64)),
)
def change_at_random(
    name: str, seed: int, edits: int, keep_head: bool, noise: bytes | None
) -> None:
    drawn = FRAMES[name] if noise is None else noise
    frame = bytearray(drawn)
    draw = random.Random(seed)
    for _ in range(edits):
        if len(frame) > 6:
            frame[draw.randrange(6 if keep_head else 0, len(frame))] = draw.choice(
                [0, 1, 2, 3, 8, 255, draw.randrange(256)]
            )
    host = host_in_the_midst()
    changed = Message(bytes(frame), beside(drawn))
    covered("peer, frames changed at random", **{take(host, changed): 1})
    wind_up(host)


small = st.integers(0, 9)
ids = st.one_of(small, small, st.integers(0, 40), st.sampled_from([1 << 32, (1 << 64) - 1]))
descriptors = st.lists(st.builds(Cap, st.integers(0, 4), ids, st.just(ID)), max_size=3).map(tuple)
sent = st.one_of(
    st.builds(
        call,
        st.integers(0, 40),
        ids,
        st.binary(max_size=20),
        method=st.integers(0, 3),
        caps=descriptors,
        flags=st.integers(0, 7),
    ),
    st.builds(call, st.integers(0, 40), ids, flags=st.integers(0, 3)),
    st.builds(bootstrap, st.integers(0, 40)),
    st.builds(finish, st.integers(0, 40), release=st.booleans()),
    st.builds(finish, small, release=st.booleans()),
    st.builds(cancel, small),
    st.builds(release, ids, st.integers(0, 4)),
    st.builds(release, st.integers(0, 2)),
)
acts = st.sampled_from(["give", "hand out", "refuse", "hand out", "too large"])


def test_no_sequence_of_well_formed_frames_does_harm() -> None:
    converse()
    require(
        covered("peer, hostile conversations"),
        "refused",
        "handled",
        "returned",
        "waited",
        "cancelled",
        "finished",
        "released",
        "unpaid",
    )


@settings(max_examples=max(400, settings().max_examples))
@given(
    steps=st.lists(st.one_of(sent, sent, sent, acts), min_size=10, max_size=60),
    # What the client's bank has beside the price of the root object.
    spare=st.sampled_from([50, 60, prices.QUEUED + 100, 3000, 1 << 20]),
    brave=st.booleans(),
)
def converse(steps: list[Any], spare: int, brave: bool) -> None:
    """A hostile client sends what it likes. `brave`: one that keeps clear of what would end
    the session at once, and so gets further."""
    spare += prices.EXPORT + prices.OBJECT
    host = Host(slots=8, pages=-(-spare // PAGE))
    ballast = host.bank.page_limit * PAGE - spare
    host.account.take(ballast)
    host.root = Plain("root")
    counts: Counter[str] = Counter()
    host.receive(bootstrap(0))
    for step in steps:
        if isinstance(step, str):
            running = host.all_running()
            if running:
                end(host, running[-1], step)
                counts["returned"] += 1
            continue
        frame = sensible(host, step) if brave else step
        waiting, exports = len(host.all_waiting()), len(host.peer.exports)
        returns = len(host.returns)
        try:
            host.receive(frame)
        except ProtocolError:
            counts["refused"] += 1
            break
        counts["handled"] += 1
        counts["waited"] += len(host.all_waiting()) > waiting
        counts["released"] += len(host.peer.exports) < exports
        counts["finished"] += frame[4] == frames.FINISH
        counts["cancelled"] += frame[4] == frames.CANCEL and len(host.returns) > returns
        for back in list(host.returns.values())[returns:]:
            counts["unpaid"] += b"refill" in bytes(back)
        queued = sum(prices.QUEUED + len(one.payload) for one in host.all_waiting())
        assert (
            host.held[0] - ballast >= queued + host.peer.exports.charged + host.peer.imports.charged
        )
    host.account.give(ballast)
    wind_up(host)
    covered("peer, hostile conversations", **counts)


def sensible(host: Host, frame: bytes) -> bytes:
    """The frame, changed so that it names what is there: an id that its slot can take, an
    answer or an export that is held, a Finish that is due."""
    kind = frame[4]
    changed = bytearray(frame)
    answers = host.peer.answers
    held = [one.x for one in answers if one.state]
    exports = list(host.peer.exports.things)
    if kind in (frames.CALL, frames.BOOTSTRAP):
        free = [i for i, one in enumerate(answers) if not one.state]
        if not free:
            return cancel(1 << 60)
        slot = free[0]
        struct.pack_into("<Q", changed, 8, answers[slot].x + 8 if answers[slot].x >= 0 else slot)
        (target,) = struct.unpack_from("<Q", frame, 16)
        named = held if frame[5] & frames.ON_ANSWER else exports
        if named and kind == frames.CALL:
            struct.pack_into("<Q", changed, 16, named[target % len(named)])
    elif kind == frames.FINISH:
        due = [
            x
            for x in held
            if x in host.returns and not opened(x, host.returns[x])[0] & frames.NO_FINISH
        ]
        if not due:
            return cancel(1 << 60)
        struct.pack_into("<Q", changed, 8, due[frame[8] % len(due)])
    elif kind == frames.CANCEL and held:
        struct.pack_into("<Q", changed, 8, held[frame[8] % len(held)])
    elif kind == frames.RELEASE:
        if len(exports) < 2:
            return cancel(1 << 60)
        struct.pack_into("<QI", changed, 8, exports[frame[8] % len(exports)], 1)
    return Message(bytes(changed), beside(frame))


def end(host: Host, answer: Any, how: str) -> None:
    if how == "give":
        host.peer.give(answer, b"data")
    elif how == "refuse":
        host.peer.refuse(answer, KeyError("k"))
    elif how == "too large":
        host.peer.give(answer, bytes(5000))
    else:
        try:
            host.hand_out(answer, Plain())
        except RpcError as error:  # it cannot be paid
            host.peer.refuse(answer, error)


def test_capabilities_that_are_announced_and_not_there_are_refused() -> None:
    for count in (1, 2, 1000, 65535):
        frame = bytearray(call(5, 0, b"short"))
        struct.pack_into("<H", frame, 32, count)
        assert take(host_in_the_midst(), bytes(frame)) == "refused"
