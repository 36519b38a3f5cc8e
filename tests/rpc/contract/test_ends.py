"""Names, introductions, events, and how sessions end, on every kernel."""

from __future__ import annotations

import pytest

from pinfut.executor import spawn, yield_now
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.contract import Balance, Endpoint, Kernel, Process, Route, ServiceSpec, SessionSpec
from pinfut.rpc.errors import PeerDied, SessionClosed, UnknownObject, UnknownService
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.records import GENERATION, OWNER, VERSION
from tests.covered import covered
from tests.rpc.contract.pair import ALL, SPEC, Pair, arrived, frame, run


def test_both_sides_of_a_session_say_the_same_of_it(kernel: Kernel) -> None:
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "it", ServiceSpec(level=1))
    bank = kernel.bank("b", pages=900)  # type: ignore[attr-defined]
    for level in range(3):
        near = kernel.connect(client, "it", bank, SessionSpec(slots=7, ring=256, level=level))
        (far,) = port.accept()
        assert port.accept() == []
        assert near.name == far.name
        assert near.slots == far.slots == 7
        assert (near.serving, far.serving) == (False, True)
        assert (near.level, far.level) == (level, max(level, 1)), "no more than the service gives"
        assert client.at(near.handle & 0xFFFF_FFFF) is near
        assert server.at(far.handle & 0xFFFF_FFFF) is far
        assert near.via is None is far.via
        assert len({near, far, near}) == 2


def test_who_connects_is_announced_at_the_port(kernel: Kernel) -> None:
    async def main() -> None:
        server, client = kernel.process("server"), kernel.process("client")
        port = kernel.listen(server, "it", ServiceSpec())
        with pytest.raises(ValueError, match="'it'"):
            kernel.listen(client, "it", ServiceSpec())

        async def wait() -> None:
            # What is signalled of the session itself may overtake it.
            while port not in [server.at(badge) for badge in await server.wait()]:
                covered("connecting", overtaken=1)

        waits = spawn(wait())
        await yield_now()
        bank = kernel.bank("b", pages=900)  # type: ignore[attr-defined]
        near = kernel.connect(client, "it", bank, SPEC)
        # Calls may be submitted before anybody has accepted.
        near.submissions().submit(frame(24))
        near.publish()
        await waits
        (far,) = port.accept()
        await arrived()
        requests = far.requests()
        assert requests is not None
        assert requests.receive(9, ALL) == [frame(24)]
        kernel.unlisten(port)
        with pytest.raises(UnknownService):
            kernel.connect(client, "it", bank, SPEC)
        again = kernel.listen(client, "it", ServiceSpec())
        kernel.connect(client, "it", bank, SPEC)
        assert port.accept() == [], "another has the name now"
        assert len(again.accept()) == 1

    run(main)


@pytest.mark.parametrize("client_first", [True, False])
def test_memory_stays_until_both_have_let_go(kernel: Kernel, client_first: bool) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        await arrived()
        first, second = (pair.near, pair.far) if client_first else (pair.far, pair.near)
        process = pair.server if client_first else pair.client
        process.take()
        waits = spawn(_freed(pair.near))
        held = pair.used
        first.close()
        first.close()
        await arrived()
        assert first.released
        assert not waits.done
        assert pair.used == held, "memory was taken from under the other side"
        assert type(second.ending) is SessionClosed
        assert process.take() == [second.handle & 0xFFFF_FFFF]
        second.close()
        await waits
        assert pair.used == (0, 0)
        await pair.far.wait_freed()

    run(main)


async def _freed(end: Endpoint) -> None:
    await end.wait_freed()


@pytest.mark.parametrize("accepted", [True, False])
def test_the_peers_of_a_process_that_dies_are_told(kernel: Kernel, accepted: bool) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        other = kernel.connect(pair.client, "it", pair.bank, SPEC)
        if accepted:
            pair.port.accept()
        pair.far.account.take(9_000)  # dies with it
        await arrived()
        pair.client.take()
        kernel.kill(pair.server)
        assert not pair.server.alive
        assert pair.far.released
        await arrived()
        for end in (pair.near, other):
            assert type(end.ending) is PeerDied
        assert len(pair.client.take()) == 2
        with pytest.raises(UnknownService):
            kernel.connect(pair.client, "it", pair.bank, SPEC)
        pair.near.close()
        other.close()
        await other.wait_freed()
        assert pair.used == (0, 0)

    run(main)


def test_who_waits_to_be_accepted_is_told_that_nobody_will(kernel: Kernel) -> None:
    pair = Pair(kernel)
    waiting = kernel.connect(pair.client, "it", pair.bank, SPEC)
    kernel.unlisten(pair.port)
    assert type(waiting.ending) is SessionClosed
    waiting.close()
    assert pair.near.ending is None
    pair.close()
    assert pair.used == (0, 0)


# ---- events ----


