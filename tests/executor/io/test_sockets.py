"""Sockets: bytes arrive whole and in order, cancels lose none, and the mistakes are told."""

from __future__ import annotations

import os
import socket
from array import array
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.combinators import join
from pinfut.executor import (
    CancelledError,
    Executor,
    current_executor,
    scope,
    sleep,
    spawn,
    timeout,
    yield_now,
)
from pinfut.executor.current import current_poller
from pinfut.executor.io import (
    Busy,
    Socket,
    connect_tcp,
    connect_unix,
    getaddrinfo,
    listen_tcp,
    listen_unix,
    socketpair,
    udp,
)
from pinfut.executor.io.operations import SPREE
from pinfut.future import FutureBase
from pinfut.sync import Closed
from tests.bounded import until
from tests.covered import covered, require
from tests.executor.world import Run, make


async def tcp_pair() -> tuple[Socket, Socket]:
    with listen_tcp(0) as listener:
        client = await connect_tcp("localhost", listener.raw.getsockname()[1])
        return client, await listener.accept()


async def receive_all(sock: Socket, size: int = 65536) -> bytes:
    data = bytearray()
    while piece := await sock.recv(size):
        data += piece
    return bytes(data)


def test_a_request_and_its_answer_over_tcp(run: Run) -> None:
    async def main() -> None:
        client, server = await tcp_pair()
        with client, server:
            await client.sendall(b"question")
            assert await server.recv(100) == b"question"
            await server.sendall(b"answer")
            client.send_eof()
            assert await server.recv(100) == b""
            assert await client.recv(100) == b"answer"
        assert current_poller().external == 0

    run(main())


# Every wait is made known, and what is asked for is always smaller or larger than what
# comes, so that full reads, short reads and reads at the end are all met.
@given(
    pieces=st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    size=st.integers(1, 3000),
    tcp=st.booleans(),
    mode=st.sampled_from(["everyday", "checked"]),
    cancels=st.lists(st.integers(0, 10), max_size=5),
)
def send_in_pieces(pieces: list[int], size: int, tcp: bool, mode: str, cancels: list[int]) -> None:
    sent = os.urandom(sum(pieces))
    counts = {"short": 0, "full": 0, "cancelled": 0}

    async def write(sock: Socket) -> None:
        start = 0
        for piece in pieces:
            await sock.sendall(sent[start : start + piece])
            start += piece
            await sleep(1)
        sock.send_eof()

    async def main() -> bytes:
        one, other = await tcp_pair() if tcp else socketpair()
        with one, other:
            task = spawn(write(one))
            data = bytearray()
            left = list(cancels)
            while True:
                try:
                    with timeout(0.3 if left else 1000):
                        piece = await other.recv(size)
                except TimeoutError:
                    left.pop()
                    counts["cancelled"] += 1
                    continue
                data += piece
                counts["full" if len(piece) == size else "short"] += 1
                if not piece:
                    break
            await task
            return bytes(data)

    assert make(mode).run(main()) == sent
    covered("bytes arrive whole", **counts)


def test_bytes_arrive_whole_and_in_order_however_they_are_cut_and_cancelled() -> None:
    send_in_pieces()
    require(covered("bytes arrive whole"), "short", "full", "cancelled")


def test_data_and_the_end_that_come_together_are_both_seen(run: Run) -> None:
    async def main() -> None:
        client, server = await tcp_pair()
        with client, server:
            reading = spawn(receive_all(server))
            await yield_now()  # it waits: the edge that comes is one for both
            await client.sendall(b"last words")
            client.send_eof()
            assert await reading == b"last words"

    run(main())


async def collect(sock: Socket, data: bytearray) -> None:
    while piece := await sock.recv(65536):
        data += piece


def test_bytes_behind_urgent_data_are_not_waited_for_in_vain(run: Run) -> None:
    async def main() -> None:
        client, server = await tcp_pair()
        with client, server:
            data = bytearray()
            reading = spawn(collect(server, data))
            await yield_now()
            client.raw.send(b"before")
            client.raw.send(b"!", socket.MSG_OOB)
            client.raw.send(b"behind")
            await sleep(1)
            assert data == b"beforebehind"  # now, and not only with the end
            client.send_eof()
            await reading

    run(main())


