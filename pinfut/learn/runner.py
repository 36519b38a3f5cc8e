"""runner: a learner's program, run or checked in this process; a job in, a result out.

Both are JSON values. The two hosts, a child process with limits (`child.py`) and a worker of a
browser, add nothing to it.

    {"do": "run", "code": ..., "strict": false, "beside": false}
        → {"kind": "run", "traces": [...]}
    {"do": "check", "code": ..., "check": ...}
        → {"kind": "check", "checks": [...], "total": 4, "solved": false, "traces": [...]}
    either → {"kind": "broken", "error": {...}}   the program cannot be loaded

A check is told as ``{"name", "title", "how", "ok", "orders", "note"}``, and one that fails also has
what ``error`` says: ``said`` (the sentence), ``detail``, ``law`` and ``line`` of the program.
"""

from __future__ import annotations

import io
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import redirect_stdout
from functools import partial
from types import CodeType, ModuleType
from typing import Any, Final

from pinfut import checked
from pinfut.executor import Instrument, Recorder, TooManySteps, VirtualClock, run
from pinfut.executor.testing import Exploration, InterleavingError, explore, replay
from pinfut.learn.beside import run_beside
from pinfut.learn.checks import Check, checks_of
from pinfut.learn.explorer import record
from pinfut.learn.notes import TRIPS, noting
from pinfut.learn.orders import Orders

PROGRAM: Final = "lesson.py"
CHECK: Final = "check.py"

SHOWN_STEPS: Final = 2_000
"""Steps of a run that is shown."""

SHOWN_EVENTS: Final = 5_000
"""Events of it, the last ones."""

RESTLESS_STEPS: Final = 60
"""Steps that are shown of a run that never comes to rest: all are alike."""

RESTLESS: Final = (
    "It never comes to rest: somebody wakes itself again and again, and no time passes. That is a "
    "busy loop. Call the waker when something has happened, not in poll."
)

POLLED_BY_HAND: Final = " (the check that fails polls by hand, and has no picture)"

Job = dict[str, Any]
Result = dict[str, Any]


class Program:
    """A program that is made anew for each run, so that no run sees what another has left."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        # What tracebacks and `@unboxed` read of it.
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        self._code: CodeType = compile(text, name, "exec")

    def load(self) -> ModuleType:
        """The program as a module. Raises what it raises."""
        module = ModuleType(self.name.removesuffix(".py"))
        module.__file__ = self.name
        # Annotations of an interface are looked up there.
        sys.modules[module.__name__] = module
        exec(self._code, module.__dict__)
        return module


def runner(job: Job) -> Result:
    """The result of a job. Raises only what ends the process: learners' errors are results."""
    checked.patience = float("inf")  # time is simulated, and the machine may be slow
    try:
        program = Program(PROGRAM, job["code"])
        program.load()
    except SyntaxError as error:
        said = f"Python cannot read this: {error.msg}."
        return {"kind": "broken", "error": _sentence(said, error.lineno)}
    except MemoryError:
        raise
    except Exception as error:
        return {"kind": "broken", "error": _told(error, None)}
    if job["do"] == "run":
        return _run(program, job)
    try:
        checks = checks_of(vars(Program(CHECK, job["check"]).load()))
    except Exception as error:
        said = f"The check of this lesson cannot be loaded: {type(error).__name__}: {error}"
        return {"kind": "broken", "error": _sentence(said)}
    return _check(program, checks)


def _run(program: Program, job: Job) -> Result:
    if not hasattr(program.load(), "main"):
        said = "There is no main to run: define `async def main()`."
        return {"kind": "broken", "error": _sentence(said)}
    traces = [_show_program(program, bool(job["strict"]))]
    if job.get("beside"):
        traces.append(run_beside(program.load, {PROGRAM: program.text}))
    return {"kind": "run", "traces": traces}


def _fails(check: Check) -> str:
    return f"The run that fails: {check.title} (its main is the checker's)"


def _show_program(program: Program, strict: bool, more: str = "") -> Any:
    """The trace of a run of the program's own `main`."""
    return _show(f"Your program{more}", program, lambda: program.load().main(), strict)


def _show(
    title: str,
    source: Program,
    main: Callable[[], Coroutine[Any, Any, object]],
    strict: bool,
    *,
    steps: int = SHOWN_STEPS,
    seed: int | None = None,
) -> Any:
    """The trace of a run of `main`, whatever becomes of it."""

    def go(recorder: Instrument) -> object:
        return run(
            main(),
            clock=VirtualClock(),
            checked=strict,
            instruments=[recorder],
            steps=steps,
            seed=seed,
        )

    return _recorded(go, title, source, seed=seed)


def _recorded(go: Callable[[Recorder], object], title: str, source: Program, **how: Any) -> Any:
    def noted(recorder: Recorder) -> object:
        with noting(recorder):
            return go(recorder)

    trace = record(noted, sources={PROGRAM: source.text}, title=title, limit=SHOWN_EVENTS, **how)
    return {"header": trace.header, "events": trace.events}


def _check(program: Program, checks: Sequence[Check]) -> Result:
    told: list[dict[str, Any]] = []
    traces: list[Any] = []
    for one in checks:
        result, show = _one(one, program)
        told.append(result)
        if not result["ok"]:
            if show is not None:
                traces.append(show())
            elif hasattr(program.load(), "main"):
                traces.append(_show_program(program, False, POLLED_BY_HAND))
            break
    solved = len(told) == len(checks) and all(one["ok"] for one in told)
    if solved and hasattr(program.load(), "main"):
        traces.append(_show_program(program, True))
    return {
        "kind": "check",
        "checks": told,
        "total": len(checks),
        "solved": solved,
        "traces": traces,
    }


