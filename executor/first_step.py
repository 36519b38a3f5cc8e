"""First steps: a coroutine's first step inside another task's step, as a server runs a handler's.

Between `begin_inline` and `end_inline` no task is current; the one whose coroutine stands
in `first` is made when somebody asks for it, or when the step ends before the coroutine does."""

from __future__ import annotations

from typing import Any

from pinfut.executor.contract import FirstStep, JoinHandle
from pinfut.executor.current import NO_TASK, NoExecutor
from pinfut.executor.loop import Loop
from pinfut.executor.task import Task


class FirstSteps(Loop):
    """A loop inside whose steps first steps can be run."""

    __slots__ = ("task_type", "watching")

    # Said again where they are set again, for type checkers that infer the one from the other.
    current: JoinHandle[Any] | None
    first: FirstStep | None
    # What a coroutine becomes: Task, or what tells of itself where somebody watches.
    task_type: type[Task[Any]]
    # Whether instruments and checks hear of tasks, so that the everyday path has one test.
    watching: bool

    def begin_inline(self) -> tuple[Any, Any]:
        """From here on first steps are run inside the present step; what `end_inline` takes."""
        outer = self.current
        self.current = None
        if outer is None:
            return None, None
        leaf, outer.leaf = outer.leaf, None
        return outer, leaf

    def end_inline(self, outside: tuple[Any, Any]) -> None:
        """Back to the task that was current before."""
        self.first = None
        self.current, leaf = outside
        if self.current is not None:
            self.current.leaf = leaf

    def ensure_task(self) -> Task[Any]:
        """The task of the coroutine in `first`. Raises NoExecutor when there is none."""
        if self.first is None:
            raise NoExecutor(NO_TASK)
        coro, context, owner, payer = self.first
        if payer is not None:
            context = payer.context(context)
        self.current = task = self.task_type(self.ready, coro, context)
        self.tasks[task] = owner
        if self.watching:
            self.instruments.spawn(task)
        return task

    def adopt(self, leaf: Any) -> Task[Any]:
        """The first step has ended and the coroutine waits for `leaf`: its task goes on."""
        task: Any = self.current
        if task is None:
            task = self.ensure_task()
        self.current = self.first = None
        task.leaf = leaf
        self.ready.append(task)
        return task  # type: ignore[no-any-return]  # a task of ours

    def end_first(self, value: object, error: BaseException | None) -> None:
        """The coroutine in `first` is over and has a task; its owner has the outcome already."""
        task: Any = self.current
        self.current = self.first = None
        if task is not None:
            self.tasks[task] = None
            if error is None:
                task.finish(value)
            else:
                task.fail(error)
                task.error()
            if self.watching:
                self.instruments.finish(task)
