"""Timeouts, shields and scopes, nested at random, against an interpreter that has no executor.

`Oracle` says by hand what each block promises: which wait is interrupted at what time, and
which block turns the interrupt into its own error. A cancel comes from outside at some time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.executor import (
    CancelledError,
    current_executor,
    scope,
    shield,
    sleep,
    spawn,
    timeout,
)
from tests.covered import covered, require
from tests.executor.world import MODES, make

Program = list[tuple[Any, ...]]
Log = list[tuple[float, object]]

TIMES = st.sampled_from([0, 1, 1, 2, 3, 4, 6])


def level(depth: int) -> st.SearchStrategy[Program]:
    # Not 0: that is a yield, and no time passes in which a deadline of now could interrupt it.
    wait = st.tuples(st.just("sleep"), TIMES.filter(bool))
    if depth == 0:
        return st.lists(wait, max_size=2)
    inner = level(depth - 1)
    # No child ends at the same time as anything else: it would be anybody's turn.
    child = st.none() | st.integers(0, 4).map(lambda n: n + 0.1)
    return st.lists(
        wait
        | st.tuples(st.just("timeout"), TIMES, st.booleans(), inner)
        | st.tuples(st.just("shield"), inner)
        | st.tuples(st.just("scope"), child, inner),
        max_size=3,
    )


# ---- as it runs ----


async def play(program: Program, log: Log) -> None:
    for op in program:
        match op:
            case ("sleep", seconds):
                await sleep(seconds)
                log.append((current_executor().now(), "slept"))
            case ("timeout", seconds, catches, body):
                try:
                    with timeout(seconds):
                        await play(body, log)
                except (TimeoutError, ExceptionGroup) as error:
                    if not catches:
                        raise
                    log.append((current_executor().now(), name(error)))
            case ("shield", body):
                with shield():
                    await play(body, log)
            case ("scope", child, body):
                async with scope() as s:
                    if child is not None:
                        s.spawn(rest(child))
                    await play(body, log)


async def rest(seconds: float) -> None:
    await sleep(seconds)


def name(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "group of " + ", ".join(map(name, error.exceptions))
    return "cancelled" if isinstance(error, CancelledError) else str(error)


def played(program: Program, cancel: float | None, mode: str) -> Log:
    log: Log = []

    async def work() -> None:
        try:
            await play(program, log)
        except BaseException as error:
            log.append((current_executor().now(), name(error)))
        else:
            log.append((current_executor().now(), "ended"))

    async def main() -> None:
        task = spawn(work())
        if cancel is not None:
            await sleep(cancel)
            task.cancel()
        await task

    make(mode).run(main())
    return log


# ---- as it should ----


class Stop(Exception):
    """An error in the oracle: "cancelled", or what a block made of it."""


CANCELLED = "cancelled"


@dataclass
class Open:
    """A block that the program is in."""

    kind: str
    deadline: float | None = None
    cancels: int = 0
    fired: bool = False
    told: bool = False


class Oracle:
    def __init__(self, cancel: float | None) -> None:
        self.log: Log = []
        self.now = 0.0
        self.blocks: list[Open] = []
        self.cancel = cancel
        self.cancels = 0
        self.met: Counter[str] = Counter()

    def within(self) -> list[Open]:
        """The blocks inside of the innermost shield."""
        shields = [i for i, block in enumerate(self.blocks) if block.kind == "shield"]
        return self.blocks[shields[-1] + 1 :] if shields else self.blocks

    def wait(self, end: float) -> None:
        """Until `end`, or until the first interrupt that no shield keeps off."""
        reach = self.within()
        times = [b.deadline for b in reach if b.deadline is not None and not b.told]
        cancelled = self.cancel is not None and reach is self.blocks
        if cancelled:
            assert self.cancel is not None
            times.append(self.cancel)
        first = max(min(times), self.now) if times else None
        self.now = end if first is None or first > end else first
        for block in self.blocks:
            if block.deadline is not None and block.deadline <= self.now:
                self.met["held"] += not block.fired and block not in reach
                block.fired = True
        if self.cancel is not None and self.cancel <= self.now and not cancelled:
            self.met["cancel held"] += 1
        if first is None or first > end:
            return
        for block in reach:
            block.told = block.told or block.fired
        if cancelled and self.cancel is not None and self.cancel <= self.now:
            self.cancels += 1
            self.cancel = None
            self.met["cancelled"] += 1
        raise Stop(CANCELLED)

    def leave(self) -> bool:
        """Whether the innermost block makes the interrupt its own."""
        block = self.blocks.pop()
        own = block.fired and block.cancels == self.cancels
        self.met["an outer one too"] += own and any(b.fired for b in self.within())
        self.met["an outer one behind a shield"] += (
            own and any(b.fired for b in self.blocks) and not any(b.fired for b in self.within())
        )
        return own and not any(b.fired for b in self.within())

    def play(self, program: Program) -> None:
        for op in program:
            match op:
                case ("sleep", seconds):
                    self.wait(self.now + seconds)
                    self.log.append((self.now, "slept"))
                case ("timeout", seconds, catches, body):
                    try:
                        self.timeout(seconds, body)
                    except Stop as stop:
                        if not catches or stop.args[0] == CANCELLED:
                            raise
                        self.log.append((self.now, stop.args[0]))
                case ("shield", body):
                    self.blocks.append(Open("shield", cancels=self.cancels))
                    try:
                        self.play(body)
                    finally:
                        self.leave()
                case ("scope", child, body):
                    self.scope(child, body)

    def timeout(self, seconds: float, body: Program) -> None:
        self.blocks.append(Open("timeout", self.now + seconds, self.cancels))
        how = None
        try:
            self.play(body)
        except Stop as stop:
            how = stop.args[0]
        if self.leave() and how in (None, CANCELLED):
            self.met["timed out"] += 1
            self.met["swallowed by a shield to the end"] += how is None
            how = f"timed out after {seconds} s"
        if how is not None:
            raise Stop(how)

    def scope(self, child: float | None, body: Program) -> None:
        self.blocks.append(Open("scope", cancels=self.cancels))
        end = -1.0 if child is None else self.now + child
        started = self.now
        how = None
        try:
            self.play(body)
        except Stop as stop:
            how = stop.args[0]
        if end > self.now or (child is not None and self.now == started):
            try:
                # Those that are left are cancelled when the body has failed, and end at once.
                self.wait(end if how is None else self.now)
            except Stop as stop:
                self.met["interrupted at the end of a scope"] += 1
                how = how or stop.args[0]
        self.leave()
        if how is not None:
            raise Stop(how if how == CANCELLED else f"group of {how}")


def expected(program: Program, cancel: float | None) -> tuple[Log, Counter[str]]:
    oracle = Oracle(cancel)
    try:
        oracle.play(program)
    except Stop as stop:
        oracle.log.append((oracle.now, stop.args[0]))
    else:
        oracle.log.append((oracle.now, "ended"))
    return oracle.log, oracle.met


@pytest.mark.parametrize("mode", MODES)
def test_nested_deadlines_and_shields_do_what_each_of_them_promises(mode: str) -> None:
    label = f"nested blocks, {mode}"

    @settings(max_examples=120)
    @given(level(4), st.none() | st.integers(0, 12).map(lambda n: n + 0.53))
    def agree(program: Program, cancel: float | None) -> None:
        want, met = expected(program, cancel)
        got = played(program, cancel, mode)
        assert rounded(got) == rounded(want)
        covered(label, **{case.replace(" ", "_"): n for case, n in met.items()})

    agree()
    require(
        covered(label),
        "held",
        "cancel_held",
        "cancelled",
        "timed_out",
        "an_outer_one_too",
        "an_outer_one_behind_a_shield",
        "swallowed_by_a_shield_to_the_end",
        "interrupted_at_the_end_of_a_scope",
    )


def rounded(log: Log) -> Log:
    return [(round(time, 6), what) for time, what in log]
