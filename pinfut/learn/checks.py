"""How the check of a lesson is written: by hand, in every order, or under many seeds.

@every_order(timers=True, says={LostWakeup: "Nobody kept the waker."})
async def the_bell_is_heard(lesson):
    "in every order of the tasks"
    ...

A check is called with the learner's module, made anew for each run. An assertion's message is the
sentence that the learner reads; `says` has one for each type of error, the first that fits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Says = Mapping[type[BaseException], str]
How = Literal["by hand", "orders", "seeds"]


@dataclass(frozen=True)
class Check:
    """One check, and what bounds it."""

    function: Callable[..., Any]
    how: How
    says: Says = field(default_factory=dict)
    limit: int = 1
    """Runs at most: orders, or seeds."""
    steps: int = 300
    """Steps of one run at most."""
    cancels: int = 0
    victims: tuple[str, ...] | None = None
    timers: bool = False
    exhaustive: bool = True
    """Whether an answer has to keep all its orders within the limit."""

    @property
    def name(self) -> str:
        """What a wrong answer calls it."""
        return self.function.__name__

    @property
    def title(self) -> str:
        """What the learner reads: the docstring, or else the name in words."""
        return inspect.getdoc(self.function) or self.name.replace("_", " ")

    def sentence(self, error: BaseException) -> str | None:
        """What it says of `error`; None when it has no sentence for it."""
        found = (said for kind, said in self.says.items() if isinstance(error, kind))
        return next(found, None)


def by_hand(function: Callable[[Any], object] | None = None, *, says: Says | None = None) -> Any:
    """A check that is called once: ``@by_hand`` or ``@by_hand(says={...})``."""

    def make(function: Callable[[Any], object]) -> Check:
        return Check(function, "by hand", says or {})

    return make if function is None else make(function)


def every_order(
    function: Callable[[Any], Any] | None = None,
    *,
    says: Says | None = None,
    limit: int = 1_000,
    steps: int = 300,
    cancels: int = 0,
    victims: tuple[str, ...] | None = None,
    timers: bool = False,
    exhaustive: bool = True,
) -> Any:
    """An async check that is run in every order of its tasks, as `explore` does, whose options
    these are. `exhaustive`: an answer with more orders than `limit` is refused."""

    def make(function: Callable[[Any], Any]) -> Check:
        return Check(
            function, "orders", says or {}, limit, steps, cancels, victims, timers, exhaustive
        )

    return make if function is None else make(function)


def seeds(count: int, *, says: Says | None = None, steps: int = 20_000) -> Any:
    """An async check that is run under `count` seeds: it is called with the module and the seed."""

    def make(function: Callable[[Any, int], Any]) -> Check:
        return Check(function, "seeds", says or {}, count, steps)

    return make


def checks_of(names: Mapping[str, object]) -> list[Check]:
    """The checks that a module has defined, in their order."""
    return [value for value in names.values() if isinstance(value, Check)]
