"""TLS: an end that nobody has sent is none, and nothing waits forever, however bytes are cut."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinfut import executor
from pinfut.combinators import join
from pinfut.executor import (
    CancelledError,
    current_executor,
    run,
    scope,
    sleep,
    spawn,
    timeout,
    to_thread,
    yield_now,
)
from pinfut.executor.current import current_poller
from pinfut.executor.io import (
    BufferedReader,
    Busy,
    Closed,
    Socket,
    TLSStream,
    connect_tcp,
    connect_tls,
    listen_tcp,
    serve,
    socketpair,
    tls,
)
from pinfut.executor.io.tls import CHUNK
from pinfut.sync import Event
from tests.bounded import repeat
from tests.covered import covered, require
from tests.executor.world import Run, make
from tests.house.imports import ROOT

OPENSSL = shutil.which("openssl")

pytestmark = pytest.mark.skipif(
    OPENSSL is None, reason="the program openssl, which makes the certificates, is not installed"
)

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Contexts:
    """Both sides' contexts, and the files of the certificate and its key."""

    def __init__(self, folder: Path) -> None:
        self.certificate = str(folder / "certificate.pem")
        self.key = str(folder / "key.pem")
        command = (
            f"{OPENSSL} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        )
        subprocess.run(
            [*command.split(), "-keyout", self.key, "-out", self.certificate],
            check=True,
            capture_output=True,
        )
        self.client = ssl.create_default_context(cafile=self.certificate)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(self.certificate, self.key)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    return Contexts(tmp_path_factory.mktemp("certificates"))


async def shake_hands(
    contexts: Contexts, one: Socket, other: Socket, ragged: bool = False
) -> tuple[TLSStream, TLSStream]:
    """A client and a server."""
    return await join(
        tls(
            one,
            contexts.client,
            server_hostname="localhost",
            suppress_ragged_eofs=ragged,
        ),
        tls(other, contexts.server, server_side=True),
    )


async def tls_pair(contexts: Contexts, ragged: bool = False) -> tuple[TLSStream, TLSStream]:
    return await shake_hands(contexts, *socketpair(), ragged=ragged)


async def receive_all(stream: TLSStream, size: int = 65536) -> bytes:
    data = bytearray()
    while piece := await stream.recv(size):
        data += piece
    return bytes(data)


async def interrupted(task: object) -> None:
    task.cancel()  # type: ignore[attr-defined]
    with pytest.raises(CancelledError):
        await task  # type: ignore[misc]


@pytest.mark.parametrize("version", VERSIONS)
def test_both_sides_know_the_protocol_the_name_and_each_other(
    run: Run, contexts: Contexts, version: ssl.TLSVersion
) -> None:
    names: list[str | None] = []
    client = ssl.create_default_context(cafile=contexts.certificate)
    client.load_cert_chain(contexts.certificate, contexts.key)
    client.set_alpn_protocols(["other", "pin/1"])
    client.maximum_version = version
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=contexts.certificate)
    server.load_cert_chain(contexts.certificate, contexts.key)
    server.set_alpn_protocols(["pin/1"])
    server.verify_mode = ssl.CERT_REQUIRED
    server.sni_callback = lambda _, name, __: names.append(name)

    async def main() -> None:
        one, other = socketpair()
        ada, bob = await join(
            tls(one, client, server_hostname="localhost"), tls(other, server, server_side=True)
        )
        async with ada, bob:
            assert ada.raw.selected_alpn_protocol() == bob.raw.selected_alpn_protocol() == "pin/1"
            assert ada.raw.version() == version.name.replace("_", ".")
            assert bob.raw.getpeercert() == ada.raw.getpeercert() != {}
            await ada.sendall(b"question\n")
            assert await BufferedReader(bob).read_line() == b"question\n"
            await bob.send_eof()
            await ada.sendall(memoryview(b"more"))
            assert await ada.recv(1) == b""
            await ada.send_eof()
            assert await receive_all(bob, 3) == b"more"
        assert current_poller().external == 0

    run(main())
    assert names == ["localhost"]


async def relay(source: Socket, target: Socket, sizes: list[int], stop: int) -> None:
    """Carry bytes in pieces of these sizes, and `stop` of them at most, then end."""
    turn = 0
    while stop:
        size = sizes[turn % len(sizes)] if turn < 3000 else 4096
        data = await source.recv(min(size, stop))
        if not data:
            break
        turn += 1
        stop -= len(data)
        await target.sendall(data)
        await yield_now()
    target.send_eof()


NO_END = 1 << 40

AMOUNTS = st.sampled_from([0, 1, 5000, 20_000, 70_000])


