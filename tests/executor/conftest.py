from tests.executor.world import each_poller, executor, pair, run

__all__ = ["each_poller", "executor", "pair", "run"]
