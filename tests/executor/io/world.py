"""What the tests of input and output share: nothing may stay open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """As many descriptors and threads afterwards as before."""
    descriptors = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    yield
    # Fewer when the collector took what an earlier test had left.
    assert len(os.listdir("/proc/self/fd")) <= descriptors, "a descriptor was left open"
    assert threading.active_count() == threads, "a thread was left running"
