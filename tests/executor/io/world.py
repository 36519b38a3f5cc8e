"""What the tests of input and output share: nothing may stay open."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """As many descriptors and threads afterwards as before."""
    gc.collect()
    descriptors = os.listdir("/proc/self/fd")
    threads = threading.active_count()
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(descriptors), "a descriptor was left open"
    assert threading.active_count() == threads, "a thread was left running"
