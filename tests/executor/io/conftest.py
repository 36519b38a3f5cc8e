from tests.executor.io.world import no_leaks
from tests.executor.world import executor, run

__all__ = ["executor", "no_leaks", "run"]
