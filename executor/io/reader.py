"""BufferedReader: lines, exact sizes and delimiters out of a stream of bytes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol, final

_CHUNK: Final = 65536


class ByteStream(Protocol):
    """What can be read: a `Socket`, a `PipeReader` or a `TLSStream`."""

    def recv(self, size: int, /) -> Awaitable[bytes]:
        """At most `size` bytes, ``b""`` at the end."""
        ...


class IncompleteRead(EOFError):
    """The stream ended too early. `partial` is what came; it is taken out of the buffer."""

    def __init__(self, wanted: str, partial: bytes) -> None:
        super().__init__(f"the stream ended after {len(partial)} bytes, before {wanted}")
        self.partial = partial


class LimitOverrun(ValueError):
    """The delimiter did not come within the limit. The bytes are still in the buffer."""


@final
class BufferedReader:
    """Reads a stream in large pieces and gives it out as asked. It holds `limit` bytes and one
    receive more, at most. Cancelled, a read has taken nothing. One task at a time."""

    __slots__ = ("_buffer", "_end", "_stream", "limit")

    def __init__(self, stream: ByteStream, *, limit: int = _CHUNK) -> None:
        if limit < 1:
            raise ValueError(f"a reader needs room for at least one byte, not {limit}")
        self._stream = stream
        self.limit = limit
        self._buffer = bytearray()  # Invariant: what was received and not given out
        self._end = False

    async def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; ``b""`` at the end."""
        if size < 1:
            raise ValueError(f"a read takes a size of 1 byte or more, not {size}")
        if not self._buffer:
            await self._fill()
        return self._take(min(size, len(self._buffer)))

    async def read_exactly(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises IncompleteRead when the stream ends before. Raises
        ValueError for more than the limit: read it in parts, or raise the limit."""
        if not 0 <= size <= self.limit:
            raise ValueError(
                f"read_exactly takes 0 to {self.limit} bytes here, not {size}; read in parts, or "
                "make the reader with a larger limit="
            )
        while len(self._buffer) < size:
            if not await self._fill():
                raise IncompleteRead(f"the {size} that were asked for", self._take())
        return self._take(size)

    async def read_until(self, delimiter: bytes, *, limit: int | None = None) -> bytes:
        """Up to and with `delimiter`, at most `limit` bytes (the reader's own by default). Raises
        LimitOverrun when it does not come within that, and IncompleteRead when the stream ends
        before."""
        if not isinstance(delimiter, bytes | bytearray):
            raise TypeError(f"read_until takes a delimiter of bytes, not {delimiter!r}")
        if not delimiter:
            raise ValueError("read_until takes a delimiter of one byte or more")
        most = self.limit if limit is None else min(limit, self.limit)
        searched = 0
        while True:
            found = self._buffer.find(delimiter, searched, most)
            if found >= 0:
                return self._take(found + len(delimiter))
            if len(self._buffer) >= most:
                raise LimitOverrun(
                    f"no {delimiter!r} in the first {most} bytes; read them with read(), close "
                    "the stream, or allow more with limit="
                )
            searched = max(0, len(self._buffer) - len(delimiter) + 1)
            if not await self._fill():
                raise IncompleteRead(f"the delimiter {delimiter!r}", self._take())

    async def read_line(self, *, limit: int | None = None) -> bytes:
        """The next line with its ``\\n``; at the end what is left, then ``b""``."""
        try:
            return await self.read_until(b"\n", limit=limit)
        except IncompleteRead as end:
            return end.partial

    async def _fill(self) -> bool:
        """Receive once. False at the end of the stream."""
        if not self._end:
            data = await self._stream.recv(_CHUNK)
            self._buffer += data
            self._end = not data
        return not self._end

    def _take(self, size: int | None = None) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
