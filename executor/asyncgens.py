"""Async generators that are left midway: their clean-up, which may await, is a task of the runner.

new ──first step──▶ begun ──it ends, or is closed──▶ over
                      │ └──nobody holds it any more──▶ closing, in a task ──▶ over
                      └──the run ends──▶ closing, in a task ──▶ over
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from threading import get_ident
from typing import Any, TypeAlias, final
from weakref import WeakValueDictionary

from pinfut.executor.contract import Runner
from pinfut.executor.task import Internal
from pinfut.executor.timeout import timeout_at

Generator: TypeAlias = AsyncGenerator[Any, None]


@final
class AsyncGens(Internal):
    """The async generators that one runner's coroutines have begun, and the owner of the tasks
    that close them. Its hooks stand in the runner's thread while that runs, and no longer."""

    __slots__ = ("_before", "_begun", "_count", "_runner", "_thread")

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._before: Any = None
        self._thread = 0
        # Invariant: those that somebody holds, oldest first.
        self._begun: WeakValueDictionary[int, Generator] = WeakValueDictionary()
        self._count = 0

    def install(self) -> None:
        """The runner runs, in this thread; `restore` is the undo."""
        self._thread = get_ident()
        self._before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._began, self._left)

    def restore(self) -> None:
        """Give the thread the hooks back that it had. Idempotent."""
        before, self._before = self._before, None
        if before is not None:
            sys.set_asyncgen_hooks(*before)

    def close_all(self) -> bool:
        """The run ends: start closing those that somebody holds yet. Whether there were any."""
        begun = list(self._begun.values())
        self._begun.clear()
        for generator in begun:
            self._close(generator)
        return bool(begun)

    def _began(self, generator: Generator) -> None:
        self._count += 1
        self._begun[self._count] = generator

    def _left(self, generator: Generator) -> None:
        # The collector may come in the middle of anything, and in any thread.
        poller = self._runner.poller
        if poller is not None and self._thread == get_ident():
            self._runner.call_soon(self._close, generator)
        elif poller is None or not poller.hand_over(self._close, generator):
            self._close_now(generator)

    def _close(self, generator: Generator) -> None:
        poller = self._runner.poller
        if poller is None or poller.is_closed:
            self._close_now(generator)
            return
        name = f"aclose {getattr(generator, '__qualname__', generator)}"
        self._runner.spawn(_closed(generator, self._runner.clean_ups_end), name=name, owner=self)

    def _close_now(self, generator: Generator) -> None:
        """The run is over: as Python does where there are no hooks."""
        closing = generator.aclose()
        try:
            closing.send(None)
        except StopIteration:
            return
        except BaseException as error:
            self._runner.report(repr(generator), error)
            return
        late = RuntimeError(
            f"{generator!r} awaits in its clean-up, and its run is over: close it before, with "
            "'async with contextlib.aclosing(generator):'"
        )
        self._runner.report(repr(generator), late)


async def _closed(generator: Generator, until: float) -> None:
    with timeout_at(until):
        await generator.aclose()
