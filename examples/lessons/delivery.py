"""Two ways to bring a result to the task that waits for it, side by side.

*Poll after wake*: the event writes the value into its place and wakes the task; the task
polls what it is parked on and finds the value there. A wake carries nothing, so it may be
late, doubled or wrong, and nothing is lost; one task can wait for many places with one bit.
This is what pinfut does.

*The event carries its value*: the event looks up who waits for it and hands the value to
that task, to be sent in when its turn comes. One look less for each result. But a value on its
way is in no place: whoever cancels has to bring it back, and who waits for several places has
to be taken off the others in the same moment.

Both run the same programs here and leave the same trace; that is what the tests show.

    python -m examples.lessons.delivery
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any

EMPTY: Any = object()


class Wait:
    """What a program awaits: the first value in one of these places, with its number."""

    def __init__(self, *places: int) -> None:
        self.places = places

    def __await__(self) -> Generator[Wait, tuple[int, Any], tuple[int, Any]]:
        return (yield self)


class Cancelled(Exception):
    """Raised in a program where it waits."""


class Task:
    def __init__(self, coro: Coroutine[Any, Any, None]) -> None:
        self.coro = coro
        self.leaf: Wait | None = None
        self.over = False
        # Only where the task looks: the places that it was woken for, in that order. One field
        # for "the event that woke me" would lose the second of two.
        self.woken: dict[int, None] = {}
        # Only where events carry values: the place and the value to be sent in.
        self.carried: tuple[int, Any] | None = None
        self.cancelled = False

    def resume(self, value: tuple[int, Any] | None) -> Wait | None:
        """Run the coroutine up to its next wait; None when it is over."""
        try:
            if self.cancelled:
                self.cancelled = False
                leaf: Wait = self.coro.throw(Cancelled())
            else:
                leaf = self.coro.send(value)
        except (StopIteration, Cancelled):
            self.over = True
            return None
        return leaf


class PollAfterWake:
    """The event writes and wakes; the task looks."""

    def __init__(self, places: int) -> None:
        self.values = [EMPTY] * places
        self.waiting: list[Task | None] = [None] * places
        self.ready: deque[Task] = deque()

    def spawn(self, coro: Coroutine[Any, Any, None]) -> Task:
        task = Task(coro)
        self.ready.append(task)
        return task

    def event(self, place: int, value: object) -> None:
        self.values[place] = value
        task, self.waiting[place] = self.waiting[place], None
        if task is not None:
            task.woken[place] = None
            self.wake(task)

    def cancel(self, task: Task) -> None:
        if not task.over:
            task.cancelled = True
            self.wake(task)

    def wake(self, task: Task) -> None:
        if task not in self.ready:
            self.ready.append(task)

    def run(self) -> None:
        """Until nobody is ready."""
        while self.ready:
            task = self.ready.popleft()
            value = None
            while not task.over:
                if task.leaf is not None and not task.cancelled:
                    value = self.poll(task, task.leaf)
                    if value is None:
                        break
                task.leaf = task.resume(value)

    def poll(self, task: Task, leaf: Wait) -> tuple[int, Any] | None:
        woken, task.woken = task.woken, {}
        for place in [*woken, *leaf.places]:
            if place in leaf.places:
                value, self.values[place] = self.values[place], EMPTY
                if value is not EMPTY:
                    return place, value
                self.waiting[place] = task
        return None


class EventCarriesValue:
    """The event takes its value to the task."""

    def __init__(self, places: int) -> None:
        self.values = [EMPTY] * places
        self.waiting: list[Task | None] = [None] * places
        self.ready: deque[Task] = deque()

    def spawn(self, coro: Coroutine[Any, Any, None]) -> Task:
        task = Task(coro)
        self.ready.append(task)
        return task

    def event(self, place: int, value: object) -> None:
        task = self.waiting[place]
        if task is None:
            self.values[place] = value  # nobody yet: it waits after all
            return
        self.forget(task)
        task.carried = place, value
        self.ready.append(task)

    def cancel(self, task: Task) -> None:
        if task.over:
            return
        task.cancelled = True
        if task.carried is not None:
            place, value = task.carried  # it was on its way: back to its place
            task.carried = None
            self.values[place] = value
        self.forget(task)
        if task not in self.ready:
            self.ready.append(task)

    def forget(self, task: Task) -> None:
        """Take the task off every place: one event is enough."""
        for place, waiter in enumerate(self.waiting):
            if waiter is task:
                self.waiting[place] = None

    def run(self) -> None:
        """Until nobody is ready."""
        while self.ready:
            task = self.ready.popleft()
            value, task.carried = task.carried, None
            while not task.over:
                task.leaf = task.resume(value)
                if task.leaf is None:
                    break
                value = self.register(task, task.leaf)
                if value is None:
                    break

    def register(self, task: Task, leaf: Wait) -> tuple[int, Any] | None:
        for place in leaf.places:
            value, self.values[place] = self.values[place], EMPTY
            if value is not EMPTY:
                self.forget(task)
                return place, value
            self.waiting[place] = task
        return None


def main() -> None:
    for kind in (PollAfterWake, EventCarriesValue):
        runner = kind(2)

        async def reader() -> None:
            for _ in range(2):
                place, value = await Wait(0, 1)
                print(f"  from place {place}: {value}")

        print(kind.__doc__)
        runner.spawn(reader())
        runner.run()
        runner.event(1, "second place first")
        runner.run()
        runner.event(0, "then the first")
        runner.run()


if __name__ == "__main__":
    main()
