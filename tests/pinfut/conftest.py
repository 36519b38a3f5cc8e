from tests.executor.world import executor, run

__all__ = ["executor", "run"]
