"""Interleaving: every system does one round of a bench, then every system does the next.

A machine's speed drifts over seconds. Measured one after the other, two systems meet two
different machines; measured in turns they meet the same one, and the drift falls on both.
The order is rotated each round (A B C D, B C D A, ...), so that nobody always comes first
or always after the same neighbour.
"""

from collections.abc import Callable, Sequence

from benches.registry import Bench, System
from benches.remote import Worker, WorkerFailed
from benches.result import Failure, Results, Row

Progress = Callable[[str], None]


class Harness:
    """Owns the workers of one run; used as `with Harness(systems) as harness`."""

    def __init__(self, systems: Sequence[System], renew: bool = False) -> None:
        """`renew`: each round has new workers, whatever the bench."""
        self._renew = renew
        self.results = Results()
        # The newest worker of each system; it may have died since.
        self._workers: dict[System, Worker] = {}
        self._systems: list[System] = []
        for system in systems:
            if missing := system.missing():
                self.results.skipped[system.name] = missing
            else:
                self._systems.append(system)

    def __enter__(self) -> "Harness":
        for system in tuple(self._systems):
            try:
                self._worker(system)
            except WorkerFailed as error:
                self.results.failures.append(Failure(system, None, str(error)))
                self._systems.remove(system)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def run(self, bench: Bench, rounds: int, ops: int, progress: Progress) -> None:
        """Adds to the results a row for each system that has this bench."""
        samples: dict[System, list[float]] = {}
        for system in self._systems:
            if bench.name in self._workers[system].benches:
                samples[system] = []
            else:
                self.results.absent.setdefault(system.name, []).append(bench.name)
        for round_ in range(rounds):
            for system in rotated(tuple(samples), round_):
                progress(f"{bench.name}, round {round_ + 1} of {rounds}: {system.name}")
                try:
                    worker = self._worker(system, fresh=self._renew or bench.fresh)
                    samples[system].append(worker.measure(bench.name, ops))
                except WorkerFailed as error:
                    self.results.failures.append(Failure(system, bench, str(error)))
                    del samples[system]  # a row with fewer rounds would not be comparable
        self.results.rows += [Row(bench, system, tuple(s)) for system, s in samples.items()]

    def _worker(self, system: System, fresh: bool = False) -> Worker:
        """The system's process; a new one if it must be, or if the last one is dead."""
        worker = self._workers.get(system)
        if worker is None or fresh or not worker.alive:
            if worker is not None:
                worker.close()
            worker = self._workers[system] = Worker(system)
        return worker


def rotated(systems: Sequence[System], by: int) -> list[System]:
    start = by % len(systems) if systems else 0
    return [*systems[start:], *systems[:start]]
