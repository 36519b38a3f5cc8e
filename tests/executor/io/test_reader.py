"""BufferedReader: whatever the pieces in which a stream comes, it gives out what was asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.executor import Executor, VirtualClock, sleep, timeout
from pinfut.executor.io import BufferedReader, IncompleteRead, LimitOverrun, socketpair
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll
from tests.covered import covered, require
from tests.executor.world import Run


class Pieces:
    """A stream that gives these pieces; each comes only at the second poll if `slow`."""

    def __init__(self, pieces: list[bytes], *, slow: bool = False) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.slow = slow

    def recv(self, size: int) -> FutureBase[bytes]:
        return Piece(self, size)


class Piece(FutureBase[bytes]):
    def __init__(self, stream: Pieces, size: int) -> None:
        self.stream = stream
        self.size = size
        self.polled = False

    def poll(self, cx: Context, /) -> Poll[bytes]:
        if self.stream.slow and not self.polled:
            self.polled = True
            cx.waker.wake()
            return PENDING
        if not self.stream.pieces:
            return b""
        piece = self.stream.pieces.pop(0)
        assert len(piece) <= self.size
        return piece


ASK = st.one_of(
    st.tuples(st.just("exactly"), st.integers(0, 12)),
    st.tuples(st.just("read"), st.integers(1, 12)),
    st.tuples(st.just("until"), st.sampled_from([b"a", b"ab", b"aab"])),
    st.tuples(st.just("line"), st.just(0)),
)


@given(
    pieces=st.lists(st.lists(st.sampled_from(b"ab\n"), max_size=8).map(bytes), max_size=10),
    asks=st.lists(ASK, max_size=20),
    slow=st.booleans(),
)
def read_in_pieces(pieces: list[bytes], asks: list[tuple[str, object]], slow: bool) -> None:
    whole = b"".join(pieces)
    limit = 12
    counts = dict.fromkeys(("given", "end", "incomplete", "overrun"), 0)

    async def main() -> None:
        reader = BufferedReader(Pieces(pieces, slow=slow), limit=limit)
        at = 0
        for kind, ask in asks:
            rest = whole[at:]
            lost = b""
            try:
                if kind == "exactly":
                    assert isinstance(ask, int)
                    got = await reader.read_exactly(ask)
                    assert got == rest[:ask]
                    assert len(got) == ask
                elif kind == "read":
                    assert isinstance(ask, int)
                    got = await reader.read(ask)
                    assert rest.startswith(got)
                    assert 0 < len(got) <= ask or not rest
                else:
                    delimiter = b"\n" if kind == "line" else ask
                    assert isinstance(delimiter, bytes)
                    found = rest.find(delimiter)
                    end = found + len(delimiter)
                    if kind == "line":
                        got = await reader.read_line()
                    else:
                        got = await reader.read_until(delimiter)
                    if found < 0:
                        assert kind == "line"
                        end = len(rest)
                    assert got == rest[:end]
                    assert len(got) <= limit
            except IncompleteRead as error:
                counts["incomplete"] += 1
                got = error.partial
                lost = whole[at:] if got != rest else b""
            except LimitOverrun:
                # The bytes are still there.
                assert b"\n" not in rest[:limit] if kind == "line" else True
                assert len(rest) >= limit
                counts["overrun"] += 1
                got = b""
            assert not lost
            counts["given" if got else "end"] += 1
            at += len(got)

    Executor(clock=VirtualClock()).run(main())
    covered("a reader gives what was asked", **counts)


def test_it_gives_what_a_reading_of_the_whole_would_give() -> None:
    read_in_pieces()
    require(covered("a reader gives what was asked"), "given", "incomplete", "overrun", "end")


def test_a_delimiter_is_found_wherever_the_pieces_are_cut(run: Run) -> None:
    whole = b"x-y-=-=>rest"

    async def main() -> None:
        for first in range(len(whole)):
            for second in range(first, len(whole)):
                pieces = [whole[:first], whole[first:second], whole[second:]]
                reader = BufferedReader(Pieces(pieces))
                assert await reader.read_until(b"-=>") == b"x-y-=-=>"

    run(main())


def test_a_delimiter_that_ends_behind_the_limit_is_not_within_it(run: Run) -> None:
    async def main() -> None:
        reader = BufferedReader(Pieces([b"12345--rest"]))
        with pytest.raises(LimitOverrun, match="limit="):
            await reader.read_until(b"--", limit=6)
        assert await reader.read_until(b"--", limit=7) == b"12345--"

    run(main())


def test_a_cancelled_read_has_taken_nothing(run: Run) -> None:
    async def main() -> None:
        one, other = socketpair()
        with one, other:
            reader = BufferedReader(one)
            await other.sendall(b"half a li")
            with pytest.raises(TimeoutError), timeout(1):
                await reader.read_line()
            await other.sendall(b"ne\n")
            await sleep(1)
            assert await reader.read_line() == b"half a line\n"

    run(main())


def test_what_it_cannot_do_is_refused_with_the_way_out(run: Run) -> None:
    async def main() -> None:
        reader = BufferedReader(Pieces([]), limit=10)
        with pytest.raises(ValueError, match="limit="):
            await reader.read_exactly(11)
        with pytest.raises(ValueError, match="delimiter"):
            await reader.read_until(b"")
        with pytest.raises(ValueError, match="1 byte"):
            await reader.read(0)
        with pytest.raises(ValueError, match="at least one"):
            BufferedReader(Pieces([]), limit=0)

    run(main())


@pytest.mark.parametrize("wrong", ["text", 10, memoryview(b"ab"), None])
def test_a_delimiter_that_is_no_bytes_is_refused(run: Run, wrong: Any) -> None:
    async def main() -> None:
        reader = BufferedReader(Pieces([b"some\nbytes"]))
        with pytest.raises(TypeError, match="a delimiter of bytes, not"):
            await reader.read_until(wrong)
        assert await reader.read_line() == b"some\n"

    run(main())
