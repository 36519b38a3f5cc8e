"""Kernels whose sessions are streams: between processes of one machine, and between machines.

Each process has a kernel of its own, and pays from banks of its own. What a server holds for a
client is paid by the bank that its operator has granted to the client's identity."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, final

from pinfut.executor.contract import Runner
from pinfut.executor.current import current_executor
from pinfut.executor.io.connect import connect_tcp
from pinfut.executor.io.serve import serve
from pinfut.executor.io.sockets import Socket, connect_unix, listen_tcp, listen_unix
from pinfut.executor.io.tls import tls as shake_hands
from pinfut.executor.task import INTERNAL
from pinfut.executor.timeout import timeout
from pinfut.rpc import contract
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.handle import bank_of
from pinfut.rpc.bank.teardown import destroy_by_turns
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.errors import (
    GarbageFrame,
    Restricted,
    RpcError,
    UnknownService,
)
from pinfut.rpc.kernel.backlog import buy_backlog, require_place
from pinfut.rpc.kernel.sim.process import SimPort, SimProcess
from pinfut.rpc.kernel.sizes import admit, least_quota
from pinfut.rpc.kernel.stream.endpoint import Holdings, StreamEndpoint
from pinfut.rpc.kernel.stream.parts import (
    HELLO,
    LONGEST_HELLO,
    WELCOME,
    Hello,
    open_hello,
    pack,
    pack_end,
    pack_hello,
    whole,
)
from pinfut.rpc.kernel.stream.wire import Duplex, Wire
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.names import shortened
from pinfut.rpc.records import Shape

ANYONE: Final = "*"
"""In place of an identity: everybody who has no bank of its own here."""

BEAT: Final = 10.0
"""Seconds between two heartbeats."""

GREETING: Final = 10.0
"""Seconds until a connection has to be there, and on the other side a session."""

PAGES: Final = 1 << 20

STRANGERS: Final = 64
"""Connections without a session, at most: nobody has paid for them yet."""


@final
@dataclass(slots=True, eq=False)
class Service:
    """A name that is served, and who waits to be accepted."""

    port: SimPort
    process: SimProcess
    spec: ServiceSpec
    backlog: Region | None
    waiting: list[StreamEndpoint] = field(default_factory=list)
    sessions: int = 0


class StreamKernel:
    """A kernel (`pinfut.rpc.contract.Kernel`) of one process, with so many pages."""

    memory: contract.Memory = "prices"
    beat = BEAT
    strangers = STRANGERS

    def __init__(self, pages: int) -> None:
        self.root = Bank("machine", pages, 1 << 20)
        self._unknown = 0  # connections without a session
        self._grants: dict[str, Bank] = {}
        self._services: dict[str, Service] = {}
        self._sessions = 0
        self._listener: Socket | None = None

    # ---- what is particular to a kind of stream ----

    def _listen(self) -> Socket:
        """A socket that listens. Raises OSError."""
        raise NotImplementedError

    def _unlisten(self) -> None:
        """Nobody listens any more."""

    async def _reach(self) -> Duplex:
        """A connection to who listens. Raises OSError."""
        raise NotImplementedError

    async def _meet(self, sock: Socket) -> tuple[Duplex, str]:
        """Who has connected, and over what. Raises OSError."""
        raise NotImplementedError

    # ---- banks, processes and services ----

    def bank(self, name: str, *, pages: int, caps: int = 1024) -> Bank:
        """A bank of this process. Raises ValueError for a name in use."""
        return self.root.child(name, pages=pages, caps=caps)

    def grant(self, identity: str, payer: object) -> None:
        """Have a bank pay for what is held here for a client: ``"uid:1000"`` over a Unix socket,
        ``"key:..."`` over TLS (`identity_of`), `ANYONE` for everybody else. Raises NotABank."""
        self._grants[identity] = bank_of(self.root, payer)

    def name_of(self, payer: object, /) -> str:
        """What the bank is called that `payer` is or stands for. Raises NotABank."""
        return bank_of(self.root, payer).name

    def process(self, name: str, /) -> SimProcess:
        """Another side of this process."""
        return SimProcess(name)

    def listen(self, process: contract.Process, name: str, spec: ServiceSpec, /) -> SimPort:
        """Offer a service; with the first one this kernel begins to listen. Raises as the contract
        says, and OSError."""
        if name in self._services:
            raise ValueError(f"a service {name!r} is served already")
        assert isinstance(process, SimProcess), "a process of this kernel"
        backlog = buy_backlog(self.root, spec)
        try:
            self._begin()
        except BaseException:
            if backlog is not None:
                backlog.free()
            raise
        port = SimPort(self, name)
        port.handle = process.caps.insert(port)
        self._services[name] = Service(port, process, spec, backlog)
        return port

    def _begin(self) -> None:
        if self._listener is None:
            executor = current_executor()
            self._listener = listener = self._listen()
            task = serve(listener, self._visit, limit=1 << 20)
            executor.spawn(task, name=f"{self!r}", owner=INTERNAL)

    def accept(self, port: contract.Port, /) -> list[contract.Endpoint]:
        """What `Port.accept` gives."""
        service = self._services.get(port.name)
        if service is None or service.port is not port:
            return []
        waiting, service.waiting = service.waiting, []
        return list(waiting)

    def unlisten(self, port: contract.Port, /) -> None:
        """Take a service back; who waits to be accepted is told."""
        service = self._services.pop(port.name)
        service.process.caps.remove(service.port.handle)
        for waiting in list(service.waiting):  # each takes itself out
            waiting.close()
        if service.backlog is not None:
            service.backlog.free()
        if not self._services and self._listener is not None:
            self._listener.close()
            self._listener = None
            self._unlisten()

    def kill(self, process: contract.Process, /) -> None:
        """The process dies where it stands."""
        assert isinstance(process, SimProcess), "a process of this kernel"
        process.alive = False
        for thing in process.caps.all():
            if isinstance(thing, SimPort):
                for waiting in list(self._services[thing.name].waiting):  # each takes itself out
                    waiting.die()
                self.unlisten(thing)
        for thing in process.caps.all():
            if isinstance(thing, StreamEndpoint):
                thing.die()

    def destroy(self, bank: Bank, /) -> None:
        """Destroy a bank of a session, a bounded part of it in each turn."""
        destroy_by_turns(bank)

    # ---- the client's side ----

    def connect(
        self, process: contract.Process, name: str, payer: object, spec: SessionSpec, /
    ) -> StreamEndpoint:
        """A session with a service elsewhere; this side's endpoint, at once. `payer` pays for what
        this side holds; `quota` is what the server is asked to set aside. What the server refuses
        ends the session with the error that `contract.Kernel.connect` names."""
        bank = bank_of(self.root, payer)
        assert isinstance(process, SimProcess), "a process of this kernel"
        if spec.receive is not None:
            raise ValueError("packets do not move over a stream: connect without receive=")
        spec = whole(admit(name, ServiceSpec(), spec))
        if spec.events is not None:
            spec.events.require_unused()
        self._sessions += 1
        label = shortened(f"{bank.name}>{name}#{self._sessions}")
        hello = Hello.of(name, label, spec)
        end = self._open(bank, label, label, process, spec, spec.level, serving=False)
        try:
            self._dial(end, pack_hello(hello))
        except BaseException:
            end.die()
            raise
        return end

    def _open(
        self,
        bank: Bank,
        label: str,
        name: str,
        process: SimProcess,
        spec: SessionSpec,
        level: int,
        *,
        serving: bool,
        shape: Shape | None = None,
    ) -> StreamEndpoint:
        """One side of a session `name`, paid. Raises as the contract says of `connect`."""
        paid = spec if serving else replace(spec, quota=None)
        held = Holdings(SessionFunds(bank, label, paid, least_quota(spec)), spec)
        try:
            return StreamEndpoint(
                process, name, spec, level, held, self.destroy, serving=serving, shape=shape
            )
        except BaseException:
            held.free(self.destroy)
            raise

    def _dial(self, end: StreamEndpoint, hello: bytes) -> None:
        """Have a connection come for a client's side."""
        task = self._connect(end, hello)
        dialing = current_executor().spawn(task, name=f"the wire of {end.name}", owner=INTERNAL)
        end.on_closed = dialing.cancel

    async def _connect(self, end: StreamEndpoint, hello: bytes) -> None:
        try:
            with timeout(GREETING):
                stream = await self._reach()
        except (OSError, TimeoutError, ValueError) as error:
            end.lost(UnknownService(f"nobody is reached at {self!r}: {error or 'in time'}"))
            return
        end.on_closed = None
        wire = Wire(stream, end, current_executor(), self.beat)
        end.attach(wire, hello)
        await wire.read()

    # ---- the server's side ----

    async def _visit(self, sock: Socket) -> None:
        """Somebody has connected. The connection outlives this and the listener."""
        if self._unknown < self.strangers:
            stranger = Socket(socket.socket(fileno=sock.detach()))
            self._unknown += 1
            current_executor().spawn(self._greet(stranger), name="a stranger", owner=INTERNAL)

    async def _greet(self, sock: Socket) -> None:
        try:
            with timeout(GREETING):
                stream, identity = await self._meet(sock)
        except BaseException as error:
            self._unknown -= 1
            sock.close()
            if isinstance(error, (OSError, TimeoutError)):
                return
            raise
        await Stranger(self, identity).meet(stream, current_executor()).read()

    def known(self) -> None:
        """A stranger is one no more."""
        self._unknown -= 1

    def let_in(self, identity: str, hello: Hello) -> StreamEndpoint:
        """The serving side of a session. Raises as the contract says of `connect`, and Restricted
        for whom nothing is granted."""
        service = self._services.get(hello.service)
        if service is None:
            raise UnknownService(f"nothing is served as {hello.service!r}")
        bank = self._grants.get(identity) or self._grants.get(ANYONE)
        if bank is None:
            raise Restricted(f"nothing is granted to {identity or 'who says no name'!r} here")
        require_place(hello.service, service.spec, service.backlog, len(service.waiting))
        spec = admit(hello.service, service.spec, hello.spec, service.sessions)
        self._sessions += 1
        label = shortened(f"{bank.name}>{hello.service}#{self._sessions}")
        shape = None if hello.events is None else Shape(*hello.events)
        level = max(spec.level, service.spec.level)
        end = self._open(
            bank, label, hello.label, service.process, spec, level, serving=True, shape=shape
        )
        service.sessions += 1

        def over() -> None:
            service.sessions -= 1

        def closed() -> None:
            if end in service.waiting:
                service.waiting.remove(end)

        end.on_freed, end.on_closed = over, closed
        service.waiting.append(end)
        service.process.nudge(service.port.handle & 0xFFFF_FFFF)
        return end


