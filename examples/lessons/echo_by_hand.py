"""Remote calls, a future and an event loop, from nothing: no import, one page.

Two functions are given. `add_rpc(val, a, b)` sends a request and returns at once; `recv()`
waits for an answer and gives `(val, a + b)`, of whichever call it is. What is asked for is a
future of one call, so that `await add(a, b)` reads like a function call, and the loop that
makes it work: when the answers come in any order, twice, or for calls that nobody made, and
when a call was given up before its answer came.

    python -m examples.lessons.echo_by_hand
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any

PENDING = object()
"""What a poll gives when the value has not come yet."""


class FarSide:
    """The other end of the wire. It answers the newest request first, one of them twice, and
    invents an answer besides."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int]] = []

    def add_rpc(self, val: int, a: int, b: int) -> None:
        self.answers += [(val, a + b), (val, a + b), (99, 0)] if val == 1 else [(val, a + b)]

    def recv(self) -> tuple[int, int] | None:
        """The next answer, None when there is none."""
        return self.answers.pop() if self.answers else None


class Task:
    """A coroutine and the future that it is parked on. It is its own waker."""

    def __init__(self, coro: Coroutine[Any, Any, None], ready: deque[Task]) -> None:
        self.coro = coro
        self.ready = ready
        self.leaf: EchoFuture | None = None
        ready.append(self)

    def wake(self) -> None:
        if self not in self.ready:
            self.ready.append(self)

    def step(self) -> None:
        """Poll the leaf; if it has its value, send that straight in, whatever lies between."""
        try:
            value = None
            while True:
                if self.leaf is not None and (value := self.leaf.poll(self)) is PENDING:
                    return
                self.leaf = self.coro.send(value)
        except StopIteration:
            return


class EchoFuture:
    """One call. Its place in `Calls.places` is where the answer will be written."""

    def __init__(self, calls: Calls, val: int) -> None:
        self.calls = calls
        self.val = val

    def poll(self, waker: Task) -> Any:
        place = self.calls.places[self.val]
        if isinstance(place, int):
            del self.calls.places[self.val]  # taken, once
            return place
        self.calls.places[self.val] = waker  # the newest waker: this is the promise of PENDING
        return PENDING

    def cancel(self) -> None:
        """Give the call up. Its val stays in use until the answer has come: used for another
        call before that, it would get the wrong answer."""
        self.calls.places[self.val] = "cancelled"

    def __await__(self) -> Generator[EchoFuture, int, int]:
        return (yield self)


class Calls:
    """The calls under way. A place holds None, a waker, the answer, or the word cancelled."""

    def __init__(self, far: FarSide) -> None:
        self.far = far
        self.places: dict[int, Task | int | str | None] = {}
        self.vals = 0

    def add(self, a: int, b: int) -> EchoFuture:
        val, self.vals = self.vals, self.vals + 1
        self.places[val] = None
        self.far.add_rpc(val, a, b)
        return EchoFuture(self, val)

    def deliver(self, val: int, total: int) -> str:
        """Write an answer in its place and wake who waits; what happened, for the log."""
        if val not in self.places:
            return "nobody asked, or it was answered before: refused"
        place = self.places[val]
        if isinstance(place, int):
            return "answered already: refused"
        if place == "cancelled":
            del self.places[val]
            return "given up meanwhile: its place is free now"
        self.places[val] = total
        if isinstance(place, Task):
            place.wake()
        return "delivered"


def run(calls: Calls, *mains: Coroutine[Any, Any, None]) -> None:
    """The event loop: run who is ready; when nobody is, wait for the next answer."""
    ready: deque[Task] = deque()
    for main in mains:
        Task(main, ready)
    while True:
        while ready:
            ready.popleft().step()
        answer = calls.far.recv()
        if answer is None:
            return
        print(f"answer {answer}: {calls.deliver(*answer)}")


def main() -> None:
    calls = Calls(FarSide())

    async def caller(name: str, a: int, b: int) -> None:
        print(f"{name} has {a} + {b} = {await calls.add(a, b)}")

    async def gives_up() -> None:
        calls.add(7, 8).cancel()
        print("dave has given up")

    run(calls, caller("alice", 1, 2), caller("bob", 3, 4), caller("carol", 5, 6), gives_up())
    assert not calls.places


if __name__ == "__main__":
    main()
