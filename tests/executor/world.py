"""How these tests run tasks: in every mode of the executor, on simulated time."""

from __future__ import annotations

import socket
from collections.abc import Coroutine, Iterator
from typing import Any, Final, Protocol, TypeVar

import pytest

from pinfut.executor import Executor, Recorder, VirtualClock
from pinfut.executor.pollers import VARIABLE

T = TypeVar("T")

MODES: Final = ("everyday", "watched", "checked", "watched and checked")
"""The everyday loop, and the three ways in which the other one runs."""


POLLERS: Final = ("epoll", "portable")


class Run(Protocol):
    """``run(main())``: on a new executor, in the mode that the test was asked to try."""

    def __call__(self, main: Coroutine[Any, Any, T]) -> T: ...


def make(mode: str) -> Executor:
    """A new executor in `mode`, at simulated time 0."""
    return Executor(
        clock=VirtualClock(),
        checked="checked" in mode,
        instruments=[Recorder(limit=100)] if "watched" in mode else (),
    )


@pytest.fixture(params=MODES)
def executor(request: pytest.FixtureRequest) -> Executor:
    """A new executor, in each mode in turn."""
    return make(request.param)


@pytest.fixture
def run(executor: Executor) -> Run:
    """Runs one program, in each mode in turn."""
    return executor.run


@pytest.fixture(params=POLLERS)
def each_poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the poller that executors get here, in child processes too: each in turn."""
    name: str = request.param
    monkeypatch.setenv(VARIABLE, name)
    return name


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets that do not block."""
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    with one, other:
        yield one, other
