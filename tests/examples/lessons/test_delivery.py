"""Both ways of bringing a result to its task leave the same trace for the same program."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from examples.lessons.delivery import Cancelled, EventCarriesValue, PollAfterWake, Wait
from tests.covered import covered, require

NAME = "poll after wake equals events that carry values"
PLACES = 4

# Each program waits for sets of places that nobody else waits for: two tasks parked on one
# place are not what this is about.
waits = st.lists(st.sets(st.integers(0, 1), min_size=1), max_size=4)
events = st.lists(
    st.tuples(st.sampled_from(["event", "event", "event", "cancel", "run"]), st.integers(0, 3)),
    max_size=20,
)


def trace(
    kind: type[PollAfterWake] | type[EventCarriesValue],
    programs: list[list[set[int]]],
    history: list[tuple[str, int]],
    stubborn: bool,
) -> list[object]:
    log: list[object] = []
    runner = kind(PLACES)

    async def program(name: int, sets: list[set[int]]) -> None:
        for places in sets:
            try:
                log.append((name, *await Wait(*sorted(2 * name + place for place in places))))
            except Cancelled:
                log.append((name, "cancelled"))
                if not stubborn:
                    raise

    tasks = [runner.spawn(program(name, sets)) for name, sets in enumerate(programs)]
    full: set[int] = set()
    for number, (what, n) in enumerate(history):
        if what == "run":
            runner.run()
            full.clear()
        elif what == "cancel":
            log.append(("cancel", n % len(tasks)))
            runner.cancel(tasks[n % len(tasks)])
        elif n not in full:
            # A place holds one value: the next comes when the tasks have had their turn.
            full.add(n)
            runner.event(n, number)
    runner.run()
    log.append([task.over for task in tasks])
    for task in tasks:
        task.coro.close()
    return log


@settings(max_examples=max(100, settings().max_examples))
@given(st.lists(waits, min_size=1, max_size=2), events, st.booleans())
def run_both(
    programs: list[list[set[int]]], history: list[tuple[str, int]], stubborn: bool
) -> None:
    first = trace(PollAfterWake, programs, history, stubborn)
    assert trace(EventCarriesValue, programs, history, stubborn) == first
    covered(
        NAME,
        programs=1,
        values=sum(isinstance(entry, tuple) and len(entry) == 3 for entry in first),
        cancels=sum(isinstance(entry, tuple) and entry[0] == "cancel" for entry in first),
        cancelled=sum(isinstance(entry, tuple) and entry[1] == "cancelled" for entry in first),
        selects=sum(len(places) == 2 for sets in programs for places in sets),
    )


def test_the_two_protocols_of_delivery_leave_the_same_trace() -> None:
    run_both()
    require(covered(NAME), "values", "cancels", "cancelled", "selects")