@settings(max_examples=25)
@example(sizes=[1, 3000], back=[5, 200], amounts=(70_000, 70_000), mode="checked", cancels=2)
@given(
    sizes=st.lists(st.sampled_from([1, 5, 200, 3000]), min_size=1, max_size=4),
    back=st.lists(st.sampled_from([1, 5, 200, 3000]), min_size=1, max_size=4),
    amounts=st.tuples(AMOUNTS, AMOUNTS),
    mode=st.sampled_from(["everyday", "checked"]),
    cancels=st.integers(0, 4),
)
def exchange(
    contexts: Contexts,
    sizes: list[int],
    back: list[int],
    amounts: tuple[int, int],
    mode: str,
    cancels: int,
) -> None:
    sent = [os.urandom(amount) for amount in amounts]
    counts = {"waited": 0, "cancelled": 0, "both ways": int(min(amounts) >= 20_000)}

    async def write(stream: TLSStream, data: bytes) -> None:
        for start in range(0, len(data), 45_000):
            before = current_executor().now()
            await stream.sendall(data[start : start + 45_000])
            counts["waited"] += current_executor().now() > before
            await sleep(1)
        await stream.send_eof()

    async def read(stream: TLSStream) -> bytes:
        got, left = bytearray(), cancels
        while True:
            try:
                with timeout(0.5 if left else 10_000):
                    piece = await stream.recv(5000)
            except TimeoutError:
                left -= 1
                counts["cancelled"] += 1
                continue
            if not piece:
                return bytes(got)
            got += piece
            await sleep(0.1)

    async def main() -> None:
        (one, near), (far, other) = socketpair(), socketpair()
        for sock in (one, near, far, other):
            sock.raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        with near, far:
            async with scope() as tasks:
                tasks.spawn(relay(near, far, sizes, NO_END))
                tasks.spawn(relay(far, near, back, NO_END))
                ada, bob = await shake_hands(contexts, one, other)
                got = await join(read(ada), read(bob), write(ada, sent[0]), write(bob, sent[1]))
                assert list(got[:2]) == sent[::-1]
                ada.close()
                bob.close()

    make(mode).run(main())
    covered("TLS both ways", **counts)


def test_both_ways_at_once_bytes_arrive_whole_however_they_are_cut_and_cancelled(
    contexts: Contexts,
) -> None:
    exchange(contexts)
    require(covered("TLS both ways"), "waited", "cancelled", "both ways")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_ends_at_any_point_of_the_handshake_is_an_error_and_no_hang(
    contexts: Contexts, version: ssl.TLSVersion
) -> None:
    counts = {"failed": 0, "whole": 0}
    client = ssl.create_default_context(cafile=contexts.certificate)
    client.maximum_version = version

    async def one_side(stop: int, of_client: bool) -> None:
        (one, near), (far, other) = socketpair(), socketpair()
        with near, far:
            async with scope() as tasks:
                tasks.spawn(cut(near, far, stop if of_client else NO_END))
                tasks.spawn(cut(far, near, NO_END if of_client else stop))
                ends = await join(
                    outcome(one, client, False), outcome(other, contexts.server, True)
                )
        counts["failed" if isinstance(ends[of_client], OSError) else "whole"] += 1
        assert one.raw.fileno() == other.raw.fileno() == -1

    async def cut(source: Socket, target: Socket, stop: int) -> None:
        try:
            await relay(source, target, [7, 300], stop)
        except OSError:
            pass  # the other side has closed after its error

    async def outcome(sock: Socket, context: ssl.SSLContext, server: bool) -> object:
        try:
            async with await tls(
                sock, context, server_side=server, server_hostname=None if server else "localhost"
            ) as stream:
                await stream.sendall(b"!")
                return await stream.recv(1)
        except (OSError, Closed) as error:
            return error

    async def main() -> None:
        for of_client in (True, False):
            for stop in (*range(12), *range(12, 3000, 97)):
                await one_side(stop, of_client)
        assert current_poller().external == 0

    make("everyday").run(main())
    require(covered(f"cut handshakes {version.name}", **counts), "failed", "whole")


