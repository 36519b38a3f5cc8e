"""Runs a program both ways, as plain coroutines and unboxed, and says what it did.

A program is the text of a module with an `async def main`. It awaits `leaf(x)` and writes
with `log(x)`. The driver answers the leaves: with their value, with an error, or it closes.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pinfut.coroutine import YIELD, yield_now
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.unboxed import box, pool, unboxed

_numbers = count()


class Leaf(FutureBase[Any]):
    """A future that the driver answers."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def poll(self, cx: Context, /) -> Poll[Any]:
        raise AssertionError("the driver answers")


class Odd:
    """An awaitable of another kind: its own generator."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Any:
        got = yield Leaf(("odd", self.value))
        return got


class Cancelled(BaseException):
    """What the driver throws for a cancel."""


@dataclass
class Outcome:
    """What one run did. Equal if nobody could tell the difference."""

    log: list[Any]
    value: Any = None
    error: tuple[str, str] | None = None
    # Function and line of each level, outermost first, without those of the driver.
    levels: list[tuple[str, int]] | None = field(default=None, compare=False)
    context: tuple[str, str] | None = None
    # The program has waited on when it was closed.
    ignored: bool = field(default=False, compare=False)

    @property
    def waits(self) -> int:
        """How often it has waited."""
        return sum(isinstance(each, tuple) and each[0] == "waits" for each in self.log)


def plainly(function: Any) -> Any:
    """Decorates with nothing."""
    return function


@contextmanager
def released() -> Iterator[None]:
    """Let go of the text of every module that was loaded in here."""
    first = next(_numbers)
    try:
        yield
    finally:
        for number in range(first, next(_numbers)):
            linecache.cache.pop(f"<program {number}>", None)


def module(text: str, decorator: Callable[[Any], Any]) -> dict[str, Any]:
    """The namespace of the program, its functions decorated with `decorator`."""
    name = f"<program {next(_numbers)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    log: list[Any] = []
    space: dict[str, Any] = {
        "__name__": "program",
        "unboxed": decorator,
        "box": box,
        "yield_now": yield_now,
        "leaf": Leaf,
        "Odd": Odd,
        "log": log.append,
        "logged": log,
        "Cancelled": Cancelled,
        "file": name,
    }
    exec(compile(text, name, "exec", dont_inherit=True), space)
    log.clear()
    return space


def drive(coro: Any, answers: Sequence[Any], log: list[Any], file: str) -> Outcome:
    """Run `coro` to its end; the n-th leaf is answered with the n-th of `answers`: None for
    its value, an error to throw, "close" to close. Then leaves get their values."""
    outcome = Outcome(log)
    step: Callable[[Any], Any] = coro.send
    given: Any = None
    for number in count():
        if number > 2000:
            raise AssertionError("the program does not end")
        try:
            leaf = step(given)
        except StopIteration as stop:
            outcome.value = stop.value
            break
        except BaseException as error:
            outcome.error = (type(error).__name__, str(error))
            inner = error.__context__
            if inner is not None:
                outcome.context = (type(inner).__name__, str(inner))
            outcome.levels = [
                (frame.name, frame.lineno or 0)
                for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename == file and not frame.name.endswith("comp>")
            ]
            break
        log.append(("waits", "yield" if leaf is YIELD else leaf.value))
        answer = answers[number] if number < len(answers) else None
        if answer == "close":
            try:
                coro.close()
                log.append("closed")
            except BaseException as error:
                outcome.error = (type(error).__name__, str(error))
                outcome.ignored = "ignored GeneratorExit" in f"{error} {error.__context__}"
            break
        if answer is None:
            step, given = coro.send, None if leaf is YIELD else leaf.value
        else:
            step, given = coro.throw, answer
    # As it is now: a coroutine that was not closed is ended when it is let go of.
    outcome.log = list(log)
    return outcome


def fresh(answers: Sequence[Any]) -> list[Any]:
    """New errors for each run: a traceback is kept at them."""
    return [type(a)(*a.args) if isinstance(a, BaseException) else a for a in answers]


IGNORED = ("RuntimeError", "coroutine ignored GeneratorExit")


class Program:
    """One program, loaded as plain coroutines, to be called unboxed, and for a pool. All three
    see the same runs, so that what a run leaves in its module is the same, too."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._load()

    def _load(self) -> None:
        self.plain = module(self.text, plainly)
        self.called = module(self.text, unboxed)
        self.pooled = module(self.text, unboxed)
        self.frames = pool(self.pooled["main"])

    def run(
        self, answers: Sequence[Any] = (), args: tuple[Any, ...] = ()
    ) -> tuple[Outcome, Outcome, Outcome]:
        """What it does plain, called, and in a frame that has served the runs before."""
        found = []
        for space, start in (
            (self.plain, self.plain["main"]),
            (self.called, self.called["main"]),
            (self.pooled, self.frames.begin),
        ):
            log = space["logged"]
            outcome = drive(start(*args), fresh(answers), log, space["file"])
            log.clear()
            found.append(outcome)
        plain, called, pooled = found
        return plain, called, pooled

    def same(self, answers: Sequence[Any] = (), args: tuple[Any, ...] = ()) -> Outcome:
        """Check that both forms do what the plain coroutine does; what that was."""
        expected, *others = self.run(answers, args)
        for name, outcome in zip(("called", "in a frame"), others, strict=True):
            said = f"{name}, answered {list(answers)}:\n{self.text}"
            if IGNORED in (expected.error, outcome.error) or expected.ignored:
                # An error of the program: it waits on when it is closed. Plain coroutines raise
                # that in each caller in turn, a frame for all of them to whoever closes it.
                assert outcome.error == IGNORED, said
                assert outcome.log == expected.log[: len(outcome.log)], said
                expected.ignored = True
                continue
            assert outcome == expected, said
            # Every level that plain coroutines show (CPython loses some on its way through them).
            rest = iter(outcome.levels or [])
            assert all(level in rest for level in expected.levels or []), (
                f"{name}: {outcome.levels}, and plain: {expected.levels}\n{self.text}"
            )
        if expected.ignored:
            self._load()
        return expected


def same(text: str, answers: Sequence[Any] = (), args: tuple[Any, ...] = ()) -> Outcome:
    """Check one run of one program."""
    return Program(text).same(answers, args)
