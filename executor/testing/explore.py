"""explore: a small program in every order in which its tasks could have run.

A run of the program is a sequence of decisions: which of the ready tasks runs next and, if
asked for, whether a task is cancelled or time passes first. Decision 0 is what an executor
does every day. The search begins with the run of all zeros and goes on to those that
depart from it once, twice, and so on, so the first failure is one of the simplest."""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final, NamedTuple, cast, final

from pinfut.executor.clock import VirtualClock
from pinfut.executor.contract import Entry
from pinfut.executor.core import Executor
from pinfut.executor.current import running
from pinfut.executor.task import Internal, Task
from pinfut.executor.trace.instrument import Instrument
from pinfut.executor.trace.recorder import Recorder
from pinfut.executor.trace.timeline import timeline
from pinfut.laws import ReenteredExecutor

Program = Callable[[], Coroutine[Any, Any, object]]

_Departures = tuple[tuple[int, int], ...]
"""(decision, choice) for each choice that is not 0, in the order of the decisions."""

_SHOWN: Final = 2_000  # events of a failing run that its error shows


class Exploration(NamedTuple):
    """What `explore` has tried."""

    runs: int
    """How many interleavings were run."""
    exhaustive: bool
    """Whether these were all that there are."""
    cut: int
    """How many of them were ended because they took too many steps."""


class InterleavingError(AssertionError):
    """An interleaving fails. `choices` replays it; the error is its ``__cause__``."""

    def __init__(self, runs: int, choices: list[int], error: BaseException, story: str) -> None:
        super().__init__(
            f"interleaving {runs} fails with {_said(error)}\n"
            f"replay it with replay(program, {choices}) and the same options\n{story}"
        )
        self.choices = choices


def _said(error: BaseException) -> str:
    """An error with its type; of a group, each that is in it."""
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}: {'; '.join(map(_said, error.exceptions))}"
    return f"{type(error).__name__}: {error}"


class _TooLong(BaseException):
    """Ends a run that takes too many steps."""


class NotTheSame(RuntimeError):
    """The program did something else after the same choices, so it cannot be explored."""

    def __init__(self, decision: int) -> None:
        super().__init__(
            f"decision {decision} does not come, or without the choice to make: the program does "
            "not do the same after the same choices. It must not use random numbers, real time, "
            "or what an earlier run has left behind"
        )