@final
class Stranger:
    """Who has connected, and has no session yet (`pinfut.rpc.kernel.stream.wire.Reader`)."""

    wire: Wire
    """Set once."""

    def __init__(self, kernel: StreamKernel, identity: str) -> None:
        self._kernel = kernel
        self._identity = identity
        # What takes back the timer of its greeting.
        self._in_time: Callable[[], object] = int

    def meet(self, stream: Duplex, executor: Runner) -> Wire:
        """Have it greet in time."""
        self.wire = wire = Wire(stream, self, executor, self._kernel.beat)
        # Given up as soon as it is a stranger no more: what the timer holds nobody pays for.
        late = executor.timers.add(executor.now() + GREETING, wire.cut)
        self._in_time = partial(executor.timers.cancel, late)
        return wire

    def check(self, kind: int, length: int, a: int, /) -> None:
        if kind != HELLO or length > LONGEST_HELLO:
            raise GarbageFrame(f"a part of kind {kind} with {length} bytes in place of a greeting")

    def take(self, kind: int, a: int, b: int, data: bytes, /) -> None:
        try:
            end = self._kernel.let_in(self._identity, open_hello(data))
        except (RpcError, ValueError) as error:
            self.wire.finish(pack_end(error))
        else:
            self.gone()
            self.wire.hand(end)
            end.attach(self.wire, pack(WELCOME, end.message))

    def fed(self) -> None:
        """It has no session to look at."""

    def sent(self) -> None:
        """It pays for nothing."""

    def rested(self) -> None:
        """It sends no heartbeat."""

    def lost(self, error: RpcError, /) -> None:
        """Nobody waits for it."""

    def gone(self) -> None:
        self._in_time()
        self._kernel.known()