Show = Callable[[], Any] | None
"""Makes the trace of what failed."""


def _one(check: Check, program: Program) -> tuple[dict[str, Any], Show]:
    """What came of a check, and how to show it when it failed. What it prints goes nowhere."""
    with redirect_stdout(_Nowhere()):
        return _judge(check, program)


class _Nowhere(io.TextIOBase):
    def write(self, text: str, /) -> int:
        return len(text)


def _judge(check: Check, program: Program) -> tuple[dict[str, Any], Show]:
    told = {"name": check.name, "title": check.title, "how": check.how, "ok": True, "orders": 0}
    if check.how == "by hand":
        try:
            check.function(program.load())
        except Exception as error:
            return {**told, "ok": False, "note": "", "error": _told(error, check)}, None
        return {**told, "note": "polled by hand"}, None
    if check.how == "seeds":
        return _seeds(check, program, told)
    return _orders(check, program, told)


def _orders(check: Check, program: Program, told: dict[str, Any]) -> tuple[dict[str, Any], Show]:
    def main() -> Any:
        return check.function(program.load())

    def explored(limit: int) -> Exploration:
        return explore(
            main,
            limit=limit,
            steps=check.steps,
            cancels=check.cancels,
            victims=check.victims,
            timers=check.timers,
        )

    def restless() -> tuple[dict[str, Any], Show]:
        failed = {**told, "ok": False, "note": "", "error": _sentence(RESTLESS)}
        return failed, lambda: _show(_fails(check), program, main, False, steps=RESTLESS_STEPS)

    try:
        # One that never rests would be cut in every order: look at the first alone.
        if explored(1).cut:
            return restless()
        found = explored(check.limit)
    except InterleavingError as error:
        choices = error.choices
        number = str(error).split(maxsplit=2)[1]
        note = f"order {number} of its tasks fails"
        failed = {**told, "ok": False, "note": note, "error": _told(error.__cause__, check)}

        def go(recorder: Instrument) -> None:
            replay(
                main,
                choices,
                cancels=check.cancels,
                victims=check.victims,
                timers=check.timers,
                instruments=[recorder],
            )

        return failed, lambda: _recorded(go, _fails(check), program, choices=choices)
    except Exception as error:
        return {**told, "ok": False, "note": "", "error": _told(error, check)}, None
    if found.cut:
        return restless()
    told["orders"] = found.runs
    told["exhaustive"] = found.exhaustive
    all_there_are = "all there are" if found.exhaustive else "not all there are"
    told["note"] = f"{found.runs:,} orders tried, {all_there_are}"
    if check.exhaustive and not found.exhaustive:
        said = (
            f"It runs in more orders than the {check.limit:,} that were tried: it waits more often "
            "than it needs to. None of these failed, and that proves nothing about the rest."
        )
        return {**told, "ok": False, "error": _sentence(said)}, None
    return told, None


def _seeds(check: Check, program: Program, told: dict[str, Any]) -> tuple[dict[str, Any], Show]:
    orders = Orders()
    for seed in range(check.limit):
        main = partial(_seeded, check, program, seed)
        show = partial(_show, _fails(check), program, main, True, seed=seed)
        failed = {**told, "ok": False, "note": f"seed {seed} of {check.limit} fails"}
        try:
            with orders as order:
                run(main(), seed=seed, checked=True, steps=check.steps, instruments=[order, TRIPS])
        except TooManySteps:
            return {**failed, "error": _sentence(RESTLESS)}, partial(show, steps=RESTLESS_STEPS)
        except Exception as error:
            return {**failed, "error": _told(error, check)}, show
    told["orders"] = orders.distinct
    told["note"] = f"{check.limit} seeds, {orders.distinct} different orders"
    return told, None


def _seeded(check: Check, program: Program, seed: int) -> Any:
    return check.function(program.load(), seed)


def _sentence(said: str, line: int | None = None) -> dict[str, Any]:
    """An error that is told in a sentence, and has nothing behind it."""
    return {"said": said, "detail": "", "law": None, "line": line}


def _unwrapped(error: BaseException) -> BaseException:
    """Of a group the error that says most: a broken law, or else the first."""
    while isinstance(error, BaseExceptionGroup):
        broken = (one for one in error.exceptions if getattr(one, "law", 0))
        error = next(broken, error.exceptions[0])
    return error


def _told(raised: BaseException | None, check: Check | None) -> dict[str, Any]:
    """An error as the learner reads it."""
    error = _unwrapped(raised) if raised is not None else RuntimeError("an unknown error")
    text, kind = str(error), type(error).__name__
    law = getattr(error, "law", None) or None
    said = None if check is None else check.sentence(error)
    detail = ""
    if said is not None or law:
        detail = f"{kind}: {text}"
        said = said or f"Law {law} is broken."
    elif isinstance(error, AssertionError) and check is not None:
        said = text or "This does not hold."
    else:
        said = f"{kind}: {text}" if text else f"{kind} is raised."
    return {"said": said, "detail": detail, "law": law, "line": _line(error)}


def _line(error: BaseException) -> int | None:
    """The line of the program where it was raised, or that it speaks of."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == PROGRAM]
    if lines:
        return lines[-1]
    named = re.search(rf"{re.escape(PROGRAM)}:(\d+)", str(error))
    return None if named is None else int(named[1])