def test_a_read_stops_at_descriptors_and_goes_on_behind_them(run: Run) -> None:
    async def main() -> None:
        one, other = socketpair()
        with one, other:
            data = bytearray()
            reading = spawn(collect(other, data))
            await yield_now()
            await one.sendall(b"a")
            await one.send_fds(b"b", [0])
            await one.sendall(b"c")
            await sleep(1)
            assert data == b"abc"
            one.send_eof()
            await reading

    run(main())


def test_datagrams_that_wait_are_received_one_by_one(run: Run) -> None:
    async def main() -> None:
        with udp() as one, udp() as other:
            data = bytearray()
            reading = spawn(collect(other, data))
            await yield_now()
            for part in (b"a", b"b", b"c"):
                await one.sendto(part, other.raw.getsockname())
            await sleep(1)
            assert data == b"abc"
            reading.cancel()

    run(main())


def test_a_fast_writer_waits_for_a_slow_reader(run: Run) -> None:
    data = os.urandom(4_000_000)

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            writing = spawn(write(one))
            await sleep(1)
            assert not writing.done
            assert current_poller().external == 1
            reading = spawn(receive_all(other))
            await writing
            assert await reading == data

    async def write(sock: Socket) -> None:
        await sock.sendall(memoryview(data))
        sock.send_eof()

    run(main())


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_nobody_writes_into_the_midst_of_what_another_is_writing(
    run: Run, kind: type[bytes] | type[memoryview]
) -> None:
    async def send(sock: Socket, data: bytes) -> None:
        await sock.sendall(kind(data))

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            writing = spawn(send(one, bytes(4_000_000)))
            await until(lambda: current_poller().external, "the writer waits")
            # There is room again, and the first writer is awake but has not had its turn.
            other.raw.recv(1_000_000)
            current_executor().poller.park(0)  # type: ignore[union-attr]
            with pytest.raises(Busy, match="one task"):
                await one.sendall(b"intruder")
            reading = spawn(receive_all(other))
            await writing
            await one.sendall(b"next")
            one.send_eof()
            assert (await reading).strip(b"\0") == b"next"

    run(main())


def test_two_tasks_that_receive_from_one_socket_are_told(run: Run) -> None:
    async def main() -> None:
        one, other = socketpair()
        with one, other:
            reading = spawn(receive_all(one))
            await yield_now()
            with pytest.raises(Busy, match="have one task own it"):
                await one.recv(1)
            other.send_eof()
            assert await reading == b""

    run(main())


def test_a_socket_that_is_closed_here_tells_who_waits_and_who_comes(run: Run) -> None:
    async def close(sock: Socket) -> None:
        sock.close()

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            spawn(close(one))
            with pytest.raises(Closed, match="closed here"):
                await one.recv(1)
            for operation in (one.recv(1), one.sendall(b"x"), one.send(b"x"), one.accept()):
                with pytest.raises(Closed, match="closed here"):
                    await operation
            one.close()
        assert current_poller().external == 0

    run(main())


def test_a_cancelled_accept_leaves_the_connection_in_the_backlog(run: Run) -> None:
    async def accept(listener: Socket) -> Socket:
        return await listener.accept()

    async def main() -> None:
        with listen_tcp(0) as listener:
            address = listener.raw.getsockname()
            for _ in range(20):
                task = spawn(accept(listener))
                await yield_now()
                client = socket.create_connection(address)
                # It is woken and cancelled in one turn.
                current_executor().poller.park(0)  # type: ignore[union-attr]
                task.cancel()
                with pytest.raises(CancelledError):
                    await task
                with await listener.accept() as server:
                    assert server.raw.getpeername() == client.getsockname()
                client.close()

    run(main())


