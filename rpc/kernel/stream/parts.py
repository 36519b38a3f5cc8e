"""Parts: what a stream between two processes is made of, and how a part is found in it.

Each part has a head: its kind in 8 bits, how many bytes follow in 32, and two numbers in 64 each,
little-endian. No type of the other side's choosing is ever made of them."""

from __future__ import annotations

from dataclasses import replace
from struct import Struct
from typing import Annotated, Final, Protocol, final

import msgspec
from msgspec import Meta

from pinfut.rpc.contract import Balance, SessionSpec
from pinfut.rpc.errors import GarbageFrame, RemoteError, RpcError, SessionClosed, from_wire, to_wire

VERSION: Final = 1

HELLO: Final = 0
"""The client's first: a `Hello`."""
WELCOME: Final = 1
"""The session is there; `a`: bytes of the longest message that the service takes."""
END: Final = 2
"""Nothing follows: the session is not there, or this side has let go of it. The bytes say why."""
CALL: Final = 3
"""The bytes are a call."""
ANSWER: Final = 4
"""The bytes are the answer to call `b`, for place `a`."""
READ: Final = 5
"""`a` bytes of calls were read in all."""
CAPS: Final = 6
"""Capabilities that go with the answer at place `a` - 1, or with a call when `a` is 0."""
BACK: Final = 7
"""What was handed over under the number `a` is held no more."""
LANE: Final = 8
"""The serving side will call, too."""
EVENT: Final = 9
"""The bytes are the server's part of the record in place `a`."""
PLACE: Final = 10
"""Place `a` of the client's event buffer is of generation `b`."""
BEAT: Final = 11
"""There is nothing to say, and somebody to say it."""

HEAD: Final = Struct("<BIQQ")
"""kind, bytes that follow, a, b"""

LONGEST_HELLO: Final = 1024
LONGEST_END: Final = 2048


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """What a client asks for. `label`: what both sides call the session."""

    version: int
    service: Annotated[str, Meta(max_length=111)]
    label: Annotated[str, Meta(max_length=111)]
    slots: Annotated[int, Meta(ge=1, le=1 << 16)]
    ring: Annotated[int, Meta(ge=1, le=1 << 40)]
    cell: Annotated[int, Meta(ge=64, le=4096)]
    level: Annotated[int, Meta(ge=0, le=2)]
    refund: Annotated[int, Meta(ge=0, le=1 << 40)]
    quota: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]] | None
    events: (
        tuple[
            Annotated[int, Meta(ge=1, le=1 << 16)],
            Annotated[int, Meta(ge=0, le=1 << 24)],
            Annotated[int, Meta(ge=1, le=1 << 16)],
        ]
        | None
    )

    @staticmethod
    def of(service: str, label: str, spec: SessionSpec) -> Hello:
        """That of a session."""
        quota = None if spec.quota is None else (spec.quota.pages, spec.quota.caps)
        shape = None if spec.events is None else spec.events.shape
        events = None if shape is None else (shape.places, shape.size, shape.keep)
        return Hello(
            VERSION, service, label, spec.slots, spec.ring, spec.cell, spec.level, spec.refund,
            quota, events,
        )  # fmt: skip

    @property
    def spec(self) -> SessionSpec:
        """The sizes of the session."""
        return whole(
            SessionSpec(
                self.slots,
                self.ring,
                self.cell,
                None if self.quota is None else Balance(*self.quota),
                self.level,
                self.refund,
            )
        )


def whole(spec: SessionSpec) -> SessionSpec:
    """A session that has all its slots and its ring from the beginning."""
    return replace(spec, least=(spec.slots, spec.ring))


def pack(kind: int, a: int = 0, b: int = 0, data: bytes = b"") -> bytes:
    """A part."""
    return HEAD.pack(kind, len(data), a, b) + data


def pack_hello(hello: Hello) -> bytes:
    """A client's first part."""
    return pack(HELLO, data=msgspec.msgpack.encode(hello))


def open_hello(data: bytes) -> Hello:
    """What a client asks for. Raises GarbageFrame."""
    try:
        hello = msgspec.msgpack.decode(data, type=Hello)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise GarbageFrame(f"this is no greeting: {error}") from None
    if hello.version != VERSION or not (hello.service + hello.label).isprintable():
        raise GarbageFrame(f"a greeting of version {hello.version}, where {VERSION} is spoken")
    return hello


def pack_end(error: BaseException) -> bytes:
    """The last part: why a side lets go."""
    code, kind, text = to_wire(error)
    return pack(END, data=msgspec.msgpack.encode((code, kind[:111], text[:400])))


def open_end(data: bytes, session: str) -> RpcError:
    """Why the other side has let go. Raises GarbageFrame."""
    try:
        told = from_wire(*msgspec.msgpack.decode(data, type=tuple[int, str, str]))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise GarbageFrame(f"this says no reason for an end: {error}") from None
    if isinstance(told, RemoteError):
        return SessionClosed(f"the other side has ended session {session}: {told}")
    return told


class Sink(Protocol):
    """Where parts go."""

    def check(self, kind: int, length: int, a: int, /) -> None:
        """A part begins so. Raises ProtocolError for one that is not to be waited for."""

    def take(self, kind: int, a: int, b: int, data: bytes, /) -> None:
        """A whole part, checked. Raises ProtocolError."""


@final
class Decoder:
    """Cuts a stream into parts, wherever it was cut on its way. `sink` may change with each part.
    Holds one part that is not whole, whose head was checked."""

    __slots__ = ("_need", "_rest", "over", "sink")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._rest = bytearray()
        self.over = False  # whether nobody wants any more of it
        self._need = HEAD.size  # bytes with which the part that has begun goes on

    @property
    def held(self) -> int:
        """Bytes of a part that is not whole."""
        return len(self._rest)

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises ProtocolError, as the sink does."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest = bytearray()
        at, last, size = 0, len(data), HEAD.size
        need = size
        while last - at >= size and not self.over:
            kind, length, a, b = HEAD.unpack_from(data, at)
            sink = self.sink
            sink.check(kind, length, a)
            end = at + size + length
            if end > last:
                need = size + length
                break
            sink.take(kind, a, b, data[at + size : end])
            at = end
        self._need = need
        if at < last and not self.over:
            self._rest += data[at:]
