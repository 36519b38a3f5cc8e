"""Calls on objects of this process: the same promises, with no session between.

An object can be called through its interface wherever it is, so a function that takes a
`Directory` need not know whether it got a proxy or the object itself."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar, final

from pinfut.closing import ENDS_THE_RUN
from pinfut.coroutine import yield_now
from pinfut.executor.contract import JoinHandle, Runner
from pinfut.executor.current import current_executor
from pinfut.executor.task import INTERNAL
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.rpc.contract import Submissions
from pinfut.rpc.objects.interface import resolve
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import PROMISED, Target, Turn
from pinfut.rpc.objects.proxy import proxy, target_of
from pinfut.rpc.wire.questions import Question, Questions

T = TypeVar("T")


def call_here(method: Method, thing: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method of an object of this process, as a task; its promise. Raises TypeError as a
    call does, and NoExecutor."""
    resolve(type(thing))
    executor = current_executor()
    coro = method.function(thing, *method.bind(args, kwargs))
    if not hasattr(method, "returns"):  # a parent's, by super(): it is declared as its child's
        method = getattr(type(thing), method.name)
    return _promise(executor, method, executor.spawn(coro))


Method.call_here = staticmethod(call_here)


def _promise(executor: Runner, method: Method, task: JoinHandle[Any]) -> Any:
    """What a call gives whose work `task` is: a promise, or a proxy of the object."""
    if method.returns is None:
        return LocalPromise(task)
    target = Target(LocalCaller(executor), method.returns, PROMISED)
    name = f"promise of {method.returns.__name__}"
    executor.spawn(settle(target, task), name=name, owner=INTERNAL)
    return proxy(target)


@final
class LocalPromise(FutureBase[T]):
    """The value of a call in this process. Dropping it cancels the call, as over a session."""

    __slots__ = ("task",)

    def __init__(self, task: JoinHandle[T]) -> None:
        self.task = task

    def poll(self, cx: Context, /) -> Poll[T]:
        return cx.poll(self.task)

    def drop(self) -> None:
        self.task.cancel()

    def __del__(self) -> None:
        if self.task.cancel():
            tell_if_forgotten(self, outcome="the call was cancelled at once")


async def settle(target: Target, task: JoinHandle[Any]) -> None:
    """Settle the target when the task has ended."""
    try:
        own = await task
    except BaseException as error:
        target.fail(error)
        if issubclass(type(error), (*ENDS_THE_RUN, GeneratorExit)):
            raise
    else:
        target.be(own)


def call_later(executor: Runner, holder: Any, method: Method, args: tuple[Any, ...]) -> Any:
    """Call a method of what `holder` stands for, once that is known; its promise. Calls on
    one holder keep their order."""
    promise = _promise(executor, method, spawn_later(executor, holder, method, args))
    target = target_of(promise)
    if target is not None:
        target.parent = holder  # what it waits for, to find a loop
    return promise


@final
class LocalCaller:
    """Carries the calls on an object of this process that is still to come."""

    __slots__ = ("executor",)

    name = "this process"
    error = None
    owner = None
    via = None
    flowing = touched = False
    questions: Questions
    submissions: Submissions

    def __init__(self, executor: Runner) -> None:
        self.executor = executor

    def call(self, holder: Any, target: Target, method: Method, args: tuple[Any, ...], /) -> Any:
        """Make a call on `target` as soon as it is there; calls keep their order."""
        if target.own is not None and not target.line:
            return getattr(target.own, method.name)(*args)
        target.require_usable()
        return call_later(self.executor, holder, method, args)

    def touch(self) -> None:
        """Nothing to make visible."""

    def take(self, question: Question, method: Method, /) -> Any:
        """Nothing is asked of another side here."""
        raise AssertionError("a call of this process has no question")

    take_detached = take

    def leave(self, dropped: Any, /) -> None:
        """Nothing to release: the collector of this process does it."""

    def release(self, target: Target, /) -> None:
        """The proxy is not used any more; the object is this process's own."""
        target.let_go()


def spawn_later(
    executor: Runner, holder: Any, method: Method | None, args: tuple[Any, ...]
) -> JoinHandle[Any]:
    """Call a method of what `holder` stands for, once that is known, and those have begun that
    were called before. Without a method: what it stands for, then."""
    target: Any = target_of(holder)
    line = target.line = deque() if target.line is None else target.line
    while line and line[-1].task is not None and line[-1].task.done:
        line.pop()  # cancelled: calls that are given up at once leave nothing here
    turn = Turn()
    line.append(turn)
    try:
        turn.task = task = executor.spawn(_later(holder, method, args, line, turn))
    except BaseException:
        line.remove(turn)
        raise
    return task


async def _later(
    holder: Any, method: Method | None, args: tuple[Any, ...], line: deque[Turn], turn: Turn
) -> Any:
    thing = await holder
    # Those before are ready too, or were cancelled, some of them before they ran at all.
    while (first := line[0]) is not turn:
        if first.task is not None and first.task.done:
            line.popleft()
        else:
            await yield_now()
    line.popleft()
    if method is None:
        return thing
    if target_of(thing) is not None:
        return await getattr(thing, method.name)(*args)
    # Not through another task, which a call that is made now would overtake.
    implemented: Method = getattr(type(thing), method.name)
    return await implemented.function(thing, *args)
