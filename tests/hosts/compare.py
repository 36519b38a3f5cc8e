"""Other people's tests of event loops, run on pinfut's loop and on asyncio's.

    python -m tests.hosts.compare test.test_asyncio.test_streams --pinfut    # one module, here

Each module runs in a process of its own, once with asyncio's loop in place, once with pinfut's.
What passes on asyncio's has to pass on pinfut's. Counted are the tests in which a loop of pinfut's
was made, and those that never began.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import os
import signal
import subprocess
import sys
import unittest
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pinfut.executor.hosts.asyncio_loop import EventLoop

ROOT = Path(__file__).resolve().parents[2]

# Seconds for one module: only so that a hang ends, and says where it stood.
LONGEST = 1_200


class LoopUnderTest(EventLoop):
    """Takes the selectors that those tests try, and does without."""

    # So that they know whose transports it has.
    __module__ = "asyncio.under_test"

    made = 0

    def __init__(self, selector: object = None) -> None:
        type(self).made += 1
        super().__init__()


class Outcomes(unittest.TestResult):
    """What became of each test, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, str] = {}
        self.details: dict[str, str] = {}
        # Those in which a loop under test was made.
        self.on_board: list[str] = []
        self._before = 0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._before = LoopUnderTest.made
        self.outcomes.setdefault(test.id(), "passed")

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if LoopUnderTest.made > self._before:
            self.on_board.append(test.id())

    def _bad(self, test: unittest.TestCase, error: Any) -> None:
        self.outcomes[test.id()] = "failed"
        self.details[test.id()] = self._exc_info_to_string(error, test)  # type: ignore[attr-defined]

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._bad(test, err)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._bad(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self._bad(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.outcomes[test.id()] = "skipped"


class Found(NamedTuple):
    """What one module came to in one process."""

    outcomes: dict[str, str]
    details: dict[str, str]
    on_board: list[str]


def put_in_place() -> None:
    """From here on `asyncio` makes loops of pinfut's."""
    loop: Any = LoopUnderTest
    for module in (asyncio, asyncio.unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            if hasattr(module, name):
                setattr(module, name, loop)
    policy: Any = asyncio.DefaultEventLoopPolicy
    policy._loop_factory = loop


def cases(suite: Iterable[Any]) -> Iterator[unittest.TestCase]:
    """The tests of a suite, but for those that say they are for another loop than asyncio's."""
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from cases(one)
        elif getattr(one, "implementation", "asyncio") == "asyncio":
            yield one


def run_here(module: str, pinfut: bool) -> None:
    """Run one module and print what it came to as JSON, as the last line."""
    # Whatever started this may have had them ignored, and some tests send them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    faulthandler.dump_traceback_later(LONGEST - 10, exit=True)
    if pinfut:
        put_in_place()
    found = Outcomes()
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    unittest.TestSuite(cases(suite)).run(found)
    print("\n" + json.dumps([found.outcomes, found.details, found.on_board]), flush=True)
    os._exit(0)  # what a test has left running may not hold the others up


def run_there(module: str, pinfut: bool, checked: bool, path: Path | None) -> Found:
    """Run one module in a process of its own. `path`: where it is, if not on the usual path."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(each) for each in (ROOT, path) if each),
        "PINFUT_CHECKED": str(int(checked)),
    }
    command = [sys.executable, "-m", "tests.hosts.compare", module, *["--pinfut"] * pinfut]
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=path or ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired as late:
        return Found({}, {module: f"took more than {LONGEST} s\n{late.stderr!r}"}, [])
    try:
        return Found(*json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return Found({}, {module: done.stderr[-3000:]}, [])


def compare(modules: Iterable[str], checked: bool = False, path: Path | None = None) -> int:
    """Run the modules on both loops, print what is lost, and give an exit status."""
    wanted = lost = 0
    skipped = [0, 0]
    for module in modules:
        ours = run_there(module, True, checked, path)
        theirs = run_there(module, False, False, path)
        good = {name for name, outcome in theirs.outcomes.items() if outcome == "passed"}
        # A test that needs no loop says nothing; one that never began is lost.
        counted = good & (set(ours.on_board) | (good - ours.outcomes.keys()))
        bad = {name for name in good if ours.outcomes.get(name) != "passed"}
        for name in sorted(bad):
            print(f"{name}: {ours.outcomes.get(name, 'not run')}\n{ours.details.get(name, '')}")
        for found in (ours, theirs):
            for name, detail in found.details.items():
                if name == module or "_FailedTest" in name:  # it could not be run, or imported
                    print(detail)
                    lost += 1
        counted |= bad
        lost += len(bad)
        wanted += len(counted)
        for index, found in enumerate((ours, theirs)):
            skipped[index] += list(found.outcomes.values()).count("skipped")
        print(f"{module.split('.')[-1]}: {len(counted - bad)} of {len(counted)}", flush=True)
    print(
        f"Python {sys.version.split()[0]}{', checked' * checked}: {wanted - lost} of {wanted} that "
        f"pass on asyncio's loop; skipped {skipped[0]}, and {skipped[1]} there"
    )
    return int(lost > 0 or not wanted)


def main() -> None:
    cli = argparse.ArgumentParser(prog="python -m tests.hosts.compare")
    cli.add_argument("module")
    cli.add_argument("--pinfut", action="store_true", help="on pinfut's loop")
    args = cli.parse_args()
    run_here(args.module, args.pinfut)


if __name__ == "__main__":
    # By its own name, or there would be two classes of loops.
    from tests.hosts import compare as here

    here.main()
