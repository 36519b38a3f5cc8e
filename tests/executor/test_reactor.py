"""Reactor: a sleep that an unpark ends, whenever it comes."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator

import pytest

from pinfut.executor.reactor import Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    one = Reactor()
    yield one
    one.close()


def test_an_unpark_that_comes_before_the_park_is_not_lost(reactor: Reactor) -> None:
    reactor.unpark()
    reactor.park(None)


def test_an_unpark_from_another_thread_ends_a_sleep_without_end(reactor: Reactor) -> None:
    thread = threading.Thread(target=reactor.unpark)
    thread.start()
    reactor.park(None)
    thread.join()


def test_a_park_without_an_unpark_ends_at_its_time(reactor: Reactor) -> None:
    reactor.park(0)
    reactor.park(0.001)


def test_any_number_of_unparks_is_bounded_and_ends_one_sleep(reactor: Reactor) -> None:
    for _ in range(100_000):
        reactor.unpark()
    for _ in range(100):
        reactor.park(0)
    reactor.unpark()
    reactor.park(None)


def test_an_unpark_is_used_up_by_the_park_that_it_ends(reactor: Reactor) -> None:
    reactor.unpark()
    reactor.unpark()
    reactor.park(None)
    with pytest.raises(BlockingIOError):
        os.read(reactor._read, 1)


def test_a_park_may_be_as_long_as_a_float_can_say(reactor: Reactor) -> None:
    for seconds in (1e9, 1e300, math.inf):
        reactor.unpark()
        reactor.park(seconds)


def test_a_closed_parker_gives_its_descriptors_back() -> None:
    one = Reactor()
    before = (one._read, one._write)
    one.close()
    for descriptor in before:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
