"""A failure that nobody looks at is reported exactly once; one that somebody has seen, never."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinfut import FutureBase, oneshot
from pinfut.executor import Task, current_executor, sleep, spawn
from pinfut.sync import Closed
from tests.covered import covered, require
from tests.executor.world import MODES, Run, make

CLAIMS = ("await", "result", "error", "await early")
LEFT = ("let go", "let go in a cycle", "kept")


class Heard(logging.Handler):
    """The errors that were reported, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.exc_info is not None
        self.errors.append(str(record.exc_info[1]))


async def fails(text: str, seconds: float) -> None:
    await sleep(seconds)
    raise KeyError(text)


async def claim(task: Task[None], how: str) -> None:
    try:
        match how:
            case "result":
                task.result()
            case "error":
                task.error()
            case _:
                await task
    except KeyError:
        pass


@pytest.mark.parametrize("mode", MODES)
def test_each_failure_is_claimed_or_reported_once(mode: str) -> None:
    label = f"failures, {mode}"

    @settings(max_examples=5)
    @given(st.lists(st.sampled_from(CLAIMS + LEFT), max_size=12))
    @example([*CLAIMS, *LEFT] * 2)
    def history(fates: list[str]) -> None:
        heard = Heard()
        logger = logging.getLogger("pinfut.executor")
        kept: list[object] = []

        async def main() -> list[str]:
            tasks = [spawn(fails(str(i), 1), name=f"{fate} {i}") for i, fate in enumerate(fates)]
            early = [
                spawn(claim(task, fate))
                for task, fate in zip(tasks, fates, strict=True)
                if fate == "await early"
            ]
            await sleep(2)
            for fate in fates:
                task = tasks.pop(0)
                if fate in CLAIMS and fate != "await early":
                    await claim(task, fate)
                elif fate == "let go in a cycle":
                    ring: list[object] = [task]
                    ring.append(ring)
                    del ring
                elif fate == "kept":
                    kept.append(task)
                del task
            gc.collect()
            during = sorted(heard.errors)
            kept.append(early)
            return during

        logger.addHandler(heard)
        try:
            during = make(mode).run(main())
            kept.clear()
            gc.collect()
        finally:
            logger.removeHandler(heard)
        numbers = {fate: [str(i) for i, f in enumerate(fates) if f == fate] for fate in LEFT}
        let_go = numbers["let go"] + numbers["let go in a cycle"]
        assert during == sorted(map(repr, let_go))
        assert sorted(heard.errors) == sorted(map(repr, let_go + numbers["kept"]))
        counts = {fate.replace(" ", "_"): fates.count(fate) for fate in CLAIMS + LEFT}
        covered(label, **counts)

    history()
    require(covered(label), *(fate.replace(" ", "_") for fate in CLAIMS + LEFT))


class Thing: ...


class Fails(FutureBase[None]):
    """Raises from its own poll."""

    def poll(self, cx: object, /) -> None:
        raise KeyError("from a poll")


@pytest.mark.parametrize("raises", ["the coroutine", "a poll", "a channel", "a task awaited"])
def test_a_failure_that_nobody_holds_is_freed_without_the_collector(run: Run, raises: str) -> None:
    """Its traceback leads to frames, and these may know the task again (from Python 3.12 on
    the frame of a coroutine knows its caller)."""
    gone: list[weakref.ref[Thing]] = []

    async def child() -> None:
        thing = Thing()
        gone.append(weakref.ref(thing))
        await sleep(1)
        if raises == "a poll":
            await Fails()
        elif raises == "a channel":
            ends: tuple[object, FutureBase[None]] = oneshot()
            ends[0].close()  # type: ignore[attr-defined]
            await ends[1]
        elif raises == "a task awaited":
            await spawn(fails("inner", 1))
        raise ValueError

    async def main() -> list[bool]:
        task = spawn(child())
        await sleep(5)
        error = task.error()
        assert isinstance(error, ValueError | KeyError | Closed)
        del task, error
        assert len(current_executor().tasks) == 1
        return [ref() is None for ref in gone]

    gc.collect()
    gc.disable()
    try:
        assert run(main()) == [True]
    finally:
        gc.enable()