@final
class Unix(StreamKernel):
    """Sessions over a Unix socket at `path`, between processes of one machine. The system says who
    a client is: ``"uid:1000"``. Who may connect is up to the permissions of the folder."""

    def __init__(self, path: str, *, pages: int = PAGES) -> None:
        super().__init__(pages)
        self.path = path

    def __repr__(self) -> str:
        return f"Unix({self.path!r})"

    def _listen(self) -> Socket:
        return listen_unix(self.path)

    def _unlisten(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    async def _reach(self) -> Socket:
        return await connect_unix(self.path)

    async def _meet(self, sock: Socket) -> tuple[Duplex, str]:
        return sock, uid_of(sock.raw)


@final
class Tcp(StreamKernel):
    """Sessions over TCP. `host`: where a server listens, as a number, and where a client connects.
    `tls`: a context that checks the other side's certificate, which says who it is (`identity_of`);
    without one nobody can be told from anybody, and everybody reads along. Raises ValueError for a
    context that checks nothing, or speaks less than TLS 1.3."""

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None, pages: int = PAGES
    ) -> None:
        super().__init__(pages)
        if tls is not None and not (
            tls.verify_mode == ssl.CERT_REQUIRED and tls.minimum_version >= ssl.TLSVersion.TLSv1_3
        ):
            raise ValueError("a context for streams checks certificates and speaks TLS 1.3 only")
        self.host = host
        self.port = port
        self._tls = tls

    def __repr__(self) -> str:
        return f"Tcp({self.host!r}, {self.port})"

    def _listen(self) -> Socket:
        listener = listen_tcp(self.port, self.host)
        self.port = listener.raw.getsockname()[1]
        return listener

    async def _reach(self) -> Duplex:
        sock = await connect_tcp(self.host, self.port)
        if self._tls is None:
            return sock
        return await shake_hands(sock, self._tls, server_hostname=self.host)

    async def _meet(self, sock: Socket) -> tuple[Duplex, str]:
        sock.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return sock, ""
        stream = await shake_hands(sock, self._tls, server_side=True)
        return stream, identity_of(stream.raw.getpeercert(binary_form=True) or b"")


def tls_context(certificate: str, key: str, peers: str, *, serving: bool) -> ssl.SSLContext:
    """A context for `Tcp`, of files in PEM: this side's certificate and key, and the certificates
    of whom it talks to (or of who signs theirs). Raises OSError and ssl.SSLError."""
    purpose = ssl.Purpose.CLIENT_AUTH if serving else ssl.Purpose.SERVER_AUTH
    context = ssl.create_default_context(purpose, cafile=peers)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


def uid_of(sock: socket.socket) -> str:
    """The identity of who has connected over a Unix socket, as the system says it; empty where it
    says nothing."""
    if not hasattr(socket, "SO_PEERCRED"):
        return ""
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return f"uid:{struct.unpack('iII', told)[1]}"


def identity_of(certificate: bytes) -> str:
    """The identity of who has shown a certificate, given in DER: its SHA-256, which nobody else has
    the key to."""
    return f"key:{hashlib.sha256(certificate).hexdigest()}"
