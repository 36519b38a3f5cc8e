"""Synchronous calls: a thread that may stand still waits for what a call gives.

The call is one as any other, with a slot of its own, made in the executor's thread, which takes
the answer there too; the thread only waits. So it may not be a thread in which an executor runs:
that would stand still, and may be needed for the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, ParamSpec, TypeVar

from pinfut.executor.contract import Runner
from pinfut.executor.current import running
from pinfut.executor.threads import from_thread
from pinfut.rpc.objects.promise import Target
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.wire.answers import Answer

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def entered(
    manager: AbstractAsyncContextManager[T], /, *, executor: Runner | None = None
) -> Iterator[T]:
    """The block of what is written with ``async with``, in a thread::

        with sync.entered(connect(kernel, "files", Files, bank), executor=executor) as files:
            print(sync.call(files.size, "a.txt"))

    It begins and ends in the executor's thread. `executor`, and what is raised: as `from_thread`.
    """
    thing = from_thread(manager.__aenter__, executor=executor)
    try:
        yield thing
    except BaseException as error:
        told = type(error), error, error.__traceback__
        if not from_thread(manager.__aexit__, *told, executor=executor):
            raise
    else:
        from_thread(manager.__aexit__, None, None, None, executor=executor)


def call(method: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a method of a proxy, and wait in this thread for what it gives; of a method that gives
    an object, its proxy, once it is there. Any thread may, beside a running executor, but one in
    which an executor runs.

    Raises what the call raises; RuntimeError where an executor would stand still, which names who
    waits for whom; TypeError for what is no method of a proxy, and NoExecutor when the run is over
    in which the proxy was made. Threads that wait for each other end the run with FutureLock."""
    name = getattr(method, "__qualname__", repr(method))
    target = target_of(getattr(method, "__self__", None))
    if target is None:
        raise TypeError(f"{name} is no method of a proxy: call it as any function")
    _require_no_turn(name, target)

    async def called() -> T:
        return await method(*args, **kwargs)

    called.__qualname__ = f"synchronous call of {name}"
    return from_thread(called, executor=target.caller.executor)


def _require_no_turn(name: str, target: Target) -> None:
    """Raise RuntimeError where an executor runs, and say who would wait for whom."""
    runner: Any = running.executor
    if runner is None:
        return
    owner = runner.first[2] if runner.first is not None else runner.tasks.get(runner.current)
    who = f"serves {owner.call}" if isinstance(owner, Answer) else "runs in an executor"
    if target.caller.executor is runner:
        whom = "would be delivered by this very thread"
    else:
        whom = "may need this thread, which serves nobody meanwhile"
    raise RuntimeError(
        f"{name} cannot be called synchronously here. This task {who}; the answer to {name} over "
        f"session {target.caller.name} {whom}: they would wait for each other. Await the call, or "
        "make it in a thread: await to_thread(sync.call, ...)"
    )