@pytest.mark.parametrize("operation", ["recv", "recv_into", "send", "sendall", "buffer"])
def test_a_task_that_never_waits_lets_the_others_run(operation: str) -> None:
    async def main() -> None:
        one, other = socketpair()
        ran: list[int] = []

        async def neighbour() -> None:
            ran.append(1)

        def operate() -> FutureBase[object]:
            match operation:
                case "recv":
                    return one.recv(1)
                case "recv_into":
                    return one.recv_into(bytearray(1))
                case "send":
                    return one.send(b"x")
                case "sendall":
                    return one.sendall(b"x")
                case _:
                    return one.sendall(memoryview(b"x"))

        with one, other:
            await other.sendall(b"x" * SPREE)
            task = spawn(neighbour())
            for _ in range(SPREE):
                await operate()
            assert ran
            await task

    # In checked mode every operation goes through the loop, which has its own bound.
    Executor(checked=False).run(main())


def test_a_cancelled_write_leaves_the_socket_free_for_the_next(run: Run) -> None:
    async def main() -> None:
        one, other = socketpair()
        with one, other:
            with pytest.raises(TimeoutError), timeout(1):
                await one.sendall(bytes(4_000_000))
            assert current_poller().external == 0
            with pytest.raises(TimeoutError), timeout(1):
                await one.send(b"x")
            assert current_poller().external == 0
            reading = spawn(receive_all(other))
            await one.sendall(b"the end")
            one.send_eof()
            assert (await reading).endswith(b"\0the end")

    run(main())


def test_a_combinator_can_poll_operations_in_place(run: Run) -> None:
    async def main() -> None:
        one, other = socketpair()
        with one, other:
            data, _ = await join(one.recv(10), other.sendall(b"hello"))
            assert data == b"hello"
            buffer = bytearray(10)
            assert await join(one.recv_into(buffer), other.send(b"abc")) == (3, 3)
            assert buffer[:3] == b"abc"

    run(main())


