import pytest

from tests.executor.io.world import no_leaks
from tests.executor.world import each_poller, executor, run

__all__ = ["each_poller", "executor", "no_leaks", "run"]


@pytest.fixture(autouse=True)
def on_each_poller(each_poller: str) -> None:
    """Every test of input and output runs on each poller."""
