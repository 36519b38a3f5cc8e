"""Any bytes: what cuts a stream into parts, and a server and a client that are sent them."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.executor import spawn
from pinfut.executor.io import Socket, listen_unix
from pinfut.rpc import GarbageFrame, RpcError
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import ProtocolError
from pinfut.rpc.kernel.stream.parts import (
    BEAT,
    CALL,
    HEAD,
    READ,
    WELCOME,
    Decoder,
    Hello,
    open_end,
    open_hello,
    pack,
    pack_hello,
)
from pinfut.rpc.wire import frames
from tests.covered import covered, require
from tests.rpc.kernel.streams import Place, Raw, run
from tests.rpc.kernel.test_stream import bootstrap, call

MOST = 300


class Kept:
    """Keeps what it takes; nothing longer than `MOST`, and no kind from 100 on."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, int, int, bytes]] = []
        self.checked = 0

    def check(self, kind: int, length: int, a: int, /) -> None:
        self.checked += 1
        if kind >= 100 or length > MOST:
            raise GarbageFrame("too long")

    def take(self, kind: int, a: int, b: int, data: bytes, /) -> None:
        self.parts.append((kind, a, b, data))


def test_what_follows_when_nobody_wants_more_is_not_kept() -> None:
    class Last(Kept):
        def take(self, kind: int, a: int, b: int, data: bytes, /) -> None:
            super().take(kind, a, b, data)
            decoder.over = True

    decoder = Decoder(last := Last())
    decoder.feed(pack(BEAT) + b"x" * 10_000)
    assert (len(last.parts), decoder.held) == (1, 0)


NUMBER = st.integers(0, (1 << 64) - 1)
PARTS = st.lists(
    st.tuples(st.integers(0, 99), NUMBER, NUMBER, st.binary(max_size=MOST)), max_size=8
)


@given(PARTS, st.lists(st.integers(0, 3000), max_size=20), st.binary(max_size=40))
def cut_anywhere(parts: list[tuple[int, int, int, bytes]], cuts: list[int], rest: bytes) -> None:
    stream = b"".join(pack(*part) for part in parts) + rest
    kept = Kept()
    decoder = Decoder(kept)
    ends = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    with suppress(GarbageFrame):  # of the rest
        for start, end in pairwise(ends):
            decoder.feed(stream[start:end])
            assert decoder.held <= HEAD.size + MOST, "it holds one part, and no more of it"
    assert kept.parts[: len(parts)] == parts
    covered("parts", whole=len(parts), cut=len(ends) - 2 if parts else 0)


def test_parts_come_as_they_were_sent_wherever_the_stream_was_cut() -> None:
    cut_anywhere()
    require(covered("parts"), "whole", "cut")


def test_a_length_is_refused_before_its_bytes_are_waited_for() -> None:
    for length in (MOST + 1, (1 << 32) - 1):
        with pytest.raises(GarbageFrame):
            Decoder(Kept()).feed(HEAD.pack(1, length, 0, 0))


@given(st.binary(max_size=200))
def test_no_greeting_and_no_end_raise_anything_but_their_error(data: bytes) -> None:
    with suppress(GarbageFrame):
        hello = open_hello(data)
        assert isinstance(hello, Hello)
    with suppress(GarbageFrame):
        assert isinstance(open_end(data, "s"), RpcError)


# What an honest client may send, for the bytes to begin with.
HONEST = [
    *(bootstrap(0), call(1, 100), call(2, 3000), pack(BEAT)),
    pack(CALL, data=frames.SHORT.pack(16, frames.FINISH, 0, 0, 0)),
    pack(CALL, data=frames.SHORT.pack(16, frames.CANCEL, 0, 0, 2)),
]

MUTATION = st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(min_size=1, max_size=21))


def mutated(stream: bytes, mutations: list[tuple[int, int, bytes]]) -> bytes:
    """The bytes, changed: over-written, with others put in, or without some."""
    changed = bytearray(stream)
    for at, how, data in mutations:
        end = at + (0 if how == 1 else len(data))
        changed[at:end] = b"" if how == 2 else data
    return bytes(changed)


@given(
    st.lists(st.sampled_from(HONEST), max_size=6),
    st.lists(MUTATION, max_size=4),
    st.integers(1, 100),
)
def send_anything(parts: list[bytes], mutations: list[tuple[int, int, bytes]], size: int) -> None:
    stream = mutated(b"".join(parts), mutations)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder))
            async with place.served(), place.connected() as desk:
                raw = await Raw.to(place.path, SessionSpec(slots=4, ring=2048))
                with suppress(ConnectionResetError, BrokenPipeError):
                    for at in range(0, len(stream), size):
                        await raw.sock.sendall(stream[at : at + size])
                    raw.sock.send_eof()
                told = await raw.end()
                covered("anything to a server", told=bool(told), sent=len(parts))
                assert await desk.do(1) == 1

    run(main)


def test_whatever_a_client_sends_nobody_else_notices_and_nothing_is_held() -> None:
    send_anything()
    require(covered("anything to a server"), "told", "sent")


@given(st.lists(MUTATION, max_size=3), st.binary(max_size=100), st.integers(1, 100))
def answer_anything(mutations: list[tuple[int, int, bytes]], rest: bytes, size: int) -> None:
    stream = mutated(pack(WELCOME, 1 << 20) + pack(BEAT) * 2 + pack(READ, 8), mutations) + rest

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Place(Path(folder))

            async def server(listener: Socket) -> None:
                with await listener.accept() as sock:
                    await sock.recv(1000)
                    with suppress(ConnectionResetError, BrokenPipeError):
                        for at in range(0, len(stream), size):
                            await sock.sendall(stream[at : at + size])

            with listen_unix(place.path) as listener:
                task = spawn(server(listener))
                with pytest.raises(RpcError) as error:
                    async with place.connected():
                        pass
                await task
            covered("anything to a client", garbage=isinstance(error.value, ProtocolError))
            place.check()

    run(main)


def test_whatever_a_server_sends_its_clients_calls_end_and_nothing_is_held() -> None:
    answer_anything()
    require(covered("anything to a client"), "garbage")


def test_a_greeting_comes_as_it_was_sent() -> None:
    for spec in (SessionSpec(), SessionSpec(slots=9, ring=512, cell=64, level=2, refund=7)):
        hello = Hello.of("echo", "me>echo#1", spec)
        assert open_hello(pack_hello(hello)[HEAD.size :]) == hello