def test_a_server_writes_the_records_that_its_client_brought(kernel: Kernel) -> None:
    async def main() -> None:
        bank = kernel.bank("buffer", pages=9)  # type: ignore[attr-defined]
        buffer = EventBuffer(bank, places=2, size=16, keep=2)
        pair = Pair(kernel, SessionSpec(slots=4, ring=4096, events=buffer))
        key = buffer.open()
        memory = pair.far.events()
        assert memory is not None
        assert pair.near.events() is None
        assert (memory.shape.places, memory.shape.size, memory.shape.keep) == (2, 16, 2)
        place, words = key & 0xFFFF, memory.memory.cast("Q")
        at = place * (memory.shape.record >> 3)
        assert words[at + GENERATION] == key >> 16
        words[at + OWNER] = key >> 16

        async def wait() -> int:
            return (await buffer.next()).version

        waits = spawn(wait())
        await yield_now()
        words[at + VERSION] = 1
        pair.far.post_event(place)
        pair.far.post_event(place)
        assert await waits == 1
        pair.close()
        with pytest.raises(SessionClosed):
            await buffer.next()
        buffer.free()
        assert bank.pages_used == 0

    run(main)


def test_a_client_that_brought_no_memory_gets_no_events(kernel: Kernel) -> None:
    pair = Pair(kernel)
    assert pair.far.events() is None
    pair.far.post_event(0)
    pair.close()


# ---- introductions ----


class Three:
    """A client with a session at each of two servers."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.bank = kernel.bank("client", pages=200, caps=100)  # type: ignore[attr-defined]
        self.client = kernel.process("client")
        self.servers: list[Process] = []
        self.nears: list[Endpoint] = []
        self.fars: list[Endpoint] = []
        for name in ("a", "b"):
            server = kernel.process(name)
            port = kernel.listen(server, name, ServiceSpec())
            self.nears.append(kernel.connect(self.client, name, self.bank, SPEC))
            self.servers.append(server)
            self.fars += port.accept()

    def introduce(self) -> Route:
        """`b` calls `a` from here on."""
        at, to = self.nears
        return at.introduce(to, 40, 2, 1024)


def test_an_introduction_is_a_session_between_the_servers_paid_by_the_client(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        three = Three(kernel)
        before = three.bank.pages_used
        route = three.introduce()
        assert three.bank.pages_used > before
        assert three.nears[0].route_open(route)
        (a, b) = three.fars
        caller, server = b.guest(route.near), a.guest(route.far)
        assert (caller.via, server.via) == (b, a)
        assert (caller.serving, server.serving) == (False, True)
        assert caller.name == server.name
        assert server.client not in (a.client, b.client)
        for end, handle in ((a, 1 << 40), (b, b.handle), (a, route.far + (1 << 32))):
            with pytest.raises(UnknownObject):
                end.guest(handle)
        caller.submissions().submit(frame(16))
        caller.publish()
        await arrived()
        requests = server.requests()
        assert requests is not None
        assert requests.receive(9, ALL) == [frame(16)]
        # It goes with the session that it came over.
        a.close()
        await arrived()
        assert server.released
        assert caller.ending is not None
        assert not three.nears[0].route_open(route)
        with pytest.raises(UnknownObject):
            b.guest(route.near)
        three.nears[0].close()
        waits = spawn(_freed(three.nears[0]))
        await arrived()
        assert not waits.done, "what is lent below is part of it"
        caller.close()
        await waits
        b.close()
        three.nears[1].close()
        assert (three.bank.pages_used, three.bank.caps_used) == (0, 0)

    run(main)


def test_an_introduction_that_is_withdrawn_ends_on_both_sides(kernel: Kernel) -> None:
    async def main() -> None:
        three = Three(kernel)
        before = three.bank.pages_used
        route = three.introduce()
        ends = three.fars[1].guest(route.near), three.fars[0].guest(route.far)
        three.nears[0].withdraw(route)
        three.nears[0].withdraw(route)
        assert not three.nears[0].route_open(route)
        await arrived()
        for end in ends:
            assert type(end.ending) is SessionClosed
            end.close()
        await arrived()
        three.nears[0].withdraw(route)
        assert three.bank.pages_used == before

    run(main)


def test_an_introduction_that_cannot_be_made_has_bought_nothing(kernel: Kernel) -> None:
    three = Three(kernel)
    at, to = three.nears
    used = three.bank.pages_used
    for pages, slots, ring in ((1, 2, 1024), (40, 0, 1024), (40, 2, 1000)):
        with pytest.raises((ValueError, Exception), match=r"slots|power of two|pages"):
            at.introduce(to, pages, slots, ring)
        assert three.bank.pages_used == used
    three.fars[1].close()
    with pytest.raises(SessionClosed):
        three.introduce()
    assert three.bank.pages_used == used


def test_who_the_client_is_the_kernel_says_by_its_process_and_its_bank(kernel: Kernel) -> None:
    pair, other = Pair(kernel), kernel.bank("other", pages=50, caps=50)  # type: ignore[attr-defined]

    def client(process: Process, payer: object, spec: SessionSpec = SPEC) -> object:
        kernel.connect(process, "it", payer, spec)
        (far,) = pair.port.accept()
        return far.client

    same = pair.far.client
    assert client(pair.client, pair.bank) == same
    assert client(pair.client, BankHandle(pair.bank, Rank.READ)) == same
    assert client(pair.client, other) != same
    assert client(kernel.process("client"), pair.bank) != same
    own = SessionSpec(slots=4, ring=4096, quota=Balance(40, 40))
    alone = client(pair.client, pair.bank, own), client(pair.client, pair.bank, own)
    assert len({same, *alone}) == 3
