"""Operations on a descriptor, as futures: tried in `__await__`, parked only when they would block.

One that need not wait costs one system call and no turn; each `SPREE`-th of a descriptor lets the
others run first."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Final, TypeVar, final

from pinfut import laws
from pinfut.executor.contract import Waiting
from pinfut.executor.source import EdgeSource
from pinfut.executor.timers import sleep
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase, open_hosts
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.sync.closed import Closed
from pinfut.sync.waiters import NO_WAKER, NOTHING

T = TypeVar("T")

_CONNECTING: Final = (
    errno.EINPROGRESS,
    errno.EALREADY,
    # What Windows says. Elsewhere that code means a full backlog, which nothing tells of.
    getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS),
)

SPREE: Final = 32
"""Operations on a descriptor without a wait, after which the other ready tasks run."""


def _explained(source: EdgeSource, error: OSError) -> Exception:
    """The error of an operation, in words that help where the system's do not."""
    if source.closed:
        return Closed(f"descriptor {source.fd} was closed here; open it anew to go on")
    return error


TRIED: Final = NO_WAKER
"""In place of the waker of an operation that was awaited and need not wait, so that its end is
not taken for that of one which was forgotten."""


class Operation(FutureBase[T]):
    """What waits for a descriptor. Dropped, it waits no more; what has arrived stays where it is,
    and nothing was written, unless a subclass says more."""

    __slots__ = ("_source", "waker")

    _source: EdgeSource
    waker: Waker | None

    def __del__(self) -> None:
        if self.waker is None:
            tell_if_forgotten(self)

    def registrations(self) -> int:
        return self._source.registrations(self)

    def drop(self) -> None:
        self._source.leave(self)


class _CallOperation(Operation[T]):
    """A call that is made when its source may be ready, until it would not block."""

    __slots__ = ("_args", "_call")

    # The attribute of a source that says so, and how one waits for it.
    _flag: ClassVar[str]
    _wait: ClassVar[Callable[[EdgeSource, Waiting], None]]

    def __init__(self, source: EdgeSource, call: Callable[..., T], *args: Any) -> None:
        self._source = source
        self._call = call
        self._args = args
        self.waker = None

    def poll(self, cx: Context, /) -> Poll[T]:
        source, kind = self._source, type(self)
        if getattr(source, kind._flag):
            try:
                return self._call(*self._args)
            except BlockingIOError:
                setattr(source, kind._flag, False)
            except OSError as error:
                raise _explained(source, error) from None
        self.waker = cx.waker
        kind._wait(source, self)
        return PENDING

    def __await__(self) -> Generator[Any, Any, T]:
        # Tried at once, without the executor, unless that has to see the poll.
        source, kind = self._source, type(self)
        if getattr(source, kind._flag) and not laws.through_executor:
            self.waker = TRIED
            source.spree += 1
            if source.spree >= SPREE:
                source.spree = 0
                yield from sleep(0).__await__()
            try:
                return self._call(*self._args)
            except BlockingIOError:
                setattr(source, kind._flag, False)
            except OSError as error:
                raise _explained(source, error) from None
        if open_hosts:  # a task of somebody else's loop may be the one that waits
            return (yield from super().__await__())
        value: T = yield self
        return value


@final
class ReadOperation(_CallOperation[T]):
    """An operation that waits for its source to be readable."""

    __slots__ = ()

    _flag = "readable"
    _wait = EdgeSource.wait_read


@final
class WriteOperation(_CallOperation[T]):
    """An operation that waits for its source to be writable."""

    __slots__ = ()

    _flag = "writable"
    _wait = EdgeSource.wait_write


@final
class Receive(Operation[bytes]):
    """`ReadOperation` for the bytes of a stream, the operation that is used most. A stream that
    `drains` needs no second try to know that it is empty."""

    __slots__ = ("_call", "_size")

    def __init__(self, source: EdgeSource, call: Callable[[int], bytes], size: int) -> None:
        self._source = source
        self._call = call
        self._size = size
        self.waker = None

    def poll(self, cx: Context, /) -> Poll[bytes]:
        source = self._source
        if source.readable:
            try:
                data = self._call(self._size)
            except BlockingIOError:
                source.readable = False
            except OSError as error:
                raise _explained(source, error) from None
            else:
                if 0 < len(data) < self._size and source.drains:
                    source.readable = False
                return data
        self.waker = cx.waker
        source.wait_read(self)
        return PENDING

    def __await__(self) -> Generator[Any, Any, bytes]:
        source = self._source
        if source.readable and not laws.through_executor:
            self.waker = TRIED
            source.spree += 1
            if source.spree >= SPREE:
                source.spree = 0
                yield from sleep(0).__await__()
            try:
                data = self._call(self._size)
            except BlockingIOError:
                source.readable = False
            except OSError as error:
                raise _explained(source, error) from None
            else:
                if 0 < len(data) < self._size and source.drains:
                    source.readable = False
                return data
        if open_hosts:  # a task of somebody else's loop may be the one that waits
            return (yield from super().__await__())
        received: bytes = yield self
        return received


