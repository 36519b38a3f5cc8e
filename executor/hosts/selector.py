"""PollerSelector: an executor's poller, as asyncio's loop sees it: a selector that never selects.

The poller reports to a `LevelSource`, which queues asyncio's handles while it is ready."""

from __future__ import annotations

import selectors
from asyncio import events
from contextlib import suppress
from selectors import SelectorKey
from typing import Any, Final, final

from pinfut.executor.contract import Hooks
from pinfut.executor.core import Executor
from pinfut.executor.ready import ReadyQueue
from pinfut.executor.source import ET, IN, OUT, EdgeSource

_MASKS: Final = (0, IN, OUT, IN | OUT)


@final
class Fired:
    """An entry for a handle of asyncio's own."""

    __slots__ = ("_ready", "handle", "leaf", "queued")

    def __init__(self, ready: ReadyQueue, leaf: Any, handle: events.Handle | None = None) -> None:
        self._ready = ready
        self.leaf = leaf
        self.handle = handle
        self.queued = False

    @property
    def name(self) -> str:
        return repr(self.handle)

    def wake(self) -> None:
        if not self.queued:
            self.queued = True
            self._ready.append(self)

    def fail(self, error: BaseException, /) -> None:
        """Nothing to tell: the handle tells of its own error, and others end the run."""


@final
class LevelSource(EdgeSource):
    """A descriptor that asyncio watches: its handles are queued whenever it is found ready."""

    __slots__ = ("_read", "_write", "key", "wanted")

    def __init__(self, key: SelectorKey, read: Fired, write: Fired) -> None:
        super().__init__(key.fd)
        self.key = key
        # What asyncio asks for; the portable poller takes out of `mask` what it has reported.
        self.wanted = _MASKS[key.events]
        self._read = read
        self._write = write

    def fire(self, mask: int, tell: Hooks | None = None) -> int:
        if mask & ET:
            return 0  # no report: the descriptor is somebody else's now
        reader, writer = self.key.data
        # As asyncio: an end or an error is for both.
        if mask & ~OUT and reader is not None:
            self._read.handle = reader
            self._read.wake()
        if mask & ~IN and writer is not None:
            self._write.handle = writer
            self._write.wake()
        if self.mask != self.wanted and self.poller is not None:
            with suppress(OSError, ValueError):  # closed unseen
                self.poller.watch(self, self.wanted)
        return 0


@final
class PollerSelector(selectors._BaseSelectorImpl):
    """What asyncio registers goes to the executor's poller; `leaf` runs the handles."""

    _fd_to_key: dict[int, SelectorKey]

    def __init__(self, executor: Executor, leaf: Any) -> None:
        super().__init__()
        assert executor.poller is not None, "it is open"
        self._executor = executor
        self._poller = executor.poller
        self._leaf = leaf
        self._sources: dict[int, LevelSource] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = super().register(fileobj, events, data)
        ready = self._executor.ready
        source = LevelSource(key, Fired(ready, self._leaf), Fired(ready, self._leaf))
        try:
            self._poller.watch(source, source.wanted)
        except BaseException:
            super().unregister(fileobj)
            raise
        self._sources[key.fd] = source
        self._poller.external += 1
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        key = self.get_key(fileobj)._replace(events=events, data=data)
        source = self._sources[key.fd]
        # Also when nothing changes: the descriptor may have been closed unseen.
        self._poller.watch(source, _MASKS[events])
        source.wanted = _MASKS[events]
        source.key = self._fd_to_key[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> SelectorKey:
        key = super().unregister(fileobj)
        self._poller.external -= 1
        source = self._sources.pop(key.fd)
        if not self._poller.is_closed:
            self._poller.forget(source)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Nothing: what is ready is reported by the poller."""
        return []
