"""Loops for these tests: everyday and checked, with each poller, and what a loop leaves behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from pinfut.asyncio import EventLoop, new_event_loop
from pinfut.executor import Recorder

T = TypeVar("T")

MODES = ("everyday", "watched", "checked")

Make = Callable[[], EventLoop]


def maker(mode: str) -> Make:
    """Makes loops in `mode`."""
    return lambda: new_event_loop(
        checked=mode == "checked", instruments=[Recorder(limit=100)] if mode == "watched" else ()
    )


@pytest.fixture(params=MODES)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a loop, in each mode in turn."""
    return maker(request.param)


@pytest.fixture
def loop(make: Make) -> Iterator[EventLoop]:
    """A loop in each mode in turn; closed at the end, when nothing may be left."""
    before = descriptors()
    loop = make()
    yield loop
    loop.close()
    assert descriptors() == before


def descriptors() -> set[str]:
    """What this process has open."""
    return set(os.listdir("/proc/self/fd"))


def run(make: Make, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop of its own."""
    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(main)
