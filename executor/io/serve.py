"""serve: a task for each visitor of a listener, none of whom can end it.

::

    taking ──limit reached, or accept lacks a descriptor──▶ holding back
      ▲  │                                                       │  │
      │  │ ◀────────a visitor has left, or PAUSE is over─────────┘  │
      │  └── cancelled, the listener is closed, or no listener ──▶ draining
      │                                                             │
      │      every visitor has left, `drain` is over, or a cancel ──┴──▶ over
"""

from __future__ import annotations

import errno
import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias, cast, final

from pinfut.closing import ENDS_THE_RUN, tell
from pinfut.executor.current import current_executor
from pinfut.executor.io.sockets import Socket
from pinfut.executor.scope import scope
from pinfut.executor.task import Task
from pinfut.executor.timeout import timeout
from pinfut.sync.closed import Closed
from pinfut.sync.notify import Notify

PAUSE: Final = 1.0
"""Seconds after which one who holds back looks again, if no visitor leaves before."""

QUIET: Final = 60.0
"""Seconds without an error of accept, after which the next one is told again."""

NO_LISTENER: Final = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP)
"""What accept says of a descriptor that nobody will ever come through."""

OnError: TypeAlias = Callable[[BaseException], object]

_log = logging.getLogger("pinfut.executor")


async def serve(
    listener: Socket,
    handler: Callable[[Socket], Awaitable[object]],
    *,
    limit: int = 1000,
    drain: float = 0.0,
    on_error: OnError | None = None,
) -> None:
    """Run ``handler(socket)`` in a task for each visitor, until cancelled: a server.

    It owns `listener`, and the sockets, which it closes when their handlers have ended. At most
    `limit` are served at once; others wait in the backlog. What a handler raises goes to
    ``on_error(error)``, or is logged, and so is a lack of descriptors, which it outlives.
    Cancelled, it lets those being served end for `drain` seconds and then cancels them; a second
    cancel does so at once. It returns only when somebody has closed the listener. Raises
    ValueError, and OSError for a socket that does not listen."""
    if limit < 1 or not drain >= 0:
        raise ValueError(
            f"serve takes a limit of 1 visitor or more and a drain of 0 s or more, not {limit} "
            f"and {drain}"
        )
    await _Server(listener, handler, limit, on_error or _log_error).run(drain)


@final
class _Server:
    """One call of `serve`."""

    __slots__ = ("_handler", "_left", "_limit", "_listener", "_on_error", "_quiet_from", "_served")

    def __init__(
        self,
        listener: Socket,
        handler: Callable[[Socket], Awaitable[object]],
        limit: int,
        on_error: OnError,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._limit = limit
        self._on_error = on_error
        # Invariant: the visitors whose tasks have not ended.
        self._served: dict[Socket, Task[None]] = {}
        self._left = Notify()  # a visitor has left. Only `run` waits for it.
        # When the next error of accept is told, in seconds of the executor's clock.
        self._quiet_from = float("-inf")

    async def run(self, drain: float) -> None:
        broken: OSError | None = None
        name = str(getattr(self._handler, "__qualname__", self._handler))
        try:
            async with scope() as visitors:
                try:
                    while True:
                        socket = await self._next()
                        self._served[socket] = visitors.spawn(self._visit(socket), name=name)
                except Closed:
                    pass
                except OSError as error:
                    broken = error
                except CancelledError:
                    await self._drain(drain)
                    raise
                await self._drain(drain)
                for task in list(self._served.values()):
                    task.cancel()
            if broken is not None:
                raise broken
        finally:
            self._listener.close()
            # Those whose tasks were cancelled before their first step.
            for socket in self._served:
                socket.close()

    async def _next(self) -> Socket:
        """The next visitor, when there is room. Raises Closed, and OSError for no listener."""
        while True:
            if len(self._served) >= self._limit:
                await self._hold_back()
                if self._listener.raw.fileno() < 0:
                    raise Closed("the listener was closed here")
                continue
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno in NO_LISTENER:
                    raise
                self._tell_lack(error)
            await self._hold_back()

    async def _hold_back(self) -> None:
        with suppress(TimeoutError):
            await timeout(PAUSE, self._left.notified())

    async def _drain(self, seconds: float) -> None:
        self._listener.close()
        if not seconds:
            return
        with suppress(TimeoutError), timeout(seconds):
            while self._served:
                await self._left.notified()

    async def _visit(self, socket: Socket) -> None:
        try:
            with socket:
                await self._handler(socket)
        except BaseException as error:
            # Extensions raise what is no Exception when they panic, over what a peer sent, say.
            if issubclass(type(error), CancelledError) or _ends_the_run(error):
                raise
            self._tell(error)
        finally:
            del self._served[socket]
            self._left.notify_one()

    def _tell_lack(self, error: OSError) -> None:
        now = current_executor().now()
        if now >= self._quiet_from:
            error.add_note(
                "no visitor can be taken; this is tried again when one leaves, and each "
                f"{PAUSE:g} s: lower limit={self._limit}, or raise what the system allows "
                "(ulimit -n)"
            )
            self._tell(error)
        self._quiet_from = now + QUIET

    def _tell(self, error: BaseException) -> None:
        try:
            self._on_error(error)
        except BaseException as late:
            if _ends_the_run(late):
                raise
            tell(_log.error, late, "on_error of serve failed over %r", error)


def _ends_the_run(error: BaseException) -> bool:
    kind = type(error)
    if issubclass(kind, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return BaseExceptionGroup.subgroup(group, ENDS_THE_RUN) is not None
    if issubclass(kind, GeneratorExit):
        return current_executor().ending  # else a handler has raised it
    return issubclass(kind, ENDS_THE_RUN)


def _log_error(error: BaseException) -> Any:
    if issubclass(type(error), ConnectionError):
        _log.info("a visitor has gone: %r", error)
    else:
        tell(_log.error, error, "a visitor could not be served")
