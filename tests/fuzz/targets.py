"""The decoders that read a peer's bytes, each with all that has to hold whatever comes."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

import msgspec

from pinfut.poll import PENDING, Context
from pinfut.rpc import Interface, RpcError, Session, SimKernel, method
from pinfut.rpc.codec import Codec, CodecError
from pinfut.rpc.errors import GarbageFrame, ProtocolError, SessionClosed, from_wire
from pinfut.rpc.kernel.lane import Completions
from pinfut.rpc.kernel.ring import HEAD_BYTES, RingReader, RingWriter, ring_bytes
from pinfut.rpc.protocol import frames
from pinfut.rpc.protocol.frames import CAP, RETURN_HEAD
from pinfut.rpc.turns import QUANTUM
from pinfut.testing import CountingWaker
from tests.explore.still import Still
from tests.fuzz.harness import Target, pieces
from tests.rpc.hostile import CELL, Raw
from tests.rpc.protocol.fakes import Host, Plain, Thing, call
from tests.rpc.services import Desk, DeskServer, ThingServer
from tests.rpc.services import Thing as DeskThing
from tests.rpc.world import World, quiet, run

# ---- frames: what the four tables make of them ----

RECEIVE, GIVE, HAND_OUT, REFUSE, FRESH = range(5)


def host_in_the_midst() -> Host:
    """A host with an export (0), a call that runs (1), one that has returned an object (2),
    and one that waits for the first (3)."""
    host = Host(slots=8, pages=100)
    host.peer.exports.grant(Plain())
    host.peer.receive(call(1, 0, b"runs", pipeline=True))
    host.peer.receive(call(2, 0, b"has returned", pipeline=True))
    host.hand_out(host.running(2), Plain())
    host.peer.receive(call(3, 1, b"waits", on_answer=True, pipeline=True))
    return host


def fuzz_frames(data: bytes, counts: Counter[str]) -> None:
    """Calls, controls and capability ids, between handlers that end in several ways."""
    # One that has seen nothing yet, if the input begins by saying so.
    fresh = data[:1] == bytes([FRESH])
    host = Host(slots=8, pages=100) if fresh else host_in_the_midst()
    for operation, argument, frame in pieces(data):
        try:
            if operation % 5 == RECEIVE:
                host.peer.receive(frame)
                counts["handled"] += 1
            elif operation % 5 != FRESH:
                _end(host, operation % 5, argument)
                counts["ended"] += 1
        except ProtocolError:
            counts["refused"] += 1
            break
        peer = host.peer
        assert len(peer.answers) in (0, 8), "a table grew"
        queued = sum(one.queued_charge for one in host.all_waiting())
        least = queued + peer.exports.charged + peer.imports.charged
        assert host.held[0] >= least, "less is charged than is held"
        assert len({one.x for one in peer.open_answers()}) == len(peer.open_answers())
    host.peer.close()
    assert host.held == (0, 0), "a charge stayed"
    host.purse.close()
    assert (host.bank.pages_used, host.bank.caps_used) == (0, 0)


def _end(host: Host, how: int, which: int) -> None:
    running = host.all_running()
    if not running:
        return
    answer = running[-1 - which % len(running)]  # 0 is the newest
    if how == GIVE:
        host.peer.give(answer, bytes(which))
    elif how == REFUSE:
        host.peer.refuse(answer, KeyError("k" * which))
    else:
        try:
            host.hand_out(answer, Plain())
        except ProtocolError:
            raise
        except RpcError as error:  # it cannot be paid
            host.peer.refuse(answer, error)


# ---- ring: indices and lengths in shared memory ----

BODY, WORD, READ, WRITE, RELEASE, IDS, TAKE, POST = range(8)
MARGIN = 64


def fuzz_ring(data: bytes, counts: Counter[str]) -> None:
    """Both ends of a ring, and the completions, while somebody writes into their memory."""
    capacity = 256
    memory = bytearray(b"\xee" * MARGIN + bytes(ring_bytes(capacity)) + b"\xee" * MARGIN)
    view = memoryview(memory)[MARGIN:-MARGIN]
    ids = memoryview(bytearray(8 * 9))
    writer, reader = RingWriter(view), RingReader(view)
    completions, callee = Completions(ids, 8), Completions(ids, 8)
    for operation, argument, given in pieces(data):
        try:
            match operation % 8:
                case 0:  # BODY
                    at = HEAD_BYTES + argument % (capacity // 4) * 4
                    part = given[: len(view) - at]
                    view[at : at + len(part)] = part
                case 1:  # WORD
                    part = given[:8].ljust(8, b"\0")
                    view[argument % 4 * 8 : argument % 4 * 8 + 8] = part
                case 2:  # READ
                    counts["seen"] += reader.look()
                    got = reader.read(argument)
                    assert len(got) <= argument
                    assert sum(map(len, got)) <= capacity, "more than there is room for"
                    assert all(len(one) >= 8 for one in got)
                    counts["read"] += len(got)
                case 3:  # WRITE
                    frame = struct.pack("<I", 8 + len(given[:120])) + bytes(4) + given[:120]
                    counts["written"] += writer.write(frame)
                    assert writer.unpublished <= capacity
                    if argument % 2:
                        writer.publish()
                case 4:  # RELEASE
                    reader.release()
                case 5:  # IDS
                    at = argument % 9 * 8
                    part = given[: len(ids) - at]
                    ids[at : at + len(part)] = part
                case 6:  # TAKE
                    taken = completions.take()
                    assert len(taken) <= 8
                    counts["taken"] += len(taken)
                case _:  # POST, as often as there are slots
                    if len(callee.posted) < 8:
                        callee.post(argument)
                    callee.publish()
        except GarbageFrame:
            counts["refused"] += 1
            break
        assert set(memory[:MARGIN]) == set(memory[-MARGIN:]) == {0xEE}, "written beside the ring"


# ---- payloads: values of declared types ----


class Point(msgspec.Struct):
    x: int
    name: str = ""


Tree = dict[str, list[int | str | None]]
TYPES: tuple[Any, ...] = (
    int,
    str,
    bytes,
    float,
    bool,
    list[int],
    Tree,
    tuple[int, str],
    tuple[int, ...],
    Point,
    list[Point],
    set[str],
    Thing,
    list[Thing],
    dict[str, Thing | None],
)
CODECS = tuple(Codec(kind, Interface) for kind in TYPES)
_read_error = msgspec.msgpack.Decoder(tuple[int, str, str]).decode


def fuzz_payloads(data: bytes, counts: Counter[str]) -> None:
    """One payload: its type by the first byte, then msgpack; the last "type" is an error."""
    if not data:
        return
    which, payload = data[0] % (len(TYPES) + 1), data[1:]
    try:
        if which == len(TYPES):
            try:
                error = from_wire(*_read_error(payload))
            except (msgspec.MsgspecError, ValueError):
                counts["refused"] += 1
                return
            assert isinstance(error, RpcError)
            counts["error"] += 1
            return
        codec = CODECS[which]
        if not codec.has_caps:
            value = codec.decode(payload)
            codec.encode_checked(value)
            counts["decoded"] += 1
            return
        things = [Plain(), Plain(), Plain()]
        left = dict(enumerate(things))

        def resolve(index: int, interface: Any) -> object:
            if index not in left:
                raise ValueError(f"no capability {index}")
            return left.pop(index)

        value = codec.decode_caps(payload, resolve)
        codec.encode_caps(value)
        counts["with capabilities"] += 1
    except CodecError:
        counts["refused"] += 1


# ---- answers: what a server writes into the memory of a client ----

CELL_OF, SAY, SAY_ANY, LOOK, POLL, DROP, PLACE, FLUSH = range(8)


def fuzz_answers(data: bytes, counts: Counter[str]) -> None:
    """A client with seven open calls whose server writes what it likes."""
    kernel = SimKernel()
    bank = kernel.bank("client", pages=400)
    whole = bank.balance
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "desk")
    near = kernel.connect(client, "desk", bank, slots=8, ring=4096, cell=CELL)
    (far,) = port.waiting
    port.waiting.clear()
    still: Any = Still()
    session = Session(still, near, None, lambda end: None, lambda guest: None)
    lane = near.out()
    completions = lane.completions
    root = session.bootstrap(Desk)
    places = session.places

    def say(x: int) -> None:
        if len(completions.posted) < completions.capacity:
            completions.post(x)

    def returned(
        x: int, payload: bytes, flags: int, caps: tuple[tuple[int, int, int], ...]
    ) -> bytes:
        payload = b"".join(CAP.pack(*cap) for cap in caps) + payload
        size = RETURN_HEAD.size + len(payload)
        return RETURN_HEAD.pack(size, frames.RETURN, flags, len(caps), x) + payload

    lane.cells.write(places[0], returned(0, b"", 0, ((frames.SENDER, 0, Desk._pinfut_id),)))
    say(0)
    completions.publish()
    session.flush()
    session.drain(16, QUANTUM)
    assert session.error is None
    mine = ThingServer("mine")
    opened: list[Any] = [
        root.do(1),
        root.small(2),
        root.tell(3),
        root.make("4"),
        root.things(2),
        root.back(mine),
        root.tell_with(5, mine),
    ]
    # Promises are polled; of proxies, whether they have come.
    waits = [one.__await__().send(None) if isinstance(one, DeskThing) else one for one in opened]
    session.flush()
    kept: list[Any] = []
    for operation, argument, given in pieces(data):
        n = argument % len(waits)
        match operation % 8:
            case 0:  # CELL_OF: the answer of a call, as far as its place goes
                memory, start, room = _place(lane, places[(n + 1) % len(places)])
                part = given[:room]
                memory[start : start + len(part)] = part
            case 1:  # SAY
                say(n + 1)
                completions.publish()
            case 2:  # SAY_ANY
                say(int.from_bytes(given[:8], "little"))
                completions.publish()
            case 3:  # LOOK
                session.drain(16, QUANTUM)
            case 4:  # POLL
                if waits[n] is not None:
                    _poll(waits, n, kept, counts)
            case 5:  # DROP
                if waits[n] is not None:
                    waits[n].drop()
                    waits[n] = opened[n] = None
                    counts["dropped"] += 1
            case 6:  # PLACE: the completions themselves
                words = lane.memory
                at = argument % 9 * 8
                words[at : at + len(given[:8])] = given[:8]
            case _:  # FLUSH
                session.flush()
        if session.error is not None:
            assert isinstance(session.error, ProtocolError), repr(session.error)
            counts["refused"] += 1
            break
        table = session.questions
        assert len(table.taken()) + len(table.free) == table.capacity
        assert len(session.peer.imports) <= 1 + len(data) // CAP.size
    kept.clear()
    session.close(SessionClosed("the input is over"))
    for n, wait in enumerate(waits):
        if wait is not None:
            _poll(waits, n, kept, counts)
            assert waits[n] is None, "a call of a session that has ended still waits"
    kernel.close(far)
    assert near.channel.freed
    assert bank.balance == whole, "the bank has not got everything back"


def _place(lane: Any, place: int) -> tuple[memoryview, int, int]:
    if place < len(lane.cells.small):
        found: tuple[memoryview, int, int] = lane.cells.small[place]
        return found
    try:
        large: tuple[memoryview, int, int] = lane.cells.large(place)
    except GarbageFrame:
        return memoryview(bytearray(8)), 0, 8  # that answer has been taken
    return large


def _poll(waits: list[Any], n: int, kept: list[Any], counts: Counter[str]) -> None:
    try:
        value = waits[n].poll(Context(CountingWaker()))
    except RpcError as error:
        counts["garbage" if isinstance(error, ProtocolError) else "error"] += 1
    else:
        if value is PENDING:
            return
        kept.append(value)
        counts["answered"] += 1
    waits[n] = None


# ---- sessions: a whole server, and a client that is nothing but its end ----

SEND, TURN, OVERWRITE, ANSWER, NEXT = range(5)
LIMIT = 64


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
            async with world_client(world) as desk:
                bank = world.bank("hostile")
                raw = Raw(world.kernel, "service", bank, 8)
                await raw.bootstrap(Desk)
                far = next(one for one in vat.sessions if one.name == raw.end.name)
                lane = raw.lane
                for room in (256,) * 7 + (8192,) * 3:
                    lane.cells.reserve(room)  # places for the answers, as a client has them
                for operation, argument, given in list(pieces(data))[:64]:
                    match operation % 5:
                        case 0:  # SEND: the length is the frame's own unless it says otherwise
                            _send(raw, given, counts)
                        case 1:  # TURN
                            raw.end.signal()
                            await quiet()
                        case 2:  # OVERWRITE
                            at = argument * 8
                            part = given[: max(0, len(lane.memory) - at)]
                            lane.memory[at : at + len(part)] = part
                        case 3:  # ANSWER a call of the server
                            back = raw.end.into()
                            if back is not None:
                                part = given[:CELL]
                                for place in range(min(2, len(back.cells.small))):
                                    memory, start, _ = back.cells.small[place]
                                    memory[start : start + len(part)] = part
                                if len(back.completions.posted) < back.completions.capacity:
                                    back.completions.post(argument)
                                back.completions.publish()
                                counts["answered"] += 1
                        case _:
                            assert await desk.do(argument) == argument
                    if raw.end.closed:
                        assert isinstance(far.error, ProtocolError), repr(far.error)
                        counts["refused"] += 1
                        break
                if not raw.end.closed:
                    raw.end.signal()
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


def world_client(world: World) -> Any:
    """An honest client of the service."""
    from pinfut.rpc import connect

    return connect(world.kernel, "service", Desk, world.bank("honest"))


def _send(raw: Raw, given: bytes, counts: Counter[str]) -> None:
    if len(given) < 8:
        given = given.ljust(8, b"\0")
    writer = raw.lane.writer
    try:
        if writer.write(given[: writer.largest]):
            counts["sent"] += 1
        writer.publish()
    except GarbageFrame:
        pass  # what it has overwritten itself


TARGETS = {
    "frames": Target(fuzz_frames, 64 << 10, 64),
    "ring": Target(fuzz_ring, 32 << 10, 64),
    "payloads": Target(fuzz_payloads, 32 << 10, 160),
    "answers": Target(fuzz_answers, 256 << 10, 160),
    "session": Target(fuzz_session, 4 << 20, 160),
}
