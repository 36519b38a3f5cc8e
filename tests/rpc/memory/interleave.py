"""Runs small programs in every order in which their steps on shared memory can fall.

Each program is a function in a thread of its own. Only one of them runs at a time: it
stops before each access to memory that is `Watched`, and goes on when the schedule says
so. So a run is as deterministic as its list of choices, and `explore` tries all lists.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Stuck(AssertionError):
    """Nobody can go on, and not everybody has ended: a wake-up was lost."""


class _Abandoned(BaseException):
    """Ends the programs of a run that is given up."""


class Run:
    """One run of some programs under one list of choices."""

    def __init__(self, choices: list[int]) -> None:
        self._choices = choices
        self.options: list[int] = []
        self._turn = threading.Condition()
        self._current: int | None = None
        self._waits: dict[int, Callable[[], bool]] = {}
        self._ended: set[int] = set()
        self._errors: list[BaseException] = []
        self._abandoned = False
        self._ids: dict[int, int] = {}

    def step(self) -> None:
        """Called by a program before each access: somebody else may go first."""
        self.until(lambda: True)

    def until(self, ready: Callable[[], bool]) -> None:
        """Called by a program that can go on only when `ready` says so."""
        me = self._ids.get(threading.get_ident())
        if me is None:
            return  # set-up, outside of the programs
        with self._turn:
            self._waits[me] = ready
            self._current = None
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._current == me or self._abandoned)
            if self._abandoned:
                raise _Abandoned
            del self._waits[me]

    def run(self, programs: list[Callable[[], None]]) -> None:
        threads = [
            threading.Thread(target=self._program, args=(i, one), daemon=True)
            for i, one in enumerate(programs)
        ]
        for thread in threads:
            thread.start()
        everybody = set(range(len(programs)))
        try:
            while True:
                with self._turn:
                    self._turn.wait_for(
                        lambda: (
                            self._current is None and self._ended | set(self._waits) == everybody
                        )
                    )
                    if self._errors:
                        raise self._errors[0]
                    if self._ended == everybody:
                        return
                    able = [i for i in sorted(self._waits) if self._waits[i]()]
                    if not able:
                        raise Stuck(f"{sorted(self._waits)} wait forever: {self._choices}")
                    at = len(self.options)
                    choice = self._choices[at] if at < len(self._choices) else 0
                    self.options.append(len(able))
                    self._current = able[choice]
                    self._turn.notify_all()
        finally:
            with self._turn:
                self._abandoned = True
                self._turn.notify_all()
            for thread in threads:
                thread.join()

    def _program(self, me: int, program: Callable[[], None]) -> None:
        self._ids[threading.get_ident()] = me
        try:
            self.step()
            program()
        except _Abandoned:
            pass
        except BaseException as error:
            self._errors.append(error)
        finally:
            with self._turn:
                self._ended.add(me)
                if self._current == me:
                    self._current = None
                self._turn.notify_all()


def explore(setup: Callable[[Run], list[Callable[[], None]]]) -> int:
    """Run what `setup` makes in every order; how many there were."""
    choices: list[int] = []
    runs = 0
    while True:
        run = Run(choices)
        run.run(setup(run))
        runs += 1
        # The next list of choices in lexical order.
        taken = choices + [0] * (len(run.options) - len(choices))
        while taken and taken[-1] + 1 >= run.options[len(taken) - 1]:
            taken.pop()
        if not taken:
            return runs
        taken[-1] += 1
        choices = taken


class Watched:
    """A memoryview that calls `before` in front of each access to one of its items."""

    def __init__(self, view: memoryview, before: Callable[[], None], words: bool = False) -> None:
        self._view = view
        self._before = before
        self._words = words

    def __len__(self) -> int:
        return len(self._view)

    def cast(self, kind: str) -> Watched:
        # The shared words are what the two sides talk through; the bodies are private until
        # a word says otherwise, so their accesses need not be told apart.
        return Watched(self._view.cast(kind), self._before, kind == "Q")  # type: ignore[call-overload]

    def tobytes(self) -> bytes:
        return self._view.tobytes()

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return Watched(self._view[key], self._before, self._words)
        if self._words:
            self._before()
        return self._view[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._words:
            self._before()
        self._view[key] = value