def test_connecting_to_nobody_is_the_systems_error_and_leaves_nothing(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await connect_tcp("127.0.0.1", port)
        with pytest.raises(FileNotFoundError):
            await connect_unix("/nowhere/at/all")
        with Socket(socket.socket()) as sock, pytest.raises(ValueError, match="connect_tcp"):
            await sock.connect(("localhost", port))

    run(main())


def test_names_are_looked_up_in_a_thread(run: Run) -> None:
    async def main() -> None:
        found = await getaddrinfo("localhost", 80, kind=socket.SOCK_STREAM)
        assert ("127.0.0.1", 80) in [address for *_, address in found]

    run(main())


def test_datagrams_keep_their_bounds_and_say_whose_they_are(run: Run) -> None:
    async def main() -> None:
        with udp() as one, udp() as other:
            to = other.raw.getsockname()
            waiting = spawn(receive(other))
            await yield_now()
            for data in (b"first", b"", b"third"):
                await one.sendto(data, to)
            assert await waiting == [(d, one.raw.getsockname()) for d in (b"first", b"", b"third")]
            with pytest.raises(ValueError, match="getaddrinfo"):
                await one.sendto(b"x", ("localhost", to[1]))

    async def receive(sock: Socket) -> list[object]:
        return [await sock.recvfrom(100) for _ in range(3)]

    run(main())


def test_unix_sockets_by_path_carry_bytes_and_descriptors(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    async def main() -> None:
        read, write = os.pipe()
        with (
            listen_unix(path) as listener,
            await connect_unix(path) as client,
            await listener.accept() as server,
        ):
            await client.send_fds(b"x", [write])
            os.close(write)
            data, (received,) = await server.recv_fds(10, most=2)
            assert data == b"x"
            assert not os.get_inheritable(received)
            os.write(received, b"through the other door")
            assert os.read(read, 100) == b"through the other door"
            await client.send_fds(b"y", [received, received, received])
            with pytest.raises(OSError, match="most"):
                await server.recv_fds(10, most=1)
            os.close(received)
        os.close(read)
        os.unlink(path)

    run(main())


def test_a_socket_serves_one_executor_after_another() -> None:
    one, other = socketpair()

    async def talk() -> None:
        async def read() -> bytes:
            return await one.recv(10)

        task = spawn(read())
        await yield_now()
        await other.sendall(b"x")
        assert await task == b"x"

    with one, other:
        for _ in range(3):
            Executor().run(talk())


def test_many_connections_at_once_each_get_their_own_bytes(run: Run) -> None:
    async def main() -> None:
        async def echo(sock: Socket) -> None:
            with sock:
                while data := await sock.recv(1000):
                    await sock.sendall(data)

        async def client(number: int, port: int) -> None:
            with await connect_tcp("127.0.0.1", port) as sock:
                for i in range(10):
                    message = f"{number} {i}".encode()
                    await sock.sendall(message)
                    assert await sock.recv(100) == message

        with listen_tcp(0) as listener:
            async with scope() as s:
                for n in range(200):
                    s.spawn(client(n, listener.raw.getsockname()[1]))
                for _ in range(200):
                    s.spawn(echo(await listener.accept()))
        assert current_poller().external == 0

    run(main())


KINDS: dict[str, object] = {
    "bytes": bytes(range(256)) * 4096,
    "bytearray": bytearray(range(256)) * 4096,
    "an array of ints": array("i", range(1 << 18)),
    "a memoryview of ints": memoryview(array("i", range(1 << 18))),
    "a memoryview of rows": memoryview(bytearray(1 << 20)).cast("B", (1024, 1024)),
    "an array of nothing": array("i"),
    "no bytes": memoryview(b""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_is_measured_in_bytes_whatever_it_is_made_of(run: Run, kind: str) -> None:
    data: Any = KINDS[kind]

    async def sends(sock: Socket) -> None:
        with sock:
            await sock.sendall(data)
            await sock.sendall(b"the end")

    async def main() -> None:
        ours, theirs = socketpair()
        with theirs:
            _, received = await join(sends(ours), receive_all(theirs, 1 << 16))
        assert received == bytes(memoryview(data).cast("B")) + b"the end"

    run(main())


@pytest.mark.parametrize("wrong", ["text", "", 5, [1, 2], None, memoryview(b"abcd")[::2]])
def test_what_is_no_bytes_is_refused_where_it_is_sent(run: Run, wrong: Any) -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs:
            with pytest.raises(TypeError, match="what is written is bytes"):
                ours.sendall(wrong)
            await ours.sendall(b"right")
            assert await theirs.recv(100) == b"right"
            with pytest.raises((TypeError, BufferError)):
                await ours.send(wrong)

    run(main())


def test_a_full_backlog_of_a_path_is_waited_for(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def main() -> None:
        with listen_unix(path, backlog=0) as listener, ExitStack() as clients:
            waiting = 0
            while not waiting:
                client = clients.enter_context(Socket(socket.socket(socket.AF_UNIX)))
                try:
                    await client.connect(path)
                except BlockingIOError:
                    waiting += 1
            connecting = spawn(connect_unix(path))
            await sleep(1)
            assert not connecting.done
            with pytest.raises(TimeoutError):
                await timeout(1, connect_unix(path))
            (await listener.accept()).close()
            (await connecting).close()

    run(main())


def test_of_two_wrappers_of_one_descriptor_that_both_wait_one_is_told_and_one_is_served(
    run: Run,
) -> None:
    async def receive(sock: Socket) -> bytes:
        return await sock.recv(1)

    async def main() -> bytes:
        one, other = socket.socketpair()
        first, second = Socket(one), Socket(socket.socket(fileno=one.fileno()))
        with Socket(other) as theirs:
            tasks = [spawn(receive(sock)) for sock in (first, second)]
            await sleep(1)
            [told] = [task for task in tasks if task.done]
            [served] = [task for task in tasks if task is not told]
            with pytest.raises(Busy, match="two wrappers of it"):
                told.result()
            await theirs.sendall(b"xyz")
            got = await served
            # One after the other they may.
            got += await first.recv(1) + await second.recv(1)
            second.detach()
            first.close()
            assert current_poller().external == 0
            return got

    assert run(main()) == b"xyz"
