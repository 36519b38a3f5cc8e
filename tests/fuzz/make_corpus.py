"""Makes the corpus anew: ``python -m tests.fuzz.make_corpus``.

A real client talks to a real server, and what goes between them is written down as inputs of
the targets. Files whose names begin with `found` are no part of this: each is an input that
once broke something, and stays.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any
from unittest import mock

import msgspec

from pinfut.executor import sleep
from pinfut.rpc import RpcError, session_of
from pinfut.rpc.contract import CALLS
from pinfut.rpc.errors import UnknownObject, to_wire
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.lab.hostile.raw import short
from pinfut.rpc.memory.lane import RingRequests, RingSubmissions
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import RESOLVE_FRAME, RETURN_HEAD, Cap
from tests.fuzz import on_answers, on_frames, on_payloads, on_rings, on_session
from tests.fuzz.harness import AS_IT_IS, CORPUS, NAMED, joined, piece
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.wire.fakes import Thing as FakeThing
from tests.rpc.wire.fakes import bootstrap, call, cancel, finish, release
from tests.rpc.world import World, quiet, run

Frames = list[bytes]


class Traffic:
    """What a client and a server write while somebody uses them."""

    def __init__(self) -> None:
        self.sent: Frames = []
        self.answers: dict[int, bytes] = {}
        self.answers_back: Frames = []

    async def listen(self, world: World, use: Any) -> None:
        written: list[tuple[RingSubmissions, bytes]] = []
        given: list[tuple[RingRequests, int, bytes]] = []
        submit, complete = RingSubmissions.submit, RingRequests.complete
        hand_over = SimEndpoint.hand_over
        beside: list[Cap] = []

        def on_hand_over(end: SimEndpoint, caps: Sequence[Cap], place: int = CALLS, /) -> None:
            beside[:] = caps  # of what is written next
            hand_over(end, caps, place)

        def joining(frame: bytes) -> bytes:
            caps, beside[:] = beside.copy(), []
            return joined(frame, caps) if caps else bytes(frame)

        def on_submit(ring: RingSubmissions, frame: bytes, /) -> bool:
            written.append((ring, joining(frame)))
            return submit(ring, frame)

        def on_complete(ring: RingRequests, place: int, x: int, frame: bytes, /) -> None:
            given.append((ring, x, joining(frame)))
            complete(ring, place, x, frame)

        with (
            mock.patch.object(RingSubmissions, "submit", on_submit),
            mock.patch.object(RingRequests, "complete", on_complete),
            mock.patch.object(SimEndpoint, "hand_over", on_hand_over),
        ):
            async with world.session(Desk, DeskServer(), slots=8) as desk:
                end = session_of(desk).end
                await use(desk)
                await quiet()
                own, others = end.submissions(), end.requests()
        self.sent = [frame for one, frame in written if one is own]
        self.answers = {x: frame for one, x, frame in given if one is not others}
        self.answers_back = [frame for one, _, frame in given if one is others]


async def talk(desk: Any) -> None:
    """Every kind of frame: plain and pipelined calls, capabilities both ways, a cancel, an
    error, calls back."""
    mine = ThingServer("mine")
    assert await desk.do(5) == 5
    made = desk.make("a")
    await made.tell(1)
    assert await desk.name_of(mine) == "mine"
    things = await desk.things(3)
    await desk.names_of([things[0], mine, made])
    nap = desk.nap(100.0)
    await sleep(0.001)
    nap.drop()
    await desk.back(made)
    try:
        await desk.fail("on purpose")
    except RpcError:
        pass
    await desk.tell_with(7, desk.make("b"))
    await desk.length(b"x" * 300)


async def ask(desk: Any) -> None:
    """The calls that the target `answers` has open, in its order."""
    mine = ThingServer("mine")
    calls = desk.do(1), desk.small(2), desk.tell(3), desk.make("4"), desk.things(2)
    more = desk.back(mine), desk.tell_with(5, mine)
    for one in (*calls, *more):
        await one


def listen(use: Any) -> Traffic:
    traffic = Traffic()
    run(lambda world: traffic.listen(world, use))
    return traffic


def later(frame: bytes, by: int) -> bytes:
    """The frame about a call that was made later: ids of calls go up by a lap or more."""
    changed = bytearray(frame)
    if frame[4] != frames.RELEASE:
        (x,) = struct.unpack_from("<Q", frame, 8)
        struct.pack_into("<Q", changed, 8, x + by)
    return bytes(changed)


def conversations(talked: Traffic) -> dict[str, bytes]:
    receive = on_frames.RECEIVE
    talk = piece(on_frames.FRESH)
    for frame in talked.sent:
        talk += piece(receive, 0, frame)
        if frame[4] == frames.CALL:
            # What is pipelined on gives an object.
            how = on_frames.HAND_OUT if frame[5] & frames.PIPELINE else on_frames.GIVE
            talk += piece(how)
    found = {"talk": talk}
    for n, frame in enumerate(talked.sent[:24]):
        # Slots 1 to 3 are in use; what is called there is the export 0.
        moved = later(frame, 16 + 4 * (struct.unpack_from("<Q", frame, 8)[0] % 8 in (1, 2, 3)))
        found[f"frame-{n:02}"] = piece(receive, AS_IT_IS, moved) + piece(on_frames.GIVE, 9)
        found[f"named-{n:02}"] = piece(receive, NAMED, frame) + piece(on_frames.HAND_OUT)
    kind = FakeThing._pinfut_id
    caps = (Cap(frames.SENDER, 3, kind), Cap(frames.RECEIVER, 0, kind))
    answered = (Cap(frames.RECEIVER_ANSWER, 1, kind),)
    for name, frame in {
        "bootstrap": bootstrap(5),
        "capabilities": joined(call(5, 0, b"arguments", caps=caps), caps),
        "capability-to-come": joined(call(5, 0, b"arguments", caps=answered), answered),
        "provide": call(5, 0, kind=frames.PROVIDE),
        "accept": call(5, 0, kind=frames.ACCEPT),
        "take": call(5, 0, kind=frames.TAKE),
        "finish": finish(2, release=True),
        "cancel": cancel(3),
        "release": release(0),
        "disembargo": short(frames.DISEMBARGO, 2),
        "disembargo-of-an-export": short(frames.DISEMBARGO, 0, frames.EXPORT),
        "resolve": RESOLVE_FRAME.pack(RESOLVE_FRAME.size, frames.RESOLVE, 0, 0, 0, 0),
    }.items():
        found[name] = (
            piece(receive, 0, frame) + piece(on_frames.HAND_OUT) + piece(on_frames.REFUSE, 9)
        )
    return found


def rings(talked: Traffic) -> dict[str, bytes]:
    found = {}
    step = [piece(on_rings.READ, 2), piece(on_rings.RELEASE)]
    bodies = [frame[8:] for frame in talked.sent]
    found["talk"] = b"".join(
        piece(on_rings.WRITE, 1, body) + step[0] + step[n % 2] for n, body in enumerate(bodies)
    )
    image = b"".join(frame + bytes(-len(frame) % 8) for frame in talked.sent[:5])[:256]
    tail = len(image) // 8 * 8
    found["image"] = (
        piece(on_rings.BODY, 0, image)
        + piece(on_rings.WORD, 0, struct.pack("<Q", tail))
        + piece(on_rings.READ, 9)
        + piece(on_rings.RELEASE)
    )
    posts = b"".join(piece(on_rings.POST, n) for n in range(1, 6))
    found["completions"] = posts + piece(on_rings.TAKE) + posts + piece(on_rings.TAKE)
    found["completions-image"] = piece(on_rings.IDS, 0, struct.pack("<9Q", 8, *range(8))) + piece(
        on_rings.TAKE
    )
    return found


def values(asked: Traffic, talked: Traffic) -> dict[str, bytes]:
    encode = msgspec.msgpack.encode
    samples: list[Any] = [
        1 << 40,
        "text",
        b"bytes",
        0.5,
        True,
        [1, -2, 300],
        {"a": [1, "b", None]},
        [7, "seven"],
        [1, 2, 3],
        {"x": 1, "name": "p"},
        [{"x": 1}, {"x": 2, "name": "q"}],
        ["a", "b"],
        0,
        [0, 1, 2],
        {"one": 0, "none": None},
        to_wire(UnknownObject("no object 0x7")),
    ]
    found = {f"type-{n:02}": bytes([n]) + encode(one) for n, one in enumerate(samples)}
    of = {1: int, 2: bytes, 3: list[int], 7: list[int]}
    for x, frame in sorted(asked.answers.items()):
        if x in of:
            found[f"answer-{x}"] = (
                bytes([on_payloads.TYPES.index(of[x])]) + frame[RETURN_HEAD.size :]
            )
    for x, frame in sorted(talked.answers.items()):
        if frame[5] & frames.ERROR:
            found[f"error-{x:02}"] = bytes([len(on_payloads.TYPES)]) + frame[RETURN_HEAD.size :]
    return found


def replies(asked: Traffic) -> dict[str, bytes]:
    found = {}
    whole = b""
    # Question 0 is Bootstrap; of the others n is x - 1.
    for x, frame in sorted(asked.answers.items()):
        if not 1 <= x <= 7:
            continue
        n = x - 1
        one = piece(on_answers.CELL_OF, n + NAMED, frame) + piece(on_answers.SAY, n)
        found[f"answer-{x}"] = one + piece(on_answers.LOOK) + piece(on_answers.POLL, n)
        found[f"late-{x}"] = (
            piece(on_answers.DROP, n) + piece(on_answers.FLUSH) + one + piece(on_answers.LOOK)
        )
        whole += one
    found["all"] = (
        whole + piece(on_answers.LOOK) + b"".join(piece(on_answers.POLL, n) for n in range(7))
    )
    found["unasked"] = piece(on_answers.SAY_ANY, 0, struct.pack("<Q", 8)) + piece(on_answers.LOOK)
    return found


def sessions(talked: Traffic) -> dict[str, bytes]:
    # Without what asks for the root, which the client of the target has done.
    sent = [
        frame
        for frame in talked.sent
        if frame[4] != frames.BOOTSTRAP and struct.unpack_from("<Q", frame, 8)[0]
    ]
    turn = piece(on_session.TURN)
    back = talked.answers_back[0]
    found = {
        "talk": b"".join(piece(on_session.SEND, 0, frame) + turn for frame in sent[:14]),
        "at-once": b"".join(piece(on_session.SEND, 0, frame) for frame in sent[:14]) + turn,
        "answered": b"".join(piece(on_session.SEND, 0, frame) for frame in sent[:6])
        + turn
        + piece(on_session.ANSWER, 0, back)
        + turn
        + piece(on_session.NEXT, 4),
    }
    for n, frame in enumerate(sent[:10]):
        found[f"frame-{n:02}"] = piece(on_session.SEND, AS_IT_IS, later(frame, 8)) + turn
    found["named"] = b"".join(piece(on_session.SEND, NAMED, frame) for frame in sent[:14]) + turn
    for name, kind in (
        ("provide", frames.PROVIDE),
        ("accept", frames.ACCEPT),
        ("take", frames.TAKE),
    ):
        args = msgspec.msgpack.encode([0] * (kind - frames.PROVIDE + 1))
        found[name] = piece(on_session.SEND, 0, call(9, 0, args, kind=kind, place=1)) + turn
    for name, frame in (
        ("disembargo", short(frames.DISEMBARGO, 0, frames.EXPORT)),
        ("resolve", RESOLVE_FRAME.pack(RESOLVE_FRAME.size, frames.RESOLVE, 0, 0, 0, 0)),
    ):
        found[name] = piece(on_session.SEND, 0, frame) + turn
    caps = tuple(Cap(one, 0, Thing._pinfut_id) for one in (frames.SENDER, frames.RECEIVER))
    args = msgspec.msgpack.encode([0, 1])
    number = next(one.number for one in Desk._pinfut_methods if one.name == "same")
    same = joined(call(9, 0, args, caps=caps, method=number), caps)
    found["same"] = piece(on_session.SEND, 0, same) + turn
    found["tail"] = piece(on_session.OVERWRITE, 9, struct.pack("<Q", 1 << 40)) + turn
    return found


def make() -> dict[str, dict[str, bytes]]:
    """All inputs that are made from real traffic, by target and name."""
    talked, asked = listen(talk), listen(ask)
    return {
        "frames": conversations(talked),
        "ring": rings(talked),
        "payloads": values(asked, talked),
        "answers": replies(asked),
        "session": sessions(talked),
    }


def main() -> None:
    for target, inputs in make().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if not file.name.startswith("found"):
                file.unlink()
        for name, data in inputs.items():
            (folder / name).write_bytes(data)
        print(f"{target}: {len(inputs)} inputs, {sum(map(len, inputs.values())):,} bytes")


if __name__ == "__main__":
    main()
