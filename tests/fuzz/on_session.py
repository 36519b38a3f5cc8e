"""A whole server, and a client that is nothing but its end of the channel."""

from __future__ import annotations

from collections import Counter
from itertools import count

from pinfut.rpc import RpcError, connect, method
from pinfut.rpc.errors import GarbageFrame, ProtocolError
from pinfut.rpc.lab.hostile.raw import Lane
from pinfut.rpc.wire import frames
from tests.fuzz.harness import NAMED, fitting, parted, pieces
from tests.rpc.hostile import CELL, Raw
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.services import Thing as DeskThing
from tests.rpc.world import World, quiet, run

SEND, TURN, OVERWRITE, ANSWER, NEXT = range(5)
LIMIT = 64
QUESTIONS = frames.CALL, frames.PROVIDE, frames.ACCEPT, frames.TAKE


class Modest(DeskServer):
    """A desk that makes nothing large: what a service itself takes is not the subject."""

    @method
    async def small(self, n: int) -> bytes:
        return bytes(_bounded(n))

    @method(answer=lambda n, seconds: n + 64)
    async def data(self, n: int, seconds: float = 0.0) -> bytes:
        return bytes(_bounded(n))

    @method(answer=lambda n: 64 + 32 * n)
    async def things(self, n: int) -> list[DeskThing]:
        return [ThingServer(str(i)) for i in range(_bounded(n))]


def _bounded(n: int) -> int:
    if not 0 <= n <= LIMIT:
        raise ValueError(f"0 to {LIMIT}, not {n}")
    return n


def fuzz_session(data: bytes, counts: Counter[str]) -> None:
    """A server, its vat and an honest client, with a client that writes what it likes."""

    async def main(world: World) -> None:
        async with world.served("service", Modest()) as vat:
            async with connect(world.kernel, "service", Desk, world.bank("honest")) as desk:
                bank = world.bank("hostile")
                raw = Raw(world.kernel, "service", bank, 8)
                await raw.bootstrap(Desk)
                far = next(one for one in vat.sessions if one.name == raw.end.name)
                lane, words = raw.lane, raw.lane.memory
                ids = count(32)
                for room in (256,) * 7 + (8192,) * 3:
                    lane.submissions.reserve(room)  # places for the answers, as a client has them
                for operation, argument, given in list(pieces(data))[:64]:
                    match operation % 5:
                        case 0:  # SEND: the length is the frame's own unless it says otherwise
                            _send(raw, _named(argument, given, ids), counts)
                        case 1:  # TURN
                            lane.signal()
                            await quiet()
                        case 2:  # OVERWRITE
                            at = argument * 8
                            part = given[: max(0, len(words) - at)]
                            words[at : at + len(part)] = part
                        case 3:  # ANSWER a call of the server
                            counts["answered"] += _answer(raw, argument, given)
                        case _:
                            assert await desk.do(argument) == argument
                    if raw.closed:
                        assert isinstance(far.error, ProtocolError), repr(far.error)
                        counts["refused"] += 1
                        break
                if not raw.closed:
                    lane.signal()
                    await quiet()
                counts["handled"] += far.error is None
                assert await desk.do(7) == 7, "an honest client notices"
                raw.leave()
                await quiet()
                assert far not in vat.sessions, "the session stays"
                assert (bank.pages_used, bank.caps_used) == (0, 0), "something stays charged"
            await quiet()
            assert vat.process.alive

    run(main)


def _answer(raw: Raw, x: int, given: bytes) -> bool:
    """Write bytes where the server has its first answers, and say that `x` is one; whether it
    has made room for any."""
    if raw.end.requests() is None:
        return False
    back, part = Lane(raw.end, calls=False), given[:CELL]
    for page in back.memories[1:2]:
        for start in (0, CELL):
            page[start : start + len(part)] = part
    completions = back.requests.completions
    if len(completions.posted) < completions.capacity:
        completions.post(x)
    completions.publish()
    return True


def _named(argument: int, frame: bytes, ids: count[int]) -> bytes:
    """The frame; if so wanted, and if it is a question, with an id that can be used."""
    changed = fitting(argument, frame)
    if argument & NAMED and len(frame) >= 16 and frame[4] in QUESTIONS:
        changed[8:16] = next(ids).to_bytes(8, "little")
    return bytes(changed)


def _send(raw: Raw, given: bytes, counts: Counter[str]) -> None:
    if len(given) < 8:
        given = given.ljust(8, b"\0")
    ring = raw.lane.submissions
    message = parted(given[: ring.largest])
    try:
        if message.caps:
            raw.end.hand_over(message.caps)
            counts["handed over"] += 1
    except RpcError:
        counts["not handed over"] += 1
    try:
        if ring.submit(message.ljust(8, b"\0")):
            counts["sent"] += 1
        ring.publish()
    except GarbageFrame:
        pass  # what it has overwritten itself
