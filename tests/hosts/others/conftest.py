"""pytest-asyncio runs the tests here on pinfut's loop, by its own hook: everyday and checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from pinfut.asyncio import EventLoop, new_event_loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], EventLoop]]:
    return {
        "everyday": partial(new_event_loop, checked=False),
        "checked": partial(new_event_loop, checked=True),
    }
