"""The dump: every task, where it waits, who spawned it; also from a signal handler."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from pinfut import PENDING, Context, FutureBase, Poll, join, map, pending
from pinfut.executor import (
    Executor,
    MonotonicClock,
    NoExecutor,
    Recorder,
    Task,
    VirtualClock,
    current_executor,
    dump,
    run,
    scope,
    sleep,
    spawn,
    yield_now,
)
from pinfut.executor.contract import Poller, Priority
from tests.bounded import until


def dumped(main: Coroutine[Any, Any, str], *, watched: bool) -> str:
    """What `main` gives, on a new executor, with this file's lines by their marks."""
    instruments = [Recorder()] if watched else []
    text = Executor(clock=VirtualClock(), checked=False, instruments=instruments).run(main)
    with open(__file__, encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            _, found, mark = line.partition("# at: ")
            if found:
                for path in (__file__, os.path.relpath(__file__)):
                    text = text.replace(f"{path}:{number} ", f"<{mark.strip()}> ")
                    text = text.replace(f"{path}:{number}\n", f"<{mark.strip()}>\n")
    return text


async def leaf() -> None:
    await sleep(5)  # at: leaf


async def deep() -> None:
    await leaf()  # at: deep


async def waits_for(task: Task[None]) -> None:
    await task  # at: waits


async def family() -> str:
    async with scope() as s:
        first = s.spawn(deep(), name="first")  # at: spawn first
        s.spawn(waits_for(first), name="second")  # at: spawn second
        s.spawn(both(), name="both")  # at: spawn both
        await sleep(1)
        s.spawn(leaf(), name="new")  # at: spawn new
        text = dump()  # at: dump
        s.cancel()
    return text


async def both() -> None:
    await join(leaf(), deep())  # at: joins


WATCHED = """\
5 tasks, 1 ready, 3 timers at 1.000 s
main #1: running
│   <dump> family             text = dump()  # at: dump
├── first #2: parked on Sleep since 0.000 s, spawned at <spawn first>
│       <deep> deep               await leaf()  # at: deep
│       <leaf> leaf               await sleep(5)  # at: leaf
├── second #3: parked on Task 'first' #2 since 0.000 s, spawned at <spawn second>
│       <waits> waits_for          await task  # at: waits
├── both #4: parked on Join since 0.000 s, spawned at <spawn both>
│       <joins> both               await join(leaf(), deep())  # at: joins
│       [0] Sleep
│           <leaf> leaf               await sleep(5)  # at: leaf
│       [1] Sleep
│           <deep> deep               await leaf()  # at: deep
│           <leaf> leaf               await sleep(5)  # at: leaf
└── new #5: ready, spawned at <spawn new>
        <start> leaf               async def leaf() -> None:"""


def squeezed(text: str) -> list[list[str]]:
    """The words of each line: how wide the columns are depends on the length of paths."""
    return [line.split() for line in text.splitlines()]


def test_a_watched_executor_dumps_a_tree_with_lines_of_source() -> None:
    text = dumped(family(), watched=True)
    *known, last = squeezed(text)
    assert known == squeezed(WATCHED)[:-1]
    assert last[1:] == ["leaf", "async", "def", "leaf()", "->", "None:"]


def test_an_unwatched_one_dumps_the_tree_of_scopes_and_says_what_it_does_not_know() -> None:
    text = dumped(family(), watched=False)
    *lines, note = text.splitlines()
    assert "unknown" in note
    tasks = [line for line in lines if ": " in line and "<" not in line]
    assert tasks == [
        "main: running",
        "├── first: parked on Sleep",
        "├── second: parked on Task 'first'",
        "├── both: parked on Join",
        "└── new: ready",
    ]
    # All else is the same.
    assert [line for line in squeezed(text) if "await" in line] == [
        line for line in squeezed(WATCHED) if "await" in line
    ]


@pytest.mark.parametrize("watched", [False, True])
def test_tasks_of_every_priority_are_shown_as_ready_wherever_they_stand(watched: bool) -> None:
    """Also in the middle of a turn, when some of each stand in `ready`, and those that
    `select_batch` has left for later do not."""
    levels: list[Priority] = ["high", "normal", "low"]

    async def spins() -> None:
        while True:
            await yield_now()

    async def parks() -> None:
        await sleep(60)

    async def main() -> str:
        for level in levels:
            spawn(parks(), name=f"parked {level}", priority=level)
        await sleep(1)
        for level in levels:
            for _ in range(600):
                spawn(spins(), name=f"ready {level}", priority=level)
        await yield_now()
        executor = current_executor()
        assert executor.high
        assert executor.low
        return dump()

    first, *lines = dumped(main(), watched=watched).splitlines()
    labels = [line for line in lines if "ready " in line or "parked " in line]
    states: Counter[str] = Counter()
    for line in labels:
        for level in levels:
            for name in ("ready", "parked"):
                if f"{name} {level}" in line:
                    states[f"{name} {level}: {'ready' if ': ready' in line else 'parked'}"] += 1
    assert first.startswith("1804 tasks, 1800 ready,")
    for level in levels:
        assert states[f"parked {level}: parked"] == 1
        assert states[f"parked {level}: ready"] == 0
        assert states[f"ready {level}: ready"] == 600


@pytest.mark.parametrize("watched", [False, True])
def test_a_child_whose_parent_has_ended_is_shown_at_the_top(watched: bool) -> None:
    async def parent() -> None:
        spawn(leaf(), name="orphan")

    async def main() -> str:
        spawn(parent(), name="parent")
        await sleep(1)
        return dump()

    lines = dumped(main(), watched=watched).splitlines()
    assert [line.split()[0].rstrip(":") for line in lines if "parked" in line] == ["orphan"]


def test_what_combinators_and_adapters_poll_is_shown_down_to_the_leaf() -> None:
    async def main() -> str:
        text: list[str] = []

        async def looks() -> None:
            await sleep(1)
            text.append(dump())

        async def mapped() -> None:
            await map(leaf(), str)  # at: mapped

        spawn(mapped(), name="mapped")
        spawn(many(), name="many")
        await looks()
        return text[0]

    async def many() -> None:
        await join(*[sleep(3) for _ in range(105)])

    lines = [line.strip("│├└─ ") for line in dumped(main(), watched=True).splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("mapped"))
    assert lines[at].startswith("mapped #2: parked on Map")
    assert lines[at + 1].split()[0] == "<mapped>"
    assert lines[at + 2] == "[0] Sleep"
    assert lines[at + 3].split()[0] == "<leaf>"
    assert "[99] Sleep" in lines
    assert "[100] Sleep" not in lines
    assert "... 5 more" in lines


def test_since_when_is_the_last_time_it_was_parked() -> None:
    async def twice() -> None:
        await sleep(1)
        await sleep(5)

    async def main() -> str:
        spawn(twice(), name="twice")
        await sleep(2)
        return dump()

    assert "twice #2: parked on Sleep since 1.000 s" in dumped(main(), watched=True)


def test_a_cancelled_task_and_a_very_deep_one_can_be_dumped() -> None:
    async def nested(depth: int) -> None:
        if depth:
            await nested(depth - 1)
        else:
            await pending()

    async def main() -> str:
        deep, cancelled = spawn(nested(100), name="deep"), spawn(leaf(), name="cancelled")
        await sleep(1)
        cancelled.cancel()
        text = dump()
        deep.cancel()
        return text

    text = dumped(main(), watched=True)
    assert "... 81 frames more above" in text
    assert "cancelled #3: ready" in text
    assert len(text.splitlines()) < 35


def test_a_long_chain_of_parents_can_be_dumped() -> None:
    async def link(n: int) -> None:
        if n:
            spawn(link(n - 1))
        await sleep(1)

    async def main() -> str:
        spawn(link(2_000))
        await sleep(0.5)
        await until(
            lambda: not any(one.queued and not one.running for one in current_executor().tasks),
            "nobody is ready",
        )
        return dump()

    assert dumped(main(), watched=True).startswith("2002 tasks, 0 ready")


@pytest.mark.parametrize("watched", [False, True])
def test_calls_that_were_put_off_are_shown_in_their_order(watched: bool) -> None:
    def first() -> None:
        """Never runs before the dump."""

    async def main() -> str:
        executor = current_executor()
        calls: list[Callable[[], object]] = [first, partial(int, 1), *[print] * 120]
        for call in calls:
            executor.call_soon(call)
        text = dump()
        executor.deferred.clear()
        return text

    lines = dumped(main(), watched=watched).splitlines()
    lines = lines[lines.index(f"put off: {first.__qualname__}") :]
    assert lines[1] == "put off: functools.partial(<class 'int'>, 1)"
    assert lines[2:101] == ["put off: print"] * 98 + ["... 22 more"]


def test_dump_needs_a_running_executor_and_the_method_does_not() -> None:
    with pytest.raises(NoExecutor):
        dump()
    assert Executor(clock=VirtualClock()).dump() == "0 tasks, 0 ready, 0 timers at 0.000 s"


# ---- on a signal ----


async def signalled() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)  # at: signal
    await yield_now()


