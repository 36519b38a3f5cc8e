"""An executor that runs nothing by itself, and a service whose handlers wait to be told."""

from __future__ import annotations

from threading import get_ident
from typing import Any, Protocol

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll
from pinfut.rpc import Interface, method


class Work(Interface, Protocol):
    @method
    async def wait(self, n: int) -> int: ...
    @method
    async def make(self, n: int) -> Work: ...


class _Gate(FutureBase[int]):
    """What a handler waits for; only an operation lets it go on."""

    def poll(self, cx: Context, /) -> Poll[int]:
        return PENDING


class Worker(Work):
    @method
    async def wait(self, n: int) -> int:
        return await _Gate()

    @method
    async def make(self, n: int) -> Work:
        await _Gate()
        return Worker()


class Handler:
    """A handler that has not ended, as a task is to its session."""

    def __init__(self, coro: Any, owner: Any) -> None:
        self.coro = coro
        self.owner = owner
        self.cancels = 0
        self._error: BaseException | None = None
        self._result: Any = None

    def cancel(self) -> None:
        self.cancels += 1

    def error(self) -> BaseException | None:
        return self._error

    def result(self) -> Any:
        return self._result

    def end(self, value: int, error: BaseException | None) -> None:
        """It goes on with `value`, or with an error at the place where it waits."""
        try:
            if error is None:
                self.coro.send(value)
            else:
                self.coro.throw(error)
        except StopIteration as stop:
            self._result = stop.value
        except BaseException as raised:
            self._error = raised
        else:
            raise AssertionError("a handler waits twice")
        self.owner.ended(self)


class Still:
    """An executor for sessions that runs nothing by itself."""

    instruments = ()
    current = None

    def __init__(self) -> None:
        self.thread = get_ident()
        self.first: Any = None
        # In the order in which their calls came.
        self.handlers: list[Handler] = []

    def call_soon(self, call: Any, *args: Any) -> None:
        """Turns end by an operation."""

    def begin_inline(self) -> tuple[None, None]:
        return None, None

    def end_inline(self, outside: object) -> None:
        self.first = None

    def adopt(self, leaf: object) -> Handler:
        assert isinstance(leaf, _Gate)
        coro, _, owner, _ = self.first
        self.first = None
        handler = Handler(coro, owner)
        self.handlers.append(handler)
        return handler
