from tests.executor.world import each_poller, executor, run

__all__ = ["each_poller", "executor", "run"]