@pytest.mark.parametrize("watched", [False, True])
def test_the_signal_dumps_to_stderr_and_shows_the_line_that_runs(
    capfd: pytest.CaptureFixture[str], watched: bool
) -> None:
    run(signalled(), dump_on_signal=True, instruments=[Recorder()] if watched else [])
    text = capfd.readouterr().err
    assert text.startswith("pinfut: 1 task, 0 ready")
    # The first frame shown is the task's own, and none of whoever called `run`.
    assert "os.kill(os.getpid(), signal.SIGUSR1)" in text.splitlines()[2]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL, "given back"


def test_a_future_that_cannot_be_shown_does_not_break_what_runs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Nameless(FutureBase[None]):
        @property
        def name(self) -> str:
            raise ValueError("no name")

        def poll(self, cx: Context, /) -> Poll[None]:
            self.waker = cx.waker
            return PENDING

    async def parks() -> None:
        await Nameless()

    async def main() -> None:
        spawn(parks())
        await yield_now()
        os.kill(os.getpid(), signal.SIGUSR1)
        await yield_now()

    run(main(), checked=False, dump_on_signal=True)
    assert "cannot be shown: ValueError('no name')" in capfd.readouterr().err


@pytest.mark.parametrize("checked", [False, True])
def test_the_signal_reaches_an_executor_that_sleeps(
    checked: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    class Clock:
        """Sends the signal as the executor goes to sleep."""

        def __init__(self) -> None:
            self.real = MonotonicClock()

        def now(self) -> float:
            return self.real.now()

        def idle(self, poller: Poller, deadline: float | None) -> None:
            os.kill(os.getpid(), signal.SIGUSR1)
            self.real.idle(poller, deadline)

    async def main() -> None:
        await sleep(0.001)

    run(main(), clock=Clock(), checked=checked, dump_on_signal=True)
    assert "main" in (text := capfd.readouterr().err)
    assert "parked on Sleep" in text


def test_the_environment_asks_for_it_and_the_argument_overrules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def handled() -> bool:
        return signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL

    assert not run(handled())
    for value, expected in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("PINFUT_DUMP", value)
        assert run(handled()) is expected
    monkeypatch.setenv("PINFUT_DUMP", "1")
    assert not run(handled(), dump_on_signal=False)


def test_a_handler_of_the_programs_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(number: int, frame: object) -> None:
        raise AssertionError

    async def main() -> None:
        assert signal.getsignal(signal.SIGUSR1) is own

    before = signal.signal(signal.SIGUSR1, own)
    try:
        monkeypatch.setenv("PINFUT_DUMP", "1")
        run(main())
        with pytest.raises(RuntimeError, match="dump only from the main thread"):
            run(main(), dump_on_signal=True)
        monkeypatch.delenv("PINFUT_DUMP")
        run(main())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_outside_of_the_main_thread_it_is_refused_if_asked_for_outright() -> None:
    outcomes: list[object] = []

    async def main() -> str:
        return "ran"

    def work() -> None:
        try:
            outcomes.append(run(main(), dump_on_signal=True))
        except RuntimeError as error:
            outcomes.append(error)
        os.environ["PINFUT_DUMP"] = "1"
        try:
            outcomes.append(run(main()))
        finally:
            del os.environ["PINFUT_DUMP"]

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    refused, ran = outcomes
    assert isinstance(refused, RuntimeError)
    assert ran == "ran"
