"""Parker: a sleep that an unpark ends, whenever it comes."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator

import pytest

from pinfut.executor.park import Parker


@pytest.fixture
def parker() -> Iterator[Parker]:
    one = Parker()
    yield one
    one.close()


def test_an_unpark_that_comes_before_the_park_is_not_lost(parker: Parker) -> None:
    parker.unpark()
    parker.park(None)


def test_an_unpark_from_another_thread_ends_a_sleep_without_end(parker: Parker) -> None:
    thread = threading.Thread(target=parker.unpark)
    thread.start()
    parker.park(None)
    thread.join()


def test_a_park_without_an_unpark_ends_at_its_time(parker: Parker) -> None:
    parker.park(0)
    parker.park(0.001)


def test_any_number_of_unparks_is_bounded_and_ends_one_sleep(parker: Parker) -> None:
    for _ in range(100_000):
        parker.unpark()
    for _ in range(100):
        parker.park(0)
    parker.unpark()
    parker.park(None)


def test_an_unpark_is_used_up_by_the_park_that_it_ends(parker: Parker) -> None:
    parker.unpark()
    parker.unpark()
    parker.park(None)
    with pytest.raises(BlockingIOError):
        os.read(parker._read, 1)


def test_a_park_may_be_as_long_as_a_float_can_say(parker: Parker) -> None:
    for seconds in (1e9, 1e300, math.inf):
        parker.unpark()
        parker.park(seconds)


def test_a_closed_parker_gives_its_descriptors_back() -> None:
    one = Parker()
    before = (one._read, one._write)
    one.close()
    for descriptor in before:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
