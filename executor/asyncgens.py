"""Async generators that are left midway: their clean-up, which may await, is a task of the runner.

One that was begun while no task ran here is left to the hooks that the thread had before::

    new ──first step──▶ begun ──it ends, or is closed──▶ over
                          │ └──nobody holds it any more, or the run ends──▶ closing ──▶ over
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from threading import get_ident
from typing import Any, Final, TypeAlias, final
from weakref import WeakValueDictionary

from pinfut.executor.contract import Runner
from pinfut.executor.task import Internal
from pinfut.executor.timeout import timeout_at

Generator: TypeAlias = AsyncGenerator[Any, None]

OVER: Final = 256
"""Numbers of generators that are over and are kept at most, beside those of others."""


@final
class AsyncGens(Internal):
    """The async generators of a runner's coroutines; owns the tasks that close them."""

    __slots__ = ("_before", "_begun", "_finalizer", "_ours", "_runner", "_thread")

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._before: Any = None
        self._thread = 0
        # Invariant: those that somebody holds, by their ids, oldest first.
        self._begun: WeakValueDictionary[int, Generator] = WeakValueDictionary()
        # Who closes those that are not ours, if somebody does; the ids of ours, left ones too.
        self._finalizer: Callable[[Generator], object] | None = None
        self._ours: set[int] = set()

    def install(self) -> None:
        """The runner runs, in this thread; `restore` is the undo."""
        self._thread = get_ident()
        self._before = sys.get_asyncgen_hooks()
        self._finalizer = self._before.finalizer
        sys.set_asyncgen_hooks(self._began, self._left)

    def restore(self) -> None:
        """Give the thread the hooks back that it had. Idempotent."""
        if self._before is not None:
            sys.set_asyncgen_hooks(*self._before)
            self._before = None  # not before: an interrupt in between is made up for by the next

    def close_all(self) -> bool:
        """The run ends: start closing those that somebody holds yet. Whether there were any."""
        begun = list(self._begun.values())
        self._begun.clear()
        for generator in begun:
            self._close(generator)
        return bool(begun)

    def _began(self, generator: Generator) -> None:
        runner, before, key = self._runner, self._before, id(generator)
        if before.finalizer is not None and runner.current is None and runner.first is None:
            self._ours.discard(key)
            if before.firstiter is not None:
                before.firstiter(generator)
            return
        if len(self._ours) > OVER + 2 * len(self._begun):  # most have come to their ends
            self._ours = set(self._begun)
        self._ours.add(key)
        self._begun[key] = generator

    def _left(self, generator: Generator) -> None:
        if self._finalizer is not None and id(generator) not in self._ours:
            self._finalizer(generator)
            return
        self._ours.discard(id(generator))
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
