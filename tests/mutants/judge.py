"""Made mutants against the tests: collected once, then a fork for each mutant.

A fork puts the fault in place and runs the tests that reach its statement, the cheapest first,
until one fails. It is *hung* when a test takes far more CPU than it does without the fault, or
stands still. A NameError is no kill: that mutant is no program.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Final

import pytest

from tests.mutants.forks import Ended, Report, bound_cpu, in_forks
from tests.mutants.made import Made, Source
from tests.mutants.reach import Reached, reach, run_test
from tests.mutants.swap import Key, Swapper

PATIENCE: Final = 10
"""How many times the CPU of the test without the fault, plus a second, is a hang."""

CHEAP: Final = 0.5
"""Seconds of CPU."""

_NO_PROGRAM: Final = ("NameError", "UnboundLocalError")

KILLED: Final = "killed"
HUNG: Final = "hung"
SURVIVED: Final = "survived"
SAME: Final = "same code"
SKIPPED: Final = "skipped"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. `by`: the test that saw it, or why it was skipped; `tests`: how
    many ran; `left`: how many more reach it; `cpu`: seconds."""

    mutant: Made
    outcome: str
    by: str = ""
    tests: int = 0
    left: int = 0
    cpu: float = 0.0


class Judge:
    """A plugin of pytest that judges mutants in place of running the tests."""

    def __init__(
        self,
        sources: list[Source],
        chosen: list[Made],
        *,
        width: int,
        budget: float,
        kept: Path | None,
        progress: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._chosen = chosen
        self._width = width
        self._budget = budget
        self._kept = kept
        self._progress = progress
        self.verdicts: list[Verdict] = []
        self.unusable: list[str] = []
        """The tests that do not pass when they run alone, or are skipped here."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        swappers = {one.file: Swapper(one) for one in self._sources}
        ready: list[tuple[Made, dict[Key, CodeType]]] = []
        for mutant in self._chosen:
            changed = swappers[mutant.file].changed(mutant)
            if not changed:
                self.verdicts.append(Verdict(mutant, SAME))
            elif not swappers[mutant.file].can_swap(changed):
                self.verdicts.append(Verdict(mutant, SKIPPED, "its code cannot be replaced"))
            else:
                ready.append((mutant, changed))
        gc.collect()
        gc.freeze()
        items = {item.nodeid: item for item in session.items}
        found = reach(session.items, swappers, self._kept, self._width, self._progress)
        self.unusable = [one.test for one in found if not one.passed]
        found = sorted((one for one in found if one.passed), key=lambda one: one.cpu)
        plans = [self._plan(mutant, found) for mutant, _ in ready]

        def work(number: int, report: Report) -> None:
            mutant, changed = ready[number]
            swappers[mutant.file].swap(changed)
            for at, one in enumerate(plans[number][0]):
                report(at)
                bound_cpu(1 + PATIENCE * one.cpu)
                passed, message = run_test(items[one.test])
                if not passed:
                    report(message)
                    return

        works = (partial(work, number) for number in range(len(ready)))
        for number, ended in in_forks(works, self._width):
            verdict = self._judge(ready[number][0], *plans[number], ended)
            self.verdicts.append(verdict)
            if verdict.outcome == SURVIVED:
                self._progress(f"survived: {verdict.mutant.what} ({verdict.tests} tests)")
            done = len(self.verdicts)
            if done % 100 == 0:
                self._progress(f"{done} of {len(self._chosen)} mutants")
        return True

    def _plan(self, mutant: Made, found: list[Reached]) -> tuple[list[Reached], int]:
        """The tests that reach a mutant, as many as the budget allows, and how many it leaves."""
        those = [one for one in found if one.sites.get(mutant.file, 0) >> (8 * mutant.site) & 1]
        # What is cheap first, and of that what is of the same floor; one of each file before a
        # second of any, for they look elsewhere.
        floor = f"tests/{mutant.file.partition('/')[0]}/"
        of_file: Counter[str] = Counter()
        order: list[tuple[bool, bool, int, Reached]] = []
        for one in those:
            file = one.test.partition("::")[0]
            order.append((one.cpu > CHEAP, not file.startswith(floor), of_file[file], one))
            of_file[file] += 1
        those = [one for *_, one in sorted(order, key=lambda entry: entry[:3])]
        plan: list[Reached] = []
        spent = 0.0
        for one in those:
            spent += one.cpu
            if plan and spent > self._budget:
                break
            plan.append(one)
        return plan, len(those) - len(plan)

    def _judge(self, mutant: Made, plan: list[Reached], left: int, ended: Ended) -> Verdict:
        begun = [one for one in ended.said if isinstance(one, int)]
        messages = [one for one in ended.said if isinstance(one, str)]
        by = plan[begun[-1]].test if begun else ""
        outcome = KILLED
        if messages:
            by = f"{by}: {messages[0]}"
            if messages[0].startswith(_NO_PROGRAM):
                outcome = SKIPPED
        elif ended.stood_still or ended.signal:
            outcome = HUNG
        elif ended.code == 0:
            outcome, by = SURVIVED, ""
        return Verdict(mutant, outcome, by, len(begun), left, ended.cpu)
