"""Sessions over TCP, and over TLS with certificates on both sides."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pinfut import executor, join
from pinfut.executor import sleep, spawn, timeout
from pinfut.rpc import (
    OutOfPages,
    PeerDied,
    Restricted,
    RpcError,
    SessionClosed,
    connect,
    serve,
)
from pinfut.rpc.kernel.stream import ANYONE, Tcp, identity_of, tls_context
from tests.rpc.kernel.test_stream import outcome
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer

HOST: Final = "127.0.0.1"

OPENSSL = shutil.which("openssl")

needs_openssl = pytest.mark.skipif(
    OPENSSL is None, reason="the program openssl, which makes the certificates, is not installed"
)


class Identities:
    """A certificate and a key for each name, and what each side takes of the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("server", "alice", "bob", "eve"):
            command = (
                f"{OPENSSL} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                f"-days 2 -subj /CN={name} -addext subjectAltName=IP:{HOST} "
                f"-keyout {self.file(name, 'key')} -out {self.file(name)}"
            )
            subprocess.run(command.split(), check=True, capture_output=True)
        known = "".join(Path(self.file(name)).read_text() for name in ("alice", "bob"))
        Path(self.file("clients")).write_text(known)

    def file(self, name: str, kind: str = "certificate") -> str:
        return str(self._folder / f"{name}.{kind}.pem")

    def context(self, name: str) -> ssl.SSLContext:
        """The context of one of them."""
        serving = name == "server"
        peers = self.file("clients" if serving else "server")
        return tls_context(self.file(name), self.file(name, "key"), peers, serving=serving)

    def identity(self, name: str) -> str:
        """Who that is for a server."""
        return identity_of(ssl.PEM_cert_to_DER_cert(Path(self.file(name)).read_text()))


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return Identities(tmp_path_factory.mktemp("identities"))


def run(main: Callable[[], Any]) -> None:
    """Run a test; one that waits for ever fails."""

    async def bounded() -> None:
        with timeout(60.0):
            await main()

    executor.run(bounded())


async def settled(done: Callable[[], bool]) -> None:
    while not done():
        await sleep(0.001)


async def talk(server: Tcp, client: Tcp, granted: Any) -> None:
    """Calls of each shape, at once and large; and everything comes back."""
    async with serve(server, "desk", DeskServer()):
        client.port = server.port
        bank = client.bank("client", pages=1000)
        async with connect(client, "desk", Desk, bank) as desk:
            assert await desk.do(3) == 3
            assert list(await join(*[desk.do(n) for n in range(300)])) == list(range(300))
            for values in await join(*[desk.data(90_000, 0.0) for _ in range(4)]):
                assert values == bytes([90_000 % 251]) * 90_000
            things: list[Thing] = [ThingServer(str(n)) for n in range(30)]
            assert await desk.names_of(things) == [str(n) for n in range(30)]
            assert granted.pages_used > 0
        await settled(lambda: not granted.pages_used)
        assert (bank.pages_used, bank.caps_used) == (0, 0)


def test_a_session_over_tcp_is_as_any_other() -> None:
    async def main() -> None:
        server = Tcp(HOST, 0)
        granted = server.bank("granted", pages=1000)
        server.grant(ANYONE, granted)
        await talk(server, Tcp(HOST, 0), granted)

    run(main)


@needs_openssl
def test_a_session_over_tls_is_as_any_other(identities: Identities) -> None:
    async def main() -> None:
        server = Tcp(HOST, 0, tls=identities.context("server"))
        granted = server.bank("alice", pages=1000)
        server.grant(identities.identity("alice"), granted)
        await talk(server, Tcp(HOST, 0, tls=identities.context("alice")), granted)

    run(main)


@needs_openssl
def test_who_has_which_key_has_that_bank_and_no_other(identities: Identities) -> None:
    async def main() -> None:
        server = Tcp(HOST, 0, tls=identities.context("server"))
        small = server.bank("bob", pages=30)
        server.grant(identities.identity("bob"), small)
        async with serve(server, "desk", DeskServer()):

            async def session(name: str, tls: ssl.SSLContext | None) -> None:
                client = Tcp(HOST, server.port, tls=tls)
                bank = client.bank("client", pages=1000)
                async with connect(client, "desk", Desk, bank) as desk:
                    naps = [spawn(outcome(desk.nap(0.1))) for _ in range(60)]
                    ended = [await nap for nap in naps]
                    refused = [one for one in ended if isinstance(one, OutOfPages)]
                    assert refused
                    assert all(one.bank == "bob" for one in refused)
                    assert await desk.do(1) == 1
                assert bank.pages_used == 0

            await session("bob", identities.context("bob"))
            with pytest.raises(Restricted, match=f"'{identities.identity('alice')}'"):
                await session("alice", identities.context("alice"))
            # Whom the server does not know at all, and who does not even speak TLS.
            for stranger in (identities.context("eve"), None):
                with pytest.raises(RpcError) as error:
                    await session("eve", stranger)
                assert type(error.value) in (PeerDied, SessionClosed)
            # Who takes another server for this one.
            other = tls_context(
                *(identities.file("eve"), identities.file("eve", "key")),
                identities.file("clients"),
                serving=True,
            )
            impostor = Tcp(HOST, 0, tls=other)
            async with serve(impostor, "desk", DeskServer()):
                client = Tcp(HOST, impostor.port, tls=identities.context("bob"))
                with pytest.raises(RpcError, match="CERTIFICATE_VERIFY_FAILED"):
                    async with connect(client, "desk", Desk, client.bank("bob", pages=99)):
                        pass
            await settled(lambda: not (small.pages_used or server._unknown or impostor._unknown))

    run(main)


@needs_openssl
def test_a_context_that_checks_nobody_or_speaks_an_old_version_is_refused(
    identities: Identities,
) -> None:
    lax = identities.context("server")
    lax.verify_mode = ssl.CERT_OPTIONAL
    old = identities.context("server")
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    for context in (lax, old):
        with pytest.raises(ValueError, match=r"TLS 1\.3"):
            Tcp(HOST, 0, tls=context)