def _flat(data: object) -> memoryview:
    """The bytes of `data`, as they lie in memory, whatever they mean."""
    try:
        return memoryview(data).cast("B")  # type: ignore[arg-type]  # that is the question
    except TypeError:
        raise TypeError(
            f"what is written is bytes, or an object whose memory lies in one piece, not {data!r}; "
            "encode text first: text.encode()"
        ) from None


@final
class WriteAll(Operation[None]):
    """Writes all of some bytes. Raises TypeError for anything else. Dropped in between, a part may
    have been written and nobody can tell where the next message begins: close the stream."""

    __slots__ = ("_call", "_data")

    def __init__(
        self, source: EdgeSource, call: Callable[[Any], int], data: bytes | bytearray | memoryview
    ) -> None:
        self.waker = TRIED  # nothing is forgotten of bytes that are refused
        self._source = source
        self._call = call
        if type(data) is not bytes and type(data) is not bytearray:
            data = _flat(data)
        self._data: Any = data  # Invariant: what is not written yet; its length is in bytes
        self.waker = None

    def poll(self, cx: Context, /) -> Poll[None]:
        source = self._source
        while source.writable:
            if self._write():
                return None
        self.waker = cx.waker
        source.wait_write(self)
        return PENDING

    def _write(self) -> bool:
        """Write what the other side takes. True when that was all."""
        data = self._data
        size = len(data)
        if not size:
            return True
        source = self._source
        if source.writing is not None and source.writing is not self:
            raise source.busy("write", source.writing)
        try:
            written = self._call(data)
        except BlockingIOError:
            source.writable = False
            return False
        except OSError as error:
            source.writing = None
            raise _explained(source, error) from None
        if written == size:
            self._data = b""
            source.writing = None
            return True
        self._data = memoryview(data)[written:]
        source.writing = self
        return False

    def drop(self) -> None:
        """Wait no more. A part may have been written."""
        if self._source.writing is self:
            self._source.writing = None
        self._source.leave(self)

    def __await__(self) -> Generator[Any, Any, None]:
        source = self._source
        if source.writable and not laws.through_executor:
            self.waker = TRIED
            source.spree += 1
            if source.spree >= SPREE:
                source.spree = 0
                return self._after(True)
            data = self._data
            if type(data) is bytes and source.writing is None:
                # As `_write`, without a call where all is taken at once.
                try:
                    written = self._call(data)
                except BlockingIOError:
                    source.writable = False
                except OSError as error:
                    raise _explained(source, error) from None
                else:
                    if written == len(data):
                        return NOTHING
                    self._data = memoryview(data)[written:]
                    source.writing = self
            elif self._write():
                return NOTHING
        return self._after(False)

    def _after(self, others: bool) -> Generator[Any, Any, None]:
        """Let the others run first, or not, and write what is left."""
        if others:
            yield from sleep(0).__await__()
        yield from super().__await__()


@final
class Connect(Operation[None]):
    """Connects a socket. Dropped in between, the attempt goes on: close the socket."""

    __slots__ = ("_address", "_socket", "_started")

    def __init__(self, source: EdgeSource, sock: socket.socket, address: Any) -> None:
        self._source = source
        self._socket = sock
        self._address = address
        self._started = False
        self.waker = None

    def poll(self, cx: Context, /) -> Poll[None]:
        source = self._source
        if source.closed:
            raise _explained(source, OSError())
        if source.writer is not self:
            code = self._socket.connect_ex(self._address)
            if code == 0 or (code == errno.EISCONN and self._started):
                return None
            if code not in _CONNECTING:
                raise OSError(code, f"{os.strerror(code)}: cannot connect to {self._address!r}")
            self._started = True
            source.writable = False
            source.wait_write(self)
        self.waker = cx.waker
        return PENDING
