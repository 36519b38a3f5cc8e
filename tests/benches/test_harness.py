"""Rounds go round, missing systems are named, and a worker that fails is not passed over."""

import os
from pathlib import Path

import pytest

from benches.harness import Harness, rotated
from benches.registry import Bench, System
from benches.remote import Worker, WorkerFailed

COUNT = Bench("count", "one number", ops=10, quick_ops=10)
FRESH = Bench("count", "one number", ops=10, quick_ops=10, unit="bytes")

# A suite whose bench notes who ran, and in which process, in the file `rounds`.
SUITE = """
import os, sys, time
from benches.probe import Suite

async def count(probe):
    for ops in probe.timed():
        {body}

def run(bench, probe):
    with open({rounds!r}, "a") as rounds:
        print({name!r}, os.getpid(), file=rounds)
    try:
        bench(probe).send(None)
    except StopIteration:
        pass

SUITE = Suite(run, {{"count": count}})
"""


class Systems:
    """Makes systems in a folder of their own, and reads back which ran when."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rounds = folder / "rounds"

    def make(self, name: str, body: str = "pass") -> System:
        source = SUITE.format(name=name, body=body, rounds=str(self._rounds))
        return self.make_from_source(name, source)

    def make_from_source(self, name: str, source: str) -> System:
        (self._folder / f"suite_{name}.py").write_text(source, "utf-8")
        return System(name, f"suite_{name}", env={"PYTHONPATH": str(self._folder)})

    def ran(self) -> list[str]:
        return [line.split()[0] for line in self._lines()]

    def processes(self) -> list[str]:
        return [line.split()[1] for line in self._lines()]

    def _lines(self) -> list[str]:
        return self._rounds.read_text("utf-8").splitlines()


@pytest.fixture
def systems(tmp_path: Path) -> Systems:
    return Systems(tmp_path)


def quietly(_: str) -> None:
    pass


def test_systems_take_turns_and_each_round_begins_with_the_next(systems: Systems) -> None:
    with Harness([systems.make(name) for name in "abc"]) as harness:
        harness.run(COUNT, rounds=4, ops=10, progress=quietly)
    assert "".join(systems.ran()) == "abcbcacababc"
    assert [(row.system.name, len(row.samples)) for row in harness.results.rows] == [
        ("a", 4),
        ("b", 4),
        ("c", 4),
    ]
    assert harness.results.failures == []


def test_each_system_has_one_process_of_its_own_for_all_rounds(systems: Systems) -> None:
    with Harness([systems.make("a"), systems.make("b")]) as harness:
        harness.run(COUNT, rounds=3, ops=10, progress=quietly)
    by_system = set(zip(systems.ran(), systems.processes(), strict=True))
    assert len(by_system) == 2
    assert str(os.getpid()) not in systems.processes()


def test_memory_has_a_new_process_for_each_round(systems: Systems) -> None:
    with Harness([systems.make("a")]) as harness:
        harness.run(FRESH, rounds=3, ops=10, progress=quietly)
    assert len(set(systems.processes())) == 3


def test_a_system_that_is_not_installed_is_skipped_by_name() -> None:
    system = System("absent", "benches.systems.absent", requires=("no_such_package",))
    with Harness([system]) as harness:
        harness.run(COUNT, rounds=1, ops=10, progress=quietly)
    assert harness.results.skipped == {"absent": ["no_such_package"]}
    assert harness.results.rows == []


def test_a_bench_that_a_system_does_not_have_is_noted(systems: Systems) -> None:
    with Harness([systems.make("a")]) as harness:
        harness.run(Bench("other", "", ops=1, quick_ops=1), rounds=1, ops=1, progress=quietly)
    assert harness.results.absent == {"a": ["other"]}


def test_a_bench_that_raises_fails_with_its_traceback_and_the_others_go_on(
    systems: Systems,
) -> None:
    bad = systems.make("bad", "raise ValueError('no such luck')")
    with Harness([bad, systems.make("good")]) as harness:
        harness.run(COUNT, rounds=2, ops=10, progress=quietly)
        harness.run(COUNT, rounds=1, ops=10, progress=quietly)
    assert [row.system.name for row in harness.results.rows] == ["good", "good"]
    assert len(harness.results.failures) == 2  # once per bench, not once per round
    assert "no such luck" in str(harness.results.failures[0])


def test_a_worker_that_dies_fails_with_its_exit_code_and_is_started_again(
    systems: Systems,
) -> None:
    with Harness([systems.make("a", "os._exit(7)")]) as harness:
        harness.run(COUNT, rounds=1, ops=10, progress=quietly)
        harness.run(COUNT, rounds=1, ops=10, progress=quietly)
    assert ["exit code 7" in failure.error for failure in harness.results.failures] == [True, True]
    assert len(set(systems.processes())) == 2


def test_a_system_that_cannot_be_imported_fails_once(systems: Systems) -> None:
    broken = systems.make_from_source("broken", "import no_such_package\n")
    with Harness([broken, systems.make("good")]) as harness:
        harness.run(COUNT, rounds=1, ops=10, progress=quietly)
        harness.run(COUNT, rounds=1, ops=10, progress=quietly)
    [failure] = harness.results.failures
    assert "no_such_package" in str(failure)
    assert [row.system.name for row in harness.results.rows] == ["good", "good"]


def test_a_worker_that_does_not_answer_is_given_up(systems: Systems) -> None:
    worker = Worker(systems.make("stuck", "time.sleep(3600)"))
    worker.patience = 0.2
    try:
        with pytest.raises(WorkerFailed, match="no answer within"):
            worker.measure("count", 10)
    finally:
        worker.close()


def test_what_a_bench_prints_does_not_disturb_its_answers(systems: Systems) -> None:
    worker = Worker(systems.make("chatty", "print('{}'); os.write(1, b'{}')"))
    try:
        assert worker.measure("count", 10) > 0
    finally:
        worker.close()


def test_rotation_keeps_the_cyclic_order() -> None:
    a, b = System("a", "a"), System("b", "b")
    assert [rotated([a, b], by) for by in range(3)] == [[a, b], [b, a], [a, b]]
    assert rotated([], 1) == []
