"""Layers: what a process has once, and several parts of a program take, each over the others.

For a signal's handler and the wakeup descriptor, in the main thread. Who takes one may give it back
in any order, and takes away only what is his::

    before ◀── a ◀── b          a gives back          before ◀── b
                     ▲ the process has this one                  ▲
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, Final, Generic, TypeAlias, TypeVar, final

T = TypeVar("T")

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None
"""What `signal.getsignal` gives."""


@final
class Layers(Generic[T]):
    """Who has taken one thing of the process. `get` reads it, `put` sets it."""

    __slots__ = ("_get", "_layers", "_put")

    def __init__(self, get: Callable[[], T], put: Callable[[T], object]) -> None:
        self._get = get
        self._put = put
        # Invariant: who has it and has not given it back, oldest first, and what each found there.
        self._layers: list[tuple[T, T]] = []

    def take(self, ours: T) -> None:
        """Put `ours` over what is there. Raises what `put` does, and nothing is done."""
        self._layers.append((ours, self._get()))
        try:
            self._put(ours)
        except BaseException:
            self.give_back(ours)
            raise

    def give_back(self, ours: T) -> None:
        """Take `ours` away, wherever it is. Idempotent."""
        layers = self._layers
        for index, (one, before) in enumerate(layers):
            if one == ours:
                try:
                    if self._get() == ours:
                        self._put(before)
                    elif index + 1 < len(layers) and layers[index + 1][1] == ours:
                        layers[index + 1] = layers[index + 1][0], before
                finally:
                    if self._get() != ours:
                        del layers[index]  # else it can be given back again
                return

    def below(self, ours: T) -> Iterator[T]:
        """What is under `ours`, from the top down, as far as each has found another layer."""
        for one, before in reversed(self._layers):
            if one == ours:
                yield before
                ours = before

    def forget(self) -> None:
        """In a forked child: what was there before anybody took it, if a layer is on top."""
        layers, self._layers = self._layers, []
        if layers and self._get() == layers[-1][0]:
            self._put(layers[0][1])


def _wakeup_fd() -> int:
    fd = signal.set_wakeup_fd(-1)
    _set_wakeup_fd(fd)
    return fd


def _set_wakeup_fd(fd: int) -> None:
    try:
        signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except (OSError, ValueError):
        # Whose it was has closed it; or another thread than the main one asks.
        signal.set_wakeup_fd(-1)


WAKEUP_FD: Final = Layers(_wakeup_fd, _set_wakeup_fd)
"""The descriptor that a signal writes its number to, in whatever thread it comes; -1 for none.
Raises ValueError outside of the main thread."""

_handlers: Final[dict[int, Layers[Handler]]] = {}


def handlers(number: int) -> Layers[Handler]:
    """The handler of a signal."""
    layers = _handlers.get(number)
    if layers is None:
        get, put = partial(signal.getsignal, number), partial(_set_handler, number)
        layers = _handlers[number] = Layers(get, put)
    return layers


def _set_handler(number: int, handler: Handler) -> None:
    # None is a handler that C code had set; it cannot be put back from here.
    signal.signal(number, signal.SIG_DFL if handler is None else handler)


def forget_all() -> None:
    """In a forked child, by the thread that is its main one now: nothing is taken."""
    WAKEUP_FD.forget()
    for layers in _handlers.values():
        layers.forget()
