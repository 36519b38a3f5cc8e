"""Sessions over real streams: two processes, hostile peers, and a relay that does as it likes."""

from __future__ import annotations

import gc
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import pytest

from pinfut import executor, join
from pinfut.executor import sleep, spawn, to_thread, yield_now
from pinfut.executor.io import Socket, listen_unix
from pinfut.rpc import (
    DonationTooSmall,
    EventBuffer,
    EventSource,
    GarbageFrame,
    Interface,
    OutOfPages,
    PayerExhausted,
    PeerDied,
    RemoteError,
    Restricted,
    RpcError,
    SafetyExceeded,
    SessionClosed,
    SessionDead,
    UnknownService,
    Vat,
    connect,
    current_session,
    destroy,
    introduce,
    method,
    nested,
)
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.errors import from_wire
from pinfut.rpc.kernel.stream import ANYONE, Unix
from pinfut.rpc.kernel.stream import kernel as kernel_module
from pinfut.rpc.kernel.stream.endpoint import StreamEndpoint
from pinfut.rpc.kernel.stream.kernel import Stranger
from pinfut.rpc.kernel.stream.parts import (
    ANSWER,
    BACK,
    BEAT,
    CALL,
    CAPS,
    END,
    EVENT,
    HEAD,
    HELLO,
    LANE,
    PLACE,
    READ,
    WELCOME,
    pack,
)
from pinfut.rpc.kernel.stream.wire import Wire
from pinfut.rpc.objects.interface import resolve
from pinfut.rpc.wire import frames
from tests.covered import covered, require
from tests.rpc.kernel.streams import SPEC, Place, Raw, Relay, process, run, settled
from tests.rpc.services import Desk, DeskServer, ThingServer

# ---- two processes ----


