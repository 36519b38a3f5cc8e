"""The executor's own promises in every order, with cancels and timers landing anywhere."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pinfut import FutureBase
from pinfut.executor import Task, scope, shield, sleep, timeout, yield_now
from pinfut.executor.testing import explore
from pinfut.sync import Closed, OneshotSender, oneshot
from tests.covered import covered, require

Program = Callable[[], Coroutine[Any, Any, None]]


def in_every_order(program: Program, least: int, *, cancels: int, timers: bool) -> None:
    """Explore `program`; with everything allowed there are at least so many interleavings."""
    found = explore(program, cancels=cancels, timers=timers)
    assert found.exhaustive
    assert found.runs >= (least if cancels and timers else 1)
    require(covered("promises in every order", runs=found.runs), "runs")


anywhere = pytest.mark.parametrize(
    ("cancels", "timers"), [(0, False), (0, True), (1, False), (2, False), (1, True)]
)


@anywhere
def test_a_scope_ends_after_its_children_whatever_befalls_them(cancels: int, timers: bool) -> None:
    async def program() -> None:
        children: list[Task[None]] = []

        async def child() -> None:
            try:
                await sleep(3)
            finally:
                await yield_now()

        async def holder() -> None:
            try:
                async with scope() as s:
                    children.append(s.spawn(child(), name="child"))
                    await yield_now()
                    s.cancel()
            finally:
                assert all(one.done for one in children)

        async with scope() as s:
            s.spawn(holder(), name="holder")

    in_every_order(program, 100, cancels=cancels, timers=timers)


@anywhere
def test_a_failure_reaches_the_holder_of_the_scope_and_cancels_the_others(
    cancels: int, timers: bool
) -> None:
    async def program() -> None:
        caught: list[str] = []

        async def fails() -> None:
            await yield_now()
            raise ValueError

        async def waits() -> None:
            try:
                await sleep(5)
            finally:
                await yield_now()

        async with scope() as s:
            s.spawn(waits(), name="bystander")
        try:
            async with scope() as s:
                bad, good = s.spawn(fails(), name="bad"), s.spawn(waits(), name="good")
        except* ValueError:
            caught.append("ValueError")
        assert good.done
        # Unless it was cancelled before it could fail.
        assert caught == ([] if bad.cancels and not caught else ["ValueError"])

    in_every_order(program, 100, cancels=cancels, timers=timers)


@anywhere
def test_a_value_comes_in_time_or_is_refused_and_never_both_or_neither(
    cancels: int, timers: bool
) -> None:
    outcomes: set[tuple[str, ...]] = set()

    async def program() -> None:
        log: list[str] = []
        ends: tuple[OneshotSender[int], FutureBase[int]] = oneshot()
        tx, rx = ends

        async def receives() -> None:
            try:
                with timeout(1):
                    log.append(f"got {await rx}")
            except TimeoutError:
                log.append("late")

        async def sends() -> None:
            await yield_now()
            try:
                tx.send(1)
            except Closed:
                log.append("refused")

        async with scope() as s:
            receiver = s.spawn(receives(), name="receiver")
            sender = s.spawn(sends(), name="sender")
        outcomes.add(tuple(log))
        if not (receiver.cancels or sender.cancels):
            # Both may have come in one turn: then it is late, and the value was not refused.
            assert log in (["got 1"], ["late", "refused"], ["refused", "late"], ["late"])
        assert log.count("got 1") + log.count("late") <= 1

    in_every_order(program, 50, cancels=cancels, timers=timers)
    assert ("got 1",) in outcomes
    assert not timers or ("late", "refused") in outcomes
    late = any("late" in log for log in outcomes)
    assert late if timers else cancels or not late


@anywhere
def test_what_is_shielded_is_done_whole_once_it_has_begun(cancels: int, timers: bool) -> None:
    async def program() -> None:
        log: list[str] = []

        async def saves() -> None:
            with timeout(1):
                with shield():
                    log.append("begun")
                    await yield_now()
                    await sleep(2)
                    log.append("done")
                await yield_now()

        late = False
        try:
            async with scope() as s:
                task = s.spawn(saves(), name="saver")
                s.spawn(sleep_a_little(), name="other")
        except* TimeoutError:
            late = True
        assert log in ([], ["begun", "done"])
        assert late or task.cancels

    async def sleep_a_little() -> None:
        await sleep(0.5)

    in_every_order(program, 10, cancels=cancels, timers=timers)
