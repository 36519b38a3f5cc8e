"""Put anything into the slots that the C reads, and use what has them: no crash. A program of its
own, since that is what it may end in."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from types import MemberDescriptorType
from typing import Any

from pinfut.executor import run, spawn, timeout, yield_now
from pinfut.executor.current import running
from pinfut.poll import TaskContext
from pinfut.rpc import connect, serve
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.session.calls_in import CallsIn
from pinfut.rpc.wire.peer import Peer
from pinfut.sync import Lock, channel, oneshot
from tests.rpc.services import Desk, DeskServer

GONE = object()
VALUES: tuple[Any, ...] = (GONE, None, 7, -1, 1 << 80, "x", (), (None,), (None, {}), [], {}, [()])


class Woken:
    def wake(self) -> None: ...


CX = TaskContext(Woken())


async def nothing() -> None:
    await yield_now()


def put(thing: Any, slot: str, value: Any) -> None:
    if value is not GONE:
        setattr(thing, slot, value)
    elif hasattr(thing, slot):
        delattr(thing, slot)


async def with_slot(thing: Any, slot: str, value: Any, uses: list[Callable[[], object]]) -> None:
    """Use a thing in these ways while there is `value` in a slot of it."""
    was = getattr(thing, slot, GONE)
    put(thing, slot, value)
    try:
        for use in uses:
            with suppress(Exception):
                use()
    finally:
        put(thing, slot, was)


def enter_and_exit() -> None:
    with timeout(3):
        pass


def things() -> list[tuple[Any, list[Callable[[], object]]]]:
    """Of each kind one, and what to do with it."""
    task = spawn(nothing())
    line: Any = channel(2)
    sender, receiver = line
    sent, received = sender.send(1), receiver.recv()
    ends: Any = oneshot()
    cell, end = ends
    lock = Lock()
    block = timeout(3)
    return [
        (task, [task.wake, task.cancel, lambda: task.poll(CX)]),
        (end, [lambda: cell.send(1), lambda: end.poll(CX)]),
        (sent, [lambda: next(sent.__await__()), lambda: sent.poll(CX)]),
        (received, [lambda: next(received.__await__()), lambda: received.poll(CX)]),
        (sender, [lambda: next(sender.send(2).__await__())]),
        (receiver, [lambda: next(receiver.recv().__await__()), lambda: receiver.recv().poll(CX)]),
        (lock, [lock.__aenter__, lambda: lock.__aexit__(None, None, None)]),
        (block, [block.__enter__, lambda: block.__exit__(None, None, None)]),
    ]


SLOTS = (
    *("_queue", "leaf", "_outcome", "_joiner", "cancels", "block", "_coro"),
    *("_state", "waker", "woken", "value", "_value", "_waker", "_free", "deadline", "executor"),
)


async def main() -> int:
    cases = 0
    for value in VALUES:
        for at in range(len(things())):
            for slot in SLOTS:
                thing, uses = things()[at]
                if isinstance(getattr(type(thing), slot, None), MemberDescriptorType):
                    await with_slot(thing, slot, value, uses)
                    cases += 1
        loop = running.executor
        for slot in ("tasks", "clock") if not isinstance(value, dict) else ():
            await with_slot(loop, slot, value, [lambda: spawn(nothing()), enter_and_exit])
            cases += 1
    return cases


INSIDE: tuple[tuple[type, str], ...] = (
    *((CallsIn, slot) for slot in ("_account", "_peer", "_context", "_executor")),
    *((Peer, slot) for slot in ("_calling", "_line", "complete", "answers")),
    *((type(Desk.do), slot) for slot in ("calling", "serving")),
)


async def call(kind: type, slot: str, value: Any) -> None:
    """Call over a session with such a slot in what serves it."""
    kernel = SimKernel(pages=10_000)
    bank = kernel.bank("client", pages=400)
    async with (
        serve(kernel, "desk", DeskServer()),
        connect(kernel, "desk", Desk, bank) as desk,
    ):
        await desk.do(1)
        inside = [Desk.do] if kind is type(Desk.do) else gc.get_objects()
        kept = [(one, getattr(one, slot)) for one in inside if type(one) is kind]
        for one, _ in kept:
            put(one, slot, value)
        try:
            with timeout(0.1):
                await desk.do(1)
        finally:
            for one, was in kept:
                put(one, slot, was)


if __name__ == "__main__":
    count = run(main())
    for value in VALUES:
        for kind, slot in INSIDE:
            with suppress(Exception):
                run(call(kind, slot, value))
            count += 1
    print(count, "cases")