def test_two_processes_talk_and_each_has_everything_back(tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def main(other: Any) -> None:
        kernel = Unix(path)
        bank = kernel.bank("client", pages=500)
        async with connect(kernel, "desk", Desk, bank) as desk:
            assert await desk.do(3) == 3
            assert await desk.desk("a").desk("b").make("c").name() == "a/b/c"
            assert list(await join(*[desk.do(n) for n in range(300)])) == list(range(300))
            assert await desk.data(100_000, 0.0) == bytes([100_000 % 251]) * 100_000
            with pytest.raises(RemoteError, match="ValueError: so"):
                await desk.fail("so", 0.0)
            desk.nap(1e6).drop()
        assert (bank.pages_used, bank.caps_used) == (0, 0)
        print("used", file=other.stdin, flush=True)
        assert other.stdout.readline() == "0 0\n"
        async with connect(kernel, "desk", Desk, bank) as desk:
            nap = spawn(outcome(desk.nap(1e6)))
            await desk.do(1)
            other.kill()
            other.wait()
            error = await nap
            assert type(error) is PeerDied
            assert "the server of session client>desk#2 is gone" in str(error)
        assert (bank.pages_used, bank.caps_used) == (0, 0)
        with pytest.raises(UnknownService, match="nobody is reached"):
            async with connect(kernel, "desk", Desk, bank):
                pass

    with process("serve", path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        executor.run(main(other))


def test_a_client_that_is_killed_leaves_nothing_at_its_server(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        async with place.served():
            with process("call", place.path) as other:
                assert other.stdout is not None
                assert await to_thread(other.stdout.readline) == "1\n"
                assert place.granted.pages_used > 6
                other.kill()
                other.wait()

    executor.run(main())


def test_plain_calls_of_an_unchecked_process_take_no_way_that_is_of_shared_memory_alone(
    tmp_path: Path,
) -> None:
    """In C they would be put down where the memory of another kernel's submissions lies."""

    async def main() -> None:
        place = Place(tmp_path)
        async with place.served():
            with process("repeat", place.path, checked=False) as other:
                assert other.stdout is not None
                assert await to_thread(other.stdout.read) == "done\n"
                assert other.wait() == 0

    executor.run(main())


# ---- who pays ----


def test_what_is_held_for_a_client_is_paid_by_the_bank_that_is_granted_to_it(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        alice = place.server.bank("alice", pages=40)
        place.server.grant(f"uid:{os.getuid()}", alice)
        async with place.served():
            async with place.connected() as desk:
                begun = alice.pages_used
                assert begun > 4
                naps = [spawn(outcome(desk.nap(50.0))) for _ in range(60)]
                await sleep(1.0)
                assert 40 >= alice.pages_used > begun
                ended = [await nap for nap in naps]
                assert place.granted.pages_used == 0, "it has a bank of its own"
                refused = [one for one in ended if isinstance(one, OutOfPages)]
                assert all(one.bank == "alice" for one in refused)
                assert 0 < len(refused) < 60, "each is refused by itself"
                assert await desk.do(2) == 2
            await settled(lambda: alice.pages_used == alice.caps_used == 0)

    run(main)


async def outcome(called: Any) -> Any:
    """What it gives or raises."""
    try:
        return await called
    except RpcError as error:
        return error


def test_who_may_not_or_cannot_pay_is_refused_by_name_and_nothing_is_held(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path, pages=30)
        service = Unix(str(tmp_path / "other"))
        refused: list[tuple[type[RpcError], Unix, str, dict[str, Any]]] = [
            (UnknownService, place.client, "dusk", {}),
            (UnknownService, service, "desk", {}),
            (DonationTooSmall, place.client, "desk", {"quota": 2}),
            (PayerExhausted, place.client, "desk", {"quota": 31}),
            (OutOfPages, place.client, "desk", {"ring": 1 << 20}),
            (SafetyExceeded, place.client, "desk", {"slots": 9}),
        ]
        async with place.served(max_slots=8):
            for error, kernel, name, how in refused:
                bank = kernel.bank(f"for {error.__name__} {name}", pages=900)
                with pytest.raises(error):
                    async with connect(kernel, name, Desk, bank, **{"slots": 8, **how}):
                        pass
                assert bank.pages_used == 0
                await settled(lambda: place.granted.pages_used == 0)
            async with place.connected(slots=8, quota=25) as desk:
                assert place.granted.pages_used == 25, "it is set aside at once"
                assert await desk.do(1) == 1
            place.server._grants.clear()
            with pytest.raises(Restricted, match=f"'uid:{os.getuid()}'"):
                async with place.connected(slots=8):
                    pass

    run(main)


def test_a_granted_bank_that_is_destroyed_ends_its_sessions_and_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        mine = place.server.bank("mine", pages=100)
        async with place.served(), place.connected() as well:
            place.server.grant(ANYONE, mine)
            async with place.connected() as desk:
                assert await desk.do(1) == 1
                nap = spawn(outcome(desk.nap(1e6)))
                await sleep(0.1)
                destroying = destroy(mine)
                destroying.step()
                error = await nap
                assert type(error) is SessionDead
                await destroying
            assert await well.do(2) == 2

    run(main)


# ---- both ways ----


class Teller(Interface, Protocol):
    @method
    async def tell(self, key: int) -> None: ...


class TellerServer(Teller):
    def __init__(self) -> None:
        self.source = EventSource()

    @method
    async def tell(self, key: int) -> None:
        self.source.subscribe(key)


def test_objects_go_both_ways_and_a_server_calls_back(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        async with place.served(), place.connected() as desk:
            things = [ThingServer(str(n)) for n in range(40)]
            assert await desk.names_of(things) == [str(n) for n in range(40)]
            made = await desk.things(30)
            assert await desk.name_of(made[7]) == "7"
            assert await desk.back(things[3]) is things[3]
            for thing in things:
                await desk.keep(thing)
            assert await desk.forget() == 40
            made.clear()
            # Numbers that are given back are handed over again.
            assert await desk.names_of(things) == [str(n) for n in range(40)]

    run(main)


def test_events_come_combined_and_end_with_their_place(tmp_path: Path) -> None:
    async def main() -> None:
        place, teller = Place(tmp_path), TellerServer()
        with EventBuffer(place.client.bank("events", pages=9), places=2, size=16, keep=2) as buffer:
            async with (
                place.served(teller),
                connect(place.client, "desk", Teller, place.bank, events=buffer) as root,
            ):
                key = buffer.open()
                await root.tell(key)
                teller.source.post(b"one", 1)
                event = await buffer.next()
                assert (event.states, event.bits, event.version) == ((b"one",), 1, 1)
                for n in range(2, 10):
                    teller.source.post(b"%d" % n, 1 << n)
                await sleep(1.0)
                buffer.arm(key)
                event = await buffer.next()
                assert (event.states, event.version, event.lost) == ((b"8", b"9"), 9, 6)
                assert event.bits == sum(1 << n for n in range(10)) - 2, (
                    "all are told, and what was armed on"
                )
                buffer.cancel(key)
                again = buffer.open()
                other = buffer.open()
                await root.tell(again)
                assert teller.source.post(b"more") == 1, "the server knows what was cancelled"
                assert (await buffer.next()).key == again
                await root.tell(other)
                buffer.arm(again)
                teller.source.close()
                assert {(await buffer.next()).last, (await buffer.next()).last} == {True}
            with pytest.raises(SessionClosed):
                await buffer.next()

    run(main)


# ---- what may come in the place of a client ----

BAD: dict[str, list[bytes]] = {
    "a kind that is none": [pack(99)],
    "a second greeting": [pack(HELLO, data=b"x")],
    "an answer to nothing": [pack(ANSWER, 0, 1, b"x" * 20)],
    "a call that is too long": [HEAD.pack(CALL, 1025, 0, 0)],
    "calls beyond their credit": [pack(CALL, data=bytes(1024))] * 3,
    "a length of 4 GiB": [HEAD.pack(CALL, (1 << 32) - 1, 0, 0)],
    "a credit for nothing": [pack(READ, 8)],
    "what was not handed over": [pack(BACK, 7)],
    "no capability": [pack(CAPS, data=b"x" * 18)],
    "capabilities of another": [pack(CAPS, data=bytes([2]) + bytes(16))],
    "too many capabilities": [HEAD.pack(CAPS, 17 * 1025, 0, 0)],
    "capabilities of an answer to nothing": [pack(CAPS, 5, data=bytes([1]) + bytes(16))],
    "a lane of a client's": [pack(LANE)],
    "an event of a client's": [pack(EVENT, 0, 0, b"x")],
    "a place of no buffer": [pack(PLACE, 0, 1)],
    "heartbeats without end": [pack(BEAT)] * 99,
    "an end that says nothing": [pack(END, data=b"xyz")],
    "a frame that is none": [pack(CALL, data=b"\xff" * 40)],
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("cut", [False, True])
def test_who_breaks_the_protocol_is_cut_off_and_nobody_else_notices(
    tmp_path: Path, what: str, cut: bool
) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        async with place.served(), place.connected() as desk:
            held = place.granted.pages_used
            raw = await Raw.to(place.path)
            assert place.granted.pages_used > held
            sent = b"".join(BAD[what])
            with suppress(BrokenPipeError, ConnectionResetError):
                for at in range(0, len(sent), 9 if cut else len(sent)):
                    await raw.sock.sendall(sent[at : at + 9] if cut else sent)
                    await sleep(0.01)
            told = await raw.end()
            assert told[:1] == bytes([END])
            assert place.granted.pages_used == held
            assert await desk.do(5) == 5

    run(main)


def test_capabilities_that_cannot_be_paid_end_the_session_that_sends_them(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path, pages=40)
        async with place.served():
            raw = await Raw.to(place.path)
            for n in range(40):
                caps = b"".join(
                    bytes([1]) + (1000 * n + m).to_bytes(8, "little") + bytes(8) for m in range(99)
                )
                try:
                    await raw.sock.sendall(pack(CAPS, data=caps))
                except OSError:
                    break
                await yield_now()
            assert isinstance(from_wire(*ended(await raw.end())), OutOfPages)

    run(main)


def ended(told: bytes) -> tuple[int, str, str]:
    """Why a session was ended, by the last part of it."""
    return msgspec.msgpack.decode(told[told.rindex(bytes([END])) :][HEAD.size :], type=tuple)


def test_who_says_nothing_or_half_a_greeting_has_its_time_and_no_more(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        place.server.strangers = 5
        async with place.served():
            begun = executor.current_executor().now()
            raws = [await Raw.to(place.path, None) for _ in range(5)]
            await settled(lambda: place.server._unknown == 5)
            late = await Raw.to(place.path, None)
            assert await late.end() == b"", "there is no room for one more"
            assert executor.current_executor().now() < begun + 5
            await raws[0].sock.sendall(HEAD.pack(HELLO, 100, 0, 0) + b"x")
            for raw in raws:
                await raw.end()
            assert executor.current_executor().now() <= begun + kernel_module.GREETING + 1
            for wrong in (
                pack(BEAT),
                HEAD.pack(HELLO, 1025, 0, 0),
                pack(HELLO, data=b"{}"),
                b"GET" * 9,
            ):
                raw = await Raw.to(place.path, None)
                await raw.sock.sendall(wrong)
                await raw.end()
            assert place.granted.pages_used == 0
            async with place.connected() as desk:
                assert await desk.do(1) == 1

    run(main)


def test_who_reads_nothing_is_charged_for_what_waits_and_cut_off_at_its_bank_s_end(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        place = Place(tmp_path, pages=300)
        async with place.served(), place.connected() as desk:
            held = place.granted.pages_used
            most = 0
            raw = await Raw.to(place.path, SessionSpec(slots=64, ring=16384))
            raw.sock.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await raw.sock.sendall(bootstrap(0))
            for n in range(1, 60):
                await raw.sock.sendall(call(n, 200_000))
                for _ in range(5):
                    await sleep(0.01)
                    most = max(most, place.granted.pages_used)
                if place.granted.pages_used == held:
                    break
            assert 200 < most <= 300, "it was charged for what waited"
            assert place.granted.pages_used == held
            assert await desk.do(1) == 1
            raw.sock.close()

    run(main)


def bootstrap(x: int) -> bytes:
    """A call for the root object."""
    wanted: Any = Desk
    head = frames.CALL_HEAD
    return pack(
        CALL,
        data=head.pack(head.size, frames.BOOTSTRAP, 0, 0, x, wanted._pinfut_id, 256, x, 0),
    )


def call(x: int, size: int) -> bytes:
    """A call of `data` on the root object, for so many bytes."""
    resolve(DeskServer)
    wanted = next(one for one in DeskServer._pinfut_methods if one.name == "data")
    payload = wanted.arguments.encode((size, 0.0))
    head = frames.CALL_HEAD
    length = head.size + len(payload)
    return pack(
        CALL,
        data=head.pack(length, frames.CALL, 0, wanted.number, x, 0, size + 64, x, 0) + payload,
    )


# ---- what may come in the place of a server ----

WRONG: dict[str, list[bytes]] = {
    "no answer": [pack(ANSWER, 999, 0, b"x" * 20)],
    "an answer that is too long": [HEAD.pack(ANSWER, 1 << 20, 0, 0)],
    "a credit beyond what was sent": [pack(READ, 1 << 40)],
    "a call before its lane": [pack(CALL, data=b"x" * 40)],
    "two lanes": [pack(LANE), pack(LANE)],
    "an event without a buffer": [pack(EVENT, 0, 0, b"x" * 100)],
    "capabilities of no answer": [pack(CAPS, 900, data=bytes([1]) + bytes(16))],
    "a second welcome": [pack(WELCOME, 10)],
}


@pytest.mark.parametrize("what", WRONG)
def test_a_server_that_breaks_the_protocol_ends_its_clients_session(
    tmp_path: Path, what: str
) -> None:
    async def main() -> None:
        place = Place(tmp_path)

        async def server(listener: Socket) -> None:
            with await listener.accept() as sock:
                await sock.recv(1000)
                await sock.sendall(pack(WELCOME, 1 << 20))
                await sock.sendall(b"".join(WRONG[what]))
                while await sock.recv(1000):
                    pass

        with listen_unix(place.path) as listener:
            task = spawn(server(listener))
            with pytest.raises(GarbageFrame):
                async with place.connected():
                    pass
            await task
        place.check()

    run(main)


# ---- the way between them ----


def test_a_relay_that_delays_and_splits_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        relay = Relay(tmp_path, place.path)
        async with place.served(), relay.running():
            near = Unix(relay.path)
            bank = near.bank("near", pages=800)
            async with place.connected(near, bank, ring=4096) as desk:
                things = [ThingServer(str(n)) for n in range(9)]
                for n in range(20):
                    values = await join(desk.do(n), desk.data(9000, 0.0), desk.names_of(things))
                    assert values[0] == n
                    assert values[1] == bytes([9000 % 251]) * 9000
                    assert values[2] == [str(m) for m in range(9)]
            assert (bank.pages_used, bank.caps_used) == (0, 0)
        covered("a relay", pieces=relay.pieces)

    run(main)
    require(covered("a relay"), "pieces")


@pytest.mark.parametrize("how", ["silent", "reset", "within a part", "within an answer"])
def test_a_way_that_breaks_is_told_by_name_on_both_sides_and_every_charge_returns(
    tmp_path: Path, how: str
) -> None:
    words = {"silent": "silent for 30 s", "within a part": "within a part, 13 bytes",
             "within an answer": "within a part, 621 bytes", "reset": "gone"}[how]  # fmt: skip

    async def main() -> None:
        place, ends = Place(tmp_path), []

        async def watched(n: int) -> int:
            session = current_session()
            session.watch(lambda: ends.append(session.error))
            return n

        relay = Relay(tmp_path, place.path)
        async with place.served(DeskServer(do=watched)), relay.running():
            near = Unix(relay.path)
            bank = near.bank("client", pages=800)
            async with place.connected(near, bank) as desk:
                assert await desk.do(1) == 1
                nap = spawn(outcome(desk.nap(1e6)))
                await sleep(100.0)
                assert not nap.done, "heartbeats keep it alive"
                if how == "silent":
                    relay.stalled = True
                elif how == "reset":
                    relay.reset()
                else:
                    relay.most = relay.passed + (13 if how == "within a part" else 621)
                    spawn(outcome(desk.data(1000, 0.0)))
                error = await nap
                assert type(error) is PeerDied
                assert words in str(error)
            assert (bank.pages_used, bank.caps_used) == (0, 0)
            relay.stalled = False
            await settled(lambda: bool(ends))
            assert type(ends[0]) in (PeerDied, SessionClosed)

    run(main)


def test_who_closes_before_it_is_connected_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        async with place.served():
            for turns in range(12):
                vat = Vat(place.client, "v")
                session = vat.connect("desk", place.bank, SPEC)
                for _ in range(turns):
                    await yield_now()
                session.close(SessionClosed("enough"))
                await session.wait_closed()
                await vat.close()
                assert place.bank.pages_used == 0

    run(main)


def test_what_is_refused_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        place = Place(tmp_path)

        async def do(n: int) -> int:
            async with nested(pages=2):
                return n

        vat = Vat(place.client, "v")
        async with (
            place.served(DeskServer(do=do)),
            place.connected(vat=vat) as desk,
            place.connected(vat=vat) as other,
        ):
            with pytest.raises(RemoteError, match="a bank of its own"):
                await desk.do(1)
            with pytest.raises(ValueError, match="not introduced"):
                await introduce(desk.make("x"), other)
            with pytest.raises(ValueError, match="packets"):
                vat.connect("desk", place.bank, SessionSpec(receive=object()))
        await vat.close()

    run(main)


def test_sessions_that_nobody_has_accepted_are_all_told_when_their_service_goes(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        for killed in (False, True):
            serving = place.server.process("server")
            port = place.server.listen(serving, "desk", ServiceSpec())
            raws = [await Raw.to(place.path) for _ in range(4)]
            assert place.granted.pages_used > 0
            if killed:
                place.server.kill(serving)
            else:
                place.server.unlisten(port)
            for raw in raws:
                await raw.end()
            place.check()

    run(main)


def test_who_comes_and_goes_leaves_nothing_for_the_rest_of_a_stranger_s_time(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        place = Place(tmp_path)
        begun = executor.current_executor().now()
        async with place.served():
            for spec in (SPEC, None):
                for _ in range(20):
                    raw = await Raw.to(place.path, spec)
                    await raw.sock.sendall(pack(BEAT) + b"x" * 30_000)
                    await raw.end()
            await settled(lambda: not (place.granted.pages_used or place.server._unknown))
            gc.collect()
            left = [o for o in gc.get_objects() if type(o) in (Stranger, StreamEndpoint, Wire)]
            now = executor.current_executor().now()
            assert now < begun + kernel_module.GREETING, "else its time is over"
            assert not left

    run(main)


def test_the_identity_of_a_user_is_its_whole_number() -> None:
    class Told:
        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            return struct.pack("iII", 1, 4_000_000_000, 7)

    assert kernel_module.uid_of(cast("socket.socket", Told())) == "uid:4000000000"