def test_a_stream_that_ends_without_close_notify_is_truncated_for_ever(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        for ragged in (False, True):
            ada, bob = await tls_pair(contexts, ragged)
            await bob.sendall(b"half of a")
            bob.close()
            assert await ada.recv(100) == b"half of a"
            for _ in range(2):
                if ragged:
                    assert await ada.recv(100) == b""
                else:
                    with pytest.raises(ssl.SSLEOFError, match="truncated"):
                        await ada.recv(100)
            ada.close()

    run(main())


def test_a_block_that_fails_leaves_a_truncated_stream_and_one_that_ends_a_whole_one(
    run: Run, contexts: Contexts
) -> None:
    async def leave(stream: TLSStream, error: BaseException | None) -> None:
        async with stream:
            await stream.sendall(b"x" * 300_000)
            if error is not None:
                raise error

    async def main() -> None:
        ada, bob = await tls_pair(contexts)
        task = spawn(leave(bob, None))
        assert len(await receive_all(ada)) == 300_000
        ada.close()
        await task
        ada, bob = await tls_pair(contexts)
        task = spawn(leave(bob, KeyError()))
        with pytest.raises(ssl.SSLEOFError):
            await receive_all(ada)
        with pytest.raises(KeyError):
            await task
        ada.close()

    run(main())


def test_a_client_that_only_writes_loses_nothing(contexts: Contexts) -> None:
    outcomes: list[int | BaseException] = []

    async def main() -> None:
        shaken, sent, over = Event(), Event(), Event()

        async def handler(sock: Socket) -> None:
            try:
                async with await tls(sock, contexts.server, server_side=True) as stream:
                    shaken.set()  # and the session tickets lie unread at the client
                    await sent.wait()
                    outcomes.append(len(await receive_all(stream)))
            except OSError as error:
                outcomes.append(error)
            finally:
                over.set()

        async def leave(stream: TLSStream) -> None:
            async with stream:
                await stream.sendall(b"x" * 300_000)
                executor.call_soon(sent.set)

        with listen_tcp(0) as listener:
            server = spawn(serve(listener, handler))
            port = listener.raw.getsockname()[1]
            stream = await connect_tls("127.0.0.1", port, contexts.client)
            await shaken.wait()
            await leave(stream)
            await over.wait()
            await interrupted(server)

    run(main())
    assert outcomes == [300_000]


def test_what_has_come_before_send_eof_is_read_after_it(run: Run, contexts: Contexts) -> None:
    async def main() -> None:
        ada, bob = await tls_pair(contexts)
        async with ada, bob:
            await bob.sendall(b"one")
            await bob.sendall(b"two")
            assert await ada.recv(1) == b"o"  # and the rest was received with it
            await ada.send_eof()
            await ada.send_eof()
            assert await bob.recv(1) == b""
            await bob.send_eof()
            assert await receive_all(ada) == b"netwo"

    run(main())


def test_a_writer_waits_for_a_reader_and_a_cancel_midway_breaks_the_stream(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        ada, bob = await tls_pair(contexts)
        writing = spawn(ada.sendall(b"x" * 5_000_000))
        await sleep(1)
        assert not writing.done
        assert ada._outgoing.pending + len(ada._unsent) < 20_000
        with pytest.raises(Busy, match="one at a time"):
            await ada.sendall(b"!")
        await bob.sendall(b"meanwhile")
        assert await ada.recv(100) == b"meanwhile"
        await interrupted(writing)
        for write in (ada.sendall(b"!"), ada.send_eof()):
            with pytest.raises(Closed, match="truncated"):
                await write
        await bob.sendall(b"still read")
        assert await ada.recv(100) == b"still read"
        # While a read waits, it sends what there still is to send.
        reading = spawn(ada.recv(100))
        await yield_now()
        assert ada._unsent
        while ada._unsent:
            assert await bob.recv(100_000)
        await bob.sendall(b"and again")
        assert await reading == b"and again"
        async with ada:
            pass  # without close_notify
        with pytest.raises(ssl.SSLEOFError):
            await receive_all(bob)
        bob.close()

    run(main())


def test_a_peer_that_has_much_to_be_answered_and_reads_no_answer_is_read_no_more(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        ada, bob = await tls_pair(contexts)
        with pytest.raises(BlockingIOError):
            repeat(lambda: ada.socket.raw.send(b"x" * 65536), "the socket is full")
        ada._outgoing.write(bytes(CHUNK + 1))  # as many key updates would leave it
        await bob.sendall(b"one more")
        reading = spawn(ada.recv(100))
        await sleep(10)
        assert not reading.done
        assert ada.socket.raw.recv(100, socket.MSG_PEEK)  # it was not even received
        while ada._unsent:
            await bob.socket.recv(65536)
            await yield_now()
        assert await reading == b"one more"
        ada.close()
        bob.close()

    run(main())


def test_a_write_that_is_cancelled_before_it_begins_breaks_nothing(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        ada, bob = await tls_pair(contexts)
        async with ada, bob:
            await ada._sending.acquire()  # a read sends what it has to
            writing = spawn(ada.sendall(b"never"))
            await sleep(1)
            await interrupted(writing)
            ada._sending.release()
            await ada.sendall(b"but this")
            assert await bob.recv(100) == b"but this"
            await join(ada.send_eof(), bob.send_eof())
            with pytest.raises(Closed, match="close_notify was sent"):
                await ada.sendall(b"late")

    run(main())


def test_a_certificate_that_does_not_hold_is_raised_as_it_is_and_told_to_the_other_side(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        one, other = socketpair()
        server = spawn(tls(other, contexts.server, server_side=True))
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await tls(one, contexts.client, server_hostname="elsewhere")
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            await (await server).recv(1)
        for sock in (one, other):
            sock.close()
        one, other = socketpair()
        with other, pytest.raises(ValueError, match="server_hostname"):
            await tls(one, contexts.client)
        assert one.raw.fileno() == -1

    run(main())


def test_a_peer_that_says_nothing_or_no_tls_ends_the_handshake(
    run: Run, contexts: Contexts
) -> None:
    async def main() -> None:
        one, other = socketpair()
        with other:
            with pytest.raises(TimeoutError), timeout(10):
                await tls(one, contexts.client, server_hostname="localhost")
            assert one.raw.fileno() == -1
        one, other = socketpair()
        with other:
            await other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(ssl.SSLError, match=r"(?i)http.request"):
                await tls(one, contexts.server, server_side=True)

    run(main())


def test_one_visitor_without_tls_is_his_own_failure(run: Run, contexts: Contexts) -> None:
    told: list[BaseException] = []

    async def handler(sock: Socket) -> None:
        async with await tls(sock, contexts.server, server_side=True) as stream:
            await stream.sendall(await stream.recv(100))

    async def main() -> None:
        with listen_tcp(0) as listener:
            port = listener.raw.getsockname()[1]
            server = spawn(serve(listener, handler, on_error=told.append))
            with await connect_tcp("127.0.0.1", port) as plain:
                await plain.sendall(b"hello" * 100)
                async with await connect_tls("127.0.0.1", port, contexts.client) as stream:
                    await stream.sendall(b"word")
                    assert await stream.recv(100) == b"word"
            await interrupted(server)

    run(main())
    assert [type(error) for error in told] == [ssl.SSLError]


# ---- beside the program openssl ----


def test_openssl_as_a_client_talks_updates_keys_and_ends(contexts: Contexts) -> None:
    async def handler(sock: Socket) -> None:
        async with await tls(sock, contexts.server, server_side=True) as stream:
            lines = BufferedReader(stream)
            while line := await lines.read_line():
                await stream.sendall(line.upper())

    def client(port: int) -> str:
        with subprocess.Popen(
            f"{OPENSSL} s_client -connect 127.0.0.1:{port} -tls1_3 -verify_quiet "
            f"-verify_return_error -CAfile {contexts.certificate}".split(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            told = ""
            # K updates the keys on both sides, Q ends.
            for said, heard in (("first", "FIRST"), ("K", "KEYUPDATE"), ("last", "LAST")):
                child.stdin.write(said + "\n")
                child.stdin.flush()
                while heard not in told:
                    line = child.stdout.readline()
                    assert line, told
                    told += line
            child.stdin.write("Q\n")
            child.stdin.close()
            told += child.stdout.read()
            assert child.wait() == 0, told
            return told

    errors: list[BaseException] = []

    async def main() -> None:
        with listen_tcp(0) as listener:
            server = spawn(serve(listener, handler, on_error=errors.append, drain=60))
            told = await to_thread(client, listener.raw.getsockname()[1])
            assert "LAST" in told
            await interrupted(server)

    run(main())
    assert errors == []


def test_openssl_as_a_server_answers_and_its_end_is_seen(contexts: Contexts) -> None:
    with subprocess.Popen(
        f"{OPENSSL} s_server -accept 127.0.0.1:0 -naccept 1 -rev "
        f"-cert {contexts.certificate} -key {contexts.key}".split(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        assert child.stdout is not None
        while not (line := child.stdout.readline()).startswith("ACCEPT"):
            assert line
        port = int(line.rsplit(":", 1)[1])

        async def main() -> None:
            async with await connect_tls("127.0.0.1", port, contexts.client) as stream:
                for word in (b"abc", b"x" * 1000):
                    await stream.sendall(word + b"\n")
                    assert await BufferedReader(stream).read_line() == word[::-1] + b"\n"
                await stream.sendall(b"CLOSE\n")  # ends it
                assert await stream.recv(100) == b""

        run(main())
        child.stdout.read()


def test_without_ssl_pinfut_imports_and_says_what_it_lacks() -> None:
    program = """
import sys
sys.modules["ssl"] = None
from pinfut import executor
from pinfut.executor import io
try:
    executor.run(io.connect_tls("localhost", 1))
except OSError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "TLS needs Python's ssl" in done.stdout
