"""states: every state that a small machine of real objects can get into.

A machine holds the objects and says which operations are possible now. A state stands in
shared memory, wakers and threads, so it is not copied: it is known by the shortest sequence
of operations that leads to it, and made again by these. Two states are one when their forms
are equal; what only counts up forever (ids, positions in a ring) stands in a form relative
to the rest, and so a machine that runs forever has finitely many states.

The search is breadth first, so the history of a failure is one of the shortest. When all
states are known, those from which no operations lead to a state at rest fail as well:
whatever happened, there has to be a way out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tests.covered import covered, require

REST = "at rest"
"""The kind of the states that every state has to lead to."""

Operation = tuple[Any, ...]


class Machine(Protocol):
    """Some objects under exploration; made anew for each history."""

    def operations(self) -> Sequence[Operation]:
        """What may happen now; the same in the same state."""

    def apply(self, operation: Operation, /) -> None:
        """Let it happen, and check what it gives."""

    def check(self) -> None:
        """Check all that has to hold in this state."""

    def form(self) -> Hashable:
        """What tells this state from others."""

    def kinds(self) -> Iterable[str]:
        """What is remarkable in this state, or in how it was reached just now."""


@runtime_checkable
class Saves(Machine, Protocol):
    """A machine whose state can be copied: it need not be made again."""

    def save(self) -> object:
        """All that there is, whatever comes after."""

    def load(self, saved: Any, /) -> None:
        """Be as it was then."""


class Explored(NamedTuple):
    """All that there is."""

    states: int
    transitions: int
    depth: int
    """Operations of the longest history that leads to a new state."""
    kinds: Counter[str]
    """How often a state of each kind was reached, by any operation."""


class Fault(AssertionError):
    """A history that breaks what has to hold; one of the shortest."""

    def __init__(self, history: Sequence[Operation], what: object) -> None:
        steps = "\n".join(f"  {' '.join(map(str, one))}" for one in history)
        super().__init__(f"after {len(history)} operations: {what}\n{steps}")
        self.history = list(history)


class TooMany(RuntimeError):
    """There are more states than were thought possible: the form tells too many apart."""


class _Known(NamedTuple):
    number: int
    parent: int
    operation: Operation


def explore(make: Callable[[], Machine], *, at_most: int = 100_000) -> Explored:
    """Visit every state. Raises Fault for a history that fails, or that leads to a state
    without a way to rest, and TooMany."""
    known: dict[Hashable, int] = {}
    found: list[_Known] = []
    depths: list[int] = []
    edges: list[list[int]] = []
    resting: list[int] = []
    kinds: Counter[str] = Counter()
    transitions = 0
    waiting: deque[tuple[int, Machine, object]] = deque()

    def enter(machine: Machine, parent: int, operation: Operation) -> int:
        machine.check()
        form = machine.form()
        here = set(machine.kinds())
        kinds.update(here)
        number = known.get(form)
        if number is None:
            number = known[form] = len(found)
            if number >= at_most:
                raise TooMany(f"more than {at_most} states, such as {form}")
            found.append(_Known(number, parent, operation))
            depths.append(0 if parent < 0 else depths[parent] + 1)
            edges.append([])
            if REST in here:
                resting.append(number)
            waiting.append(
                (number, machine, machine.save() if isinstance(machine, Saves) else None)
            )
        if parent >= 0:
            edges[number].append(parent)
        return number

    def history(number: int) -> list[Operation]:
        steps = []
        while number > 0:
            steps.append(found[number].operation)
            number = found[number].parent
        return steps[::-1]

    enter(make(), -1, ())
    while waiting:
        number, machine, saved = waiting.popleft()
        steps = history(number)
        # A machine that cannot be saved is in its state still if there was no need to go on
        # from there: the first operation is its own, and for the others it is made again.
        for count, operation in enumerate(operations := _load(machine, saved).operations()):
            if saved is not None:
                _load(machine, saved)
            elif count:
                machine = make()
                for step in steps:
                    machine.apply(step)
            try:
                machine.apply(operation)
                enter(machine, number, operation)
            except TooMany:
                raise
            except Exception as error:
                raise Fault([*steps, operation], f"{type(error).__name__}: {error}") from error
        transitions += len(operations)
    _all_come_to_rest(len(found), edges, resting, history)
    return Explored(len(found), transitions, max(depths), kinds)


def _load(machine: Machine, saved: object) -> Machine:
    if saved is not None:
        assert isinstance(machine, Saves)
        machine.load(saved)
    return machine


def _all_come_to_rest(
    count: int,
    edges: list[list[int]],
    resting: list[int],
    history: Callable[[int], list[Operation]],
) -> None:
    calm = set(resting)
    left = list(calm)
    while left:
        for before in edges[left.pop()]:
            if before not in calm:
                calm.add(before)
                left.append(before)
    # The first that were found have the shortest histories.
    for number in range(count):
        if number not in calm:
            raise Fault(history(number), "no operations lead to rest from here")


def report(name: str, explored: Explored, *needed: str) -> None:
    """Print the numbers with those of the other properties; fail when a kind of state that
    has to be reached was not."""
    kinds = {kind.replace(" ", "_"): count for kind, count in explored.kinds.items()}
    counts = covered(
        name, states=explored.states, transitions=explored.transitions, depth=explored.depth
    )
    require({**counts, **kinds}, "states", *(kind.replace(" ", "_") for kind in needed))
