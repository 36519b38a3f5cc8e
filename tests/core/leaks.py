"""Thousands of operations, and what they leave: in blocks of memory, and in references to what all
of them share.

python -m tests.core.leaks            # a line for each operation that leaves something
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from pinfut import PENDING, Closed, Lock, TakenTwice, channel, core, join, oneshot, yield_now
from pinfut.coroutine import YIELD, Interrupt
from pinfut.executor import Executor, call_soon, run, spawn, timeout
from pinfut.executor.task import NOT_DONE, OVER, Failure, Task
from pinfut.poll import NOBODY
from pinfut.rpc import Interface, RpcError, SessionClosed, SimKernel, connect, method, serve
from pinfut.sync.waiters import DONE, NO_WAKER, NOTHING

OPERATIONS: Final[dict[str, Callable[[], Coroutine[Any, Any, None]]]] = {}


def operation(function: Callable[[], Coroutine[Any, Any, None]]) -> Any:
    OPERATIONS[function.__name__] = function
    return function


def any_oneshot() -> tuple[Any, Any]:
    return oneshot()


class Mine(Exception):
    pass


async def nothing() -> None: ...


async def fails() -> None:
    raise Mine


async def parks() -> None:
    await oneshot()[1]


async def get(future: Awaitable[Any]) -> Any:
    return await future


@operation
async def joined() -> None:
    await spawn(nothing())


@operation
async def joined_before_it_ends() -> None:
    async def slow() -> int:
        await yield_now()
        return 7_000

    assert await spawn(slow()) == 7_000


@operation
async def joined_and_failed() -> None:
    try:
        await spawn(fails())
    except Mine:
        pass


@operation
async def spawned_with_a_name() -> None:
    await spawn(nothing(), name="x", priority="high")


@operation
async def spawned_wrongly() -> None:
    try:
        spawn(7)  # type: ignore[arg-type]
    except TypeError:
        pass


@operation
async def cancelled() -> None:
    task = spawn(parks())
    await yield_now()
    assert task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    assert not task.cancel()


@operation
async def cancelled_at_once() -> None:
    task = spawn(nothing())
    task.cancel()
    task.interrupt()
    try:
        await task
    except asyncio.CancelledError:
        pass


@operation
async def cancelled_at_a_oneshot() -> None:
    tx, rx = any_oneshot()
    task = spawn(get(rx))
    await yield_now()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    try:
        tx.send(1)
    except Closed:
        return
    raise AssertionError("nobody waits for what was sent")


@operation
async def cancelled_and_caught() -> None:
    async def stays() -> int:
        try:
            await oneshot()[1]
        except asyncio.CancelledError:
            await yield_now()
        return 1

    task = spawn(stays())
    await yield_now()
    task.cancel()
    await task


@operation
async def cancelled_in_a_block() -> None:
    async def inside() -> None:
        with timeout(60):
            await yield_now()

    task = spawn(inside())
    await yield_now()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


@operation
async def sent_once() -> None:
    tx, rx = any_oneshot()
    task = spawn(get(rx))
    await yield_now()
    tx.send(object())
    await task
    for again in (rx.poll, tx.send):
        try:
            again(Nobody())
        except TakenTwice:
            pass


@operation
async def sent_before_it_is_awaited() -> None:
    tx, rx = any_oneshot()
    tx.send(1)
    await rx


@operation
async def closed_oneshot() -> None:
    tx, rx = any_oneshot()
    rx.drop()
    try:
        tx.send(1)
    except Closed:
        pass


class Nobody:
    waker = NO_WAKER


@operation
async def through_a_channel() -> None:
    tx, rx = channel[object](2)
    task = spawn(get(rx.recv()))
    await yield_now()
    await tx.send(object())
    await task
    await tx.send(object())
    await tx.send(object())
    waits = spawn(get(tx.send(object())))
    await yield_now()
    for _ in range(3):
        await rx.recv()
    await waits


@operation
async def given_up_in_a_channel() -> None:
    tx, rx = channel[object](1)
    first, second = spawn(get(rx.recv())), spawn(get(rx.recv()))
    await yield_now()
    first.cancel()
    await yield_now()
    await tx.send(object())
    await second
    tx.try_send(object())
    waits = spawn(get(tx.send(object()))), spawn(get(tx.send(object())))
    await yield_now()
    waits[0].cancel()
    await yield_now()
    await rx.recv()
    await rx.recv()
    await waits[1]


@operation
async def closed_channel() -> None:
    tx, rx = channel[object](1)
    waits = spawn(get(rx.recv()))
    await yield_now()
    tx.close()
    for future in (waits, rx.recv(), tx.send(object())):
        try:
            await future
        except Closed:
            pass


@operation
async def never_polled() -> None:
    tx, rx = channel[object](1)
    kept = [tx.send(object()), rx.recv(), oneshot()[1]]
    for future in kept:
        future.drop()


@operation
async def locked() -> None:
    lock = Lock()
    async with lock:
        waits = spawn(get(lock.acquire()))
        await yield_now()
    await waits
    lock.release()
    try:
        async with lock:
            raise Mine
    except Mine:
        pass


@operation
async def timed() -> None:
    with timeout(60), timeout(30), timeout(90):
        await yield_now()
    try:
        with timeout(0):
            await oneshot()[1]
    except TimeoutError:
        pass


@operation
async def driven_by_hand() -> None:
    async def outer() -> Any:
        return await oneshot()[1]

    coro = outer()
    leaf = coro.send(None)
    assert leaf.poll(Nobody()) is PENDING
    try:
        coro.throw(Mine)
    except Mine:
        pass
    bridge = oneshot()[1].__await__()
    next(bridge)
    try:
        bridge.send(object())
    except StopIteration:
        pass
    for error in (StopIteration(1), Mine(), Mine):
        bridge = oneshot()[1].__await__()
        try:
            bridge.throw(error)
        except (Mine, RuntimeError):
            pass
    try:
        oneshot()[1].__await__().send(1)
    except TypeError:
        pass
    oneshot()[1].__await__().close()


@operation
async def called_at_the_end_of_the_turn() -> None:
    call_soon(int, "7")
    call_soon(int, "x")  # it is logged
    await yield_now()


@operation
async def awaited_no_future() -> None:
    class Alien:
        def __await__(self) -> Any:
            return iter([self])

    try:
        await Alien()
    except TypeError:
        pass


@operation
async def raised_in_a_poll() -> None:
    from pinfut import poll_fn

    def bad(cx: Any) -> Any:
        raise Mine

    try:
        await poll_fn(bad)
    except Mine:
        pass


@operation
async def a_run_of_its_own() -> None:
    import threading

    thread = threading.Thread(target=run, args=(nothing(),))
    thread.start()
    thread.join()


class Called(Interface, Protocol):
    @method(answer=256)
    async def echo(self, data: bytes, how: str = "at once") -> bytes: ...


class Server(Called):
    @method
    async def echo(self, data: bytes, how: str = "at once") -> bytes:
        if how == "later":
            await yield_now()
        elif how == "fails":
            raise Mine
        return data * 1_000 if how == "too much" else data


@operation
async def a_session_with_calls() -> None:
    kernel = SimKernel(memory="prices")
    async with (
        serve(kernel, "x", Server()),
        connect(kernel, "x", Called, kernel.bank("x", pages=200), slots=8) as root,
    ):
        for how in ("at once", "at once", "later", "fails", "too much"):
            try:
                assert await root.echo(b"data", how) == b"data"
            except RpcError:
                pass
        await join(*(root.echo(b"data") for _ in range(12)))
        root.echo(b"given up").drop()
        for bad in (7, b"x" * 100_000):
            try:
                await root.echo(bad)  # type: ignore[arg-type]
            except (TypeError, RpcError):
                pass
    try:
        await root.echo(b"late")
    except SessionClosed:
        return
    raise AssertionError("a call was sent on a session that is over")


LONG: Final = ("a_run_of_its_own", "a_session_with_calls")

SHARED: Final[tuple[Any, ...]] = (
    *(PENDING, YIELD, NOT_DONE, OVER, NOBODY, NO_WAKER, NOTHING, DONE, Task, Failure, Interrupt),
    *(Closed, TakenTwice, Executor, asyncio.CancelledError, core.bridge),
)


def _held() -> list[int]:
    gc.collect()
    return [sys.getrefcount(each) for each in SHARED]


def leaks(times: int = 2_000) -> dict[str, str]:
    """Each operation that leaves something, and what."""
    logging.disable(logging.CRITICAL)
    found = {}

    async def repeat(function: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
        for _ in range(count):
            await function()

    for name, function in OPERATIONS.items():
        count = times // 20 if name in LONG else times
        run(repeat(function, max(count // 10, 20)))
        shared = _held()
        blocks = sys.getallocatedblocks()
        run(repeat(function, count))
        more = [now - was for now, was in zip(_held(), shared, strict=True)]
        grown = sys.getallocatedblocks() - blocks
        told = [f"{x:+} of {thing!r}" for x, thing in zip(more, SHARED, strict=True) if abs(x) > 16]
        if grown > count // 4:  # less is what free lists of the interpreter keep
            told.append(f"{grown} blocks in {count} times")
        if told:
            found[name] = ", ".join(told)
    return found


if __name__ == "__main__":
    for name, told in leaks().items():
        print(f"{name}: {told}")
    print(f"{len(OPERATIONS)} operations")
