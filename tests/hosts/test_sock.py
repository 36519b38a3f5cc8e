"""``sock_*`` on the loop: edge-triggered waits, with each poller."""

from __future__ import annotations

import array
import asyncio
import socket
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from typing import Any

import pytest

from pinfut.asyncio import EventLoop
from pinfut.executor import current_executor, spawn
from pinfut.executor.hosts.sock import SockSource
from pinfut.executor.ready import TURN
from pinfut.executor.source import IN, OUT
from tests.executor.world import each_poller
from tests.hosts.world import Make, run

__all__ = ["each_poller"]

Pair = tuple[socket.socket, socket.socket]

pytestmark = pytest.mark.usefixtures("each_poller")


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        yield here, there


def source_of(loop: AbstractEventLoop, sock: socket.socket) -> SockSource:
    assert isinstance(loop, EventLoop)
    source = loop._poller.known(sock.fileno())
    assert isinstance(source, SockSource)
    return source


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0.001)


def test_a_socket_is_watched_once_for_all_its_waits(
    make: Make, pair: Pair, each_poller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair

    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        watched: list[int] = []
        watch = type(loop._poller).watch

        def counting(self: Any, source: Any, mask: int) -> None:
            watched.append(source.fd)
            watch(self, source, mask)

        monkeypatch.setattr(type(loop._poller), "watch", counting)

        async def echo() -> None:
            while data := await loop.sock_recv(there, 100):
                await loop.sock_sendall(there, data)

        echoing = asyncio.create_task(echo())
        for number in range(20):
            await loop.sock_sendall(here, b"%d" % number)
            assert await loop.sock_recv(here, 100) == b"%d" % number
        here.shutdown(socket.SHUT_WR)
        await echoing
        return watched.count(there.fileno())

    count = run(make, main())
    # The portable poller disarms what it has reported.
    assert count == 1 if each_poller == "epoll" else count > 1


def test_two_who_wait_to_read_are_both_served(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(loop.sock_recv(here, 1)) for _ in range(3)]
        await turns()
        there.send(b"ab")
        await turns()
        there.send(b"c")
        return sorted(await asyncio.gather(*waiting))

    assert run(make, main()) == [b"a", b"b", b"c"]


def test_all_of_a_long_message_is_sent_and_a_cancel_loses_what_was_not(
    make: Make, pair: Pair
) -> None:
    here, there = pair
    message = array.array("i", range(500_000))

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(loop.sock_sendall(here, message))
        got = bytearray()
        while len(got) < 2_000_000:
            got += await loop.sock_recv(there, 1 << 20)
        await sending
        stuck = asyncio.create_task(loop.sock_sendall(here, bytes(10_000_000)))
        await turns()
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        return bytes(got)

    assert run(make, main()) == message.tobytes()


def test_waits_that_were_cancelled_do_not_gather(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await loop.sock_recv(here, 1)
        waiting = asyncio.create_task(loop.sock_recv(here, 1))
        await turns()
        left = len(source_of(loop, here).readers)
        there.send(b"x")
        return left, await waiting

    assert run(make, main()) == (1, b"x")


def test_a_number_that_is_another_socket_s_now_is_watched_anew(make: Make) -> None:
    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        numbers = set()
        found = []
        for letter in (b"a", b"b", b"c"):
            here, there = socket.socketpair()
            here.setblocking(False)
            numbers.add(here.fileno())
            waiting = asyncio.create_task(loop.sock_recv(here, 1))
            await turns()
            there.send(letter)
            found.append(await waiting)
            here.close()  # the kernel forgets it, and nobody is told
            there.close()
        assert len(numbers) == 1, "the number was not used again"
        return found

    assert run(make, main()) == [b"a", b"b", b"c"]


def test_who_waits_on_a_socket_that_is_closed_and_used_again_is_told(make: Make) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        old, other = socket.socketpair()
        old.setblocking(False)
        waiting = asyncio.create_task(loop.sock_recv(old, 1))
        await turns()
        number = old.fileno()
        old.close()
        new, peer = socket.socketpair()
        assert number in (new.fileno(), peer.fileno())
        if peer.fileno() == number:
            new, peer = peer, new
        new.setblocking(False)
        again = asyncio.create_task(loop.sock_recv(new, 1))
        await turns()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await waiting
        peer.send(b"y")
        assert await again == b"y"
        for sock in (other, new, peer):
            sock.close()

    run(make, main())


def test_two_objects_for_one_file_share_its_waits(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        twin = socket.socket(fileno=here.fileno())
        waiting = [asyncio.create_task(loop.sock_recv(one, 1)) for one in (here, twin)]
        await turns()
        assert len(source_of(loop, here).readers) == 2
        there.send(b"12")
        found = sorted(await asyncio.gather(*waiting))
        twin.detach()
        return found

    assert run(make, main()) == [b"1", b"2"]


def test_add_reader_takes_a_socket_over_and_sock_recv_still_reads(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> list[bytes]:
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(loop.sock_recv(here, 1))
        await turns()
        there.send(b"1")
        found = [await waiting]
        told = asyncio.Event()
        loop.add_reader(here, told.set)
        there.send(b"2")
        await told.wait()
        assert loop.remove_reader(here)
        found.append(await loop.sock_recv(here, 1))
        waiting = asyncio.create_task(loop.sock_recv(here, 1))
        await turns()
        there.send(b"3")
        found.append(await waiting)
        return found

    assert run(make, main()) == [b"1", b"2", b"3"]


def test_sock_recv_takes_the_place_of_a_reader_as_in_asyncio(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> tuple[bytes, list[str], bool]:
        loop = asyncio.get_running_loop()
        log: list[str] = []
        loop.add_reader(here, log.append, "called")
        waiting = asyncio.create_task(loop.sock_recv(here, 10))
        await turns()
        there.send(b"x")
        got = await waiting
        return got, log, loop.remove_reader(here)

    assert run(make, main()) == (b"x", [], False)


def test_a_reader_is_called_as_long_as_there_is_something(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        got = bytearray()
        over: asyncio.Future[None] = loop.create_future()

        def reads() -> None:
            got.extend(here.recv(1))
            if len(got) == 5:
                loop.remove_reader(here)
                over.set_result(None)

        loop.add_reader(here, reads)
        there.send(b"12345")
        await over
        there.send(b"6")
        await turns()
        return bytes(got)

    assert run(make, main()) == b"12345"


def test_a_reader_that_waits_for_its_turn_is_called_once(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> int:
        loop = asyncio.get_running_loop()
        called = 0

        def reads() -> None:
            nonlocal called
            called += 1
            here.recv(10)  # would block, if it were called for one message twice

        loop.add_reader(here, reads)
        there.send(b"x")
        for _ in range(4 * TURN):  # the poller is looked at several times before they are over
            loop.call_soon(int)
        await turns()
        loop.remove_reader(here)
        return called

    assert run(make, main()) == 1


def test_reader_and_writer_of_one_descriptor_come_and_go_alone(make: Make, pair: Pair) -> None:
    here, there = pair

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        log: list[str] = []
        loop.add_reader(here, log.append, "read")
        loop.add_writer(here, log.append, "write")
        await turns()
        assert set(log) == {"write"}
        assert len(log) > 1, "as long as it is writable"
        assert loop.remove_writer(here)
        assert not loop.remove_writer(here)
        log.clear()
        there.send(b"x")
        await turns()
        assert set(log) == {"read"}
        assert isinstance(loop, EventLoop)
        source = loop._poller.known(here.fileno())
        assert source is not None
        assert source.mask & (IN | OUT) == IN
        loop.add_reader(here, log.append, "another")
        log.clear()
        await turns()
        assert set(log) == {"another"}
        assert loop.remove_reader(here)
        log.clear()
        await turns()
        return log

    assert run(make, main()) == []


def test_what_cannot_be_watched_is_refused_and_not_remembered(make: Make, tmp_path: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with open(tmp_path / "file", "w") as file, pytest.raises(PermissionError):
            loop.add_reader(file, print)
        with open(tmp_path / "file") as file, pytest.raises(PermissionError):
            loop.add_reader(file, print)  # the same number, once more
        with pytest.raises(ValueError, match="descriptor"):
            loop.add_reader(-1, print)

    run(make, main())


def test_a_reader_is_not_called_for_a_number_that_is_another_s_by_now(make: Make) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        log: list[str] = []
        old, other = socket.socketpair()
        number = old.fileno()
        loop.add_reader(number, log.append, "called")
        old.close()  # without remove_reader, which is wrong
        new, peer = socket.socketpair()
        if peer.fileno() == number:
            new, peer = peer, new
        assert new.fileno() == number

        async def own() -> None:
            assert current_executor().poller is not None
            await current_executor().poller.readable(number)  # type: ignore[union-attr]

        task = spawn(own())
        await turns()
        peer.send(b"x")
        await turns()
        assert task.done
        loop.remove_reader(number)
        for sock in (other, new, peer):
            sock.close()
        return log

    assert run(make, main()) == []


def test_a_server_of_streams_answers(make: Make) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> int:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(*address)
            writer.write(bytes(1_000_000))
            writer.write_eof()
            got = len(await reader.read())
            writer.close()
            return got

    assert run(make, main()) == 1_000_000


def test_datagrams_and_connections_are_taken_one_by_one(make: Make) -> None:
    async def main() -> tuple[bytes, bytes, int]:
        loop = asyncio.get_running_loop()
        with (
            socket.socket(type=socket.SOCK_DGRAM) as here,
            socket.socket(type=socket.SOCK_DGRAM) as there,
            socket.create_server(("127.0.0.1", 0)) as server,
        ):
            for sock in (here, there, server):
                sock.setblocking(False)
            here.bind(("127.0.0.1", 0))
            waiting = asyncio.create_task(loop.sock_recvfrom(here, 10))
            await turns()
            await loop.sock_sendto(there, b"one", here.getsockname())
            first, _ = await waiting
            space = bytearray(10)
            into = asyncio.create_task(loop.sock_recvfrom_into(here, space))
            await turns()
            await loop.sock_sendto(there, b"two", here.getsockname())
            size, _ = await into
            accepting = [asyncio.create_task(loop.sock_accept(server)) for _ in range(2)]
            await turns()
            clients = [socket.socket() for _ in range(2)]
            for client in clients:
                client.setblocking(False)
                await loop.sock_connect(client, server.getsockname())
            accepted = await asyncio.gather(*accepting)
            assert all(one.gettimeout() == 0 for one, _ in accepted)
            for sock in [*clients, *(one for one, _ in accepted)]:
                sock.close()
            return first, bytes(space[:size]), len(accepted)

    assert run(make, main()) == (b"one", b"two", 2)


def test_a_blocking_socket_is_refused_in_debug_mode_and_tls_always(make: Make) -> None:
    import ssl

    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            with (
                context.wrap_socket(
                    here, server_hostname="x", do_handshake_on_connect=False
                ) as tls,
                pytest.raises(TypeError, match="SSLSocket"),
            ):
                await loop.sock_recv(tls, 1)
            loop.set_debug(True)
            with pytest.raises(ValueError, match="non-blocking"):
                await loop.sock_recv(there, 1)

    run(make, main())