class Failures(Instrument):
    """The errors that nobody waited for."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def report(self, name: str, error: BaseException) -> None:
        self.errors.append(error)


@final
class _Chooser:
    """The schedule of one run: departs where it was told to, and notes where it could have."""

    def __init__(self, departures: dict[int, int], options: _Options) -> None:
        self._departures = departures
        self._options = options
        self.executor: Executor
        self._main: Task[Any] | None = None
        self._steps = 0
        self._cancels = 0
        self.choices: list[int] = []  # how many choices there were at each decision so far
        self.story: list[str] = []  # what was chosen where it was not 0, for people
        # From here on there are no decisions: the run is only brought to its end.
        self.cut = False

    @property
    def cancelled(self) -> bool:
        return self._cancels > 0

    def take(self, ready: deque[Entry], /) -> Entry:
        if self._main is None:
            self._main = cast("Task[Any]", ready[0])
        for index, task in enumerate(ready):
            if isinstance(task, Task) and task.done:
                # Woken by what it had left behind; its step does nothing.
                del ready[index]
                return task
        if self._main.done or self.cut:
            return ready.popleft()
        self._steps += 1
        if self._steps > self._options.steps:
            self.cut = True
            raise _TooLong
        # Bounded: each round but the last uses up a cancel or a timer.
        while True:
            victims = self._victims()
            deadline = self.executor.timers.next_deadline() if self._options.timers else None
            choice = self._decide(len(ready) + len(victims) + (deadline is not None))
            if choice < len(ready):
                task = ready[choice]
                if choice:
                    self._tell(f"{_label(task)} runs before {_label(ready[0])}")
                del ready[choice]
                return task
            choice -= len(ready)
            if choice < len(victims):
                self._cancels += 1
                self._tell(f"{_label(victims[choice])} is cancelled")
                victims[choice].cancel()
            else:
                clock = cast(VirtualClock, self.executor.clock)
                clock.advance(max(0.0, cast(float, deadline) - clock.now()))
                self._tell(f"time passes until {clock.now():g} s")
                self.executor.timers.fire(clock.now())

    def _decide(self, count: int) -> int:
        if count == 1:
            return 0
        at = len(self.choices)
        self.choices.append(count)
        choice = self._departures.get(at, 0)
        if choice >= count:
            self.cut = True
            raise NotTheSame(at)
        return choice

    def _victims(self) -> list[Task[Any]]:
        options = self._options
        if self._cancels >= options.cancels:
            return []
        names = options.victims
        return [
            task
            for task, owner in self.executor.tasks.items()
            if not task.cancels
            and (
                task is not self._main and not isinstance(owner, Internal)
                if names is None
                else task.name in names
            )
        ]

    def _tell(self, what: str) -> None:
        self.story.append(f"  decision {len(self.choices) - 1}: {what}")


def _label(task: Entry) -> str:
    return f"{task.name} #{getattr(task, 'number', 0)}"


@final
class _Options(NamedTuple):
    """What may be decided, and what bounds a run."""

    steps: int
    cancels: int
    victims: Collection[str] | None
    timers: bool
    checked: bool


def _run(
    program: Program,
    departures: dict[int, int],
    options: _Options,
    instruments: Sequence[Instrument] = (),
) -> tuple[_Chooser, BaseException | None]:
    """Run the program once; how it failed, or None."""
    chooser = _Chooser(departures, options)
    failures = Failures()
    executor = chooser.executor = Executor(
        clock=VirtualClock(),
        checked=options.checked,
        instruments=[failures, *instruments],
        schedule=chooser,
    )
    error: BaseException | None = None
    try:
        executor.run(program())
    except _TooLong:
        return chooser, None
    except (KeyboardInterrupt, SystemExit, NotTheSame):
        raise
    except BaseException as raised:
        error = raised
    last = max(departures, default=-1)
    if last >= len(chooser.choices):
        raise NotTheSame(last) from error
    if isinstance(error, CancelledError) and chooser.cancelled:
        error = None  # what we asked for
    if error is None and failures.errors:
        error = failures.errors[0]
    return chooser, error


def explore(
    program: Program,
    *,
    limit: int = 10_000,
    steps: int = 1_000,
    cancels: int = 0,
    victims: Collection[str] | None = None,
    timers: bool = False,
    checked: bool = True,
) -> Exploration:
    """Run ``program()`` in every interleaving of its tasks, at most `limit` of them.

    The program is a function that makes the main coroutine; it sets everything up anew and
    asserts what has to hold. It runs on simulated time. An interleaving fails when the
    program raises, a task fails that nobody awaits, a law is broken, or everybody is parked
    forever; then `explore` raises InterleavingError, whose choices `replay` takes.

    `cancels`: how many tasks may be cancelled in one run, at any point; the `victims` by
    name, by default all but main and what the runtime has made for itself (a vat, the clean-up
    of an async generator). A CancelledError that this brings out of the program is no failure.
    `timers`: the next timer may fire at any point, not just when nothing else can run. `steps`: a
    run that takes more is ended, counted as cut, and not judged."""
    if running.executor is not None:
        raise ReenteredExecutor("explore runs executors of its own; call it outside of any")
    if limit < 1 or steps < 1 or cancels < 0:
        raise ValueError(
            f"explore needs a limit and steps of 1 or more and cancels of 0 or more, not "
            f"limit={limit}, steps={steps}, cancels={cancels}"
        )
    options = _Options(steps, int(cancels), victims, timers, checked)
    # Those with the fewest departures first, for each leads to some with one more. Invariant:
    # with what was run there are at most `limit`, for no more will be needed.
    left: deque[_Departures] = deque([()])
    runs = cut = 0
    exhaustive = True
    while left:
        departures = left.popleft()
        runs += 1
        chooser, error = _run(program, dict(departures), options)
        if error is not None:
            choices = _dense(departures)
            raise InterleavingError(
                runs, choices, error, _story(program, departures, options)
            ) from error
        if chooser.cut:
            cut += 1
            exhaustive = False
        first = departures[-1][0] + 1 if departures else 0
        for at in range(first, len(chooser.choices)):
            for choice in range(1, chooser.choices[at]):
                if runs + len(left) < limit:
                    left.append((*departures, (at, choice)))
                else:
                    exhaustive = False
    return Exploration(runs, exhaustive, cut)


def replay(
    program: Program,
    choices: Sequence[int],
    *,
    cancels: int = 0,
    victims: Collection[str] | None = None,
    timers: bool = False,
    checked: bool = True,
    instruments: Sequence[Instrument] = (),
) -> None:
    """Run ``program()`` once, with the choices of an InterleavingError and the options that
    `explore` had. Raises what the program raises."""
    options = _Options(1 << 62, int(cancels), victims, timers, checked)
    departures = {at: choice for at, choice in enumerate(choices) if choice}
    _, error = _run(program, departures, options, instruments)
    if error is not None:
        raise error


def _dense(departures: _Departures) -> list[int]:
    """Every choice up to the last departure."""
    choices = [0] * (departures[-1][0] + 1 if departures else 0)
    for at, choice in departures:
        choices[at] = choice
    return choices


def _story(program: Program, departures: _Departures, options: _Options) -> str:
    """What happens in a failing run, told by another one."""
    recorder = Recorder(limit=_SHOWN)
    chooser, _ = _run(program, dict(departures), options, [recorder])
    told = chooser.story or ["  every task in the order in which it became ready"]
    return "\n".join([*told, "", timeline(recorder)])
