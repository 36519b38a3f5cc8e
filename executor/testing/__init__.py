"""For tests of what runs on an executor: time that jumps, order that is chosen.

The pytest plugin is `pinfut.executor.testing.plugin`, and asked for by that name; nothing
here imports pytest."""

from pinfut.executor.clock import VirtualClock
from pinfut.executor.testing.explore import (
    Exploration,
    InterleavingError,
    NotTheSame,
    explore,
    replay,
)
from pinfut.executor.testing.parked import wait_all_parked
from pinfut.executor.testing.sequencer import Sequencer

__all__ = [
    "Exploration", "InterleavingError", "NotTheSame", "Sequencer", "VirtualClock", "explore",
    "replay", "wait_all_parked",
]  # fmt: skip
