"""fold: the events of a trace up to one of them as the state at that moment.

`fold.js` beside it does the same, for the explorer. docs/trace.md has the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from pinfut.learn.explorer.trace import Trace

State: TypeAlias = dict[str, Any]
Event: TypeAlias = Mapping[str, Any]

MOST_OUT: Final = 4_000
"""Characters of what was printed that a state holds: the last ones."""


def fold(trace: Trace, i: int) -> State:
    """The state after the first `i` events. Raises IndexError where there are not so many."""
    if not 0 <= i <= len(trace.events):
        raise IndexError(f"the trace has events 0 to {len(trace.events)}, not {i}")
    state = start(trace.header.get("tasks", {}))
    apply_all(state, trace.events[:i])
    return state


def start(tasks: Mapping[str, str]) -> State:
    """The state before the first event, with tasks that live already."""
    state: State = {
        "t": 0.0,
        "turn": 0,
        "at": None,
        "running": 0,
        "ready": [],
        "tasks": {},
        "futs": {},
        "over": [],
        "polling": [],
        "timers": {},
        "io": {},
        "slots": {},
        "serving": {},
        "banks": {},
        "out": "",
        "law": None,
    }
    for number, name in tasks.items():
        _task(state, int(number))["n"] = name
    return state


def apply_all(state: State, events: Iterable[Event]) -> None:
    """Apply events to a state, in their order."""
    for event in events:
        apply(state, event)


def apply(state: State, event: Event) -> None:
    """Apply one event to a state. What is unknown changes nothing but the time."""
    state["t"] = event["t"]
    change = _CHANGES.get(event["k"])
    if change is not None:
        change(state, event)


def _task(state: State, number: int) -> dict[str, Any]:
    """A task; one that was made before the first event is parked, as far as is known."""
    tasks: dict[str, Any] = state["tasks"]
    key = str(number)
    if key not in tasks:
        tasks[key] = {
            "n": "task",
            "st": "parked",
            "p": 0,
            "at": None,
            "tr": None,
            "since": None,
            "polls": 0,
            "steps": 0,
            "wakes": 0,
            "merged": 0,
            "own": 0,
            "how": None,
            "v": None,
        }
    task: dict[str, Any] = tasks[key]
    return task


def _future(state: State, event: Event) -> dict[str, Any]:
    futs: dict[str, Any] = state["futs"]
    key = str(event["f"])
    if key not in futs:
        futs[key] = {"n": event.get("n", "future"), "polls": 0, "last": None, "v": None}
    future: dict[str, Any] = futs[key]
    if "n" in event:
        future["n"] = event["n"]
    return future


def _place(state: State, event: Event) -> dict[str, Any]:
    """The task of an event, which is at the place of the event from here on."""
    task = _task(state, event["a"])
    task["at"] = event.get("at")
    return task


def _run(state: State, event: Event) -> dict[str, Any]:
    """The step of a task goes on, or begins."""
    task = _place(state, event)
    number = event["a"]
    if state["running"] != number:
        state["running"] = number
        if number in state["ready"]:
            state["ready"].remove(number)
        task["st"] = "running"
        task["steps"] += 1
    state["polling"] = []
    state["at"] = event.get("at")
    return task


def _rest(state: State) -> None:
    """No step is under way any more."""
    state["running"] = 0
    state["at"] = None
    state["polling"] = []
    # What has ended is of no interest any more, and there may be any number of it.
    for number in state["over"]:
        state["futs"].pop(str(number), None)
    state["over"] = []


def _spawn(state: State, event: Event) -> None:
    task = _place(state, event)
    task["n"] = event["n"]
    task["st"] = "ready"
    task["p"] = event.get("b", 0)
    state["ready"].append(event["a"])
    if "call" in event:
        session, x = event["call"]
        calls = state["serving"].setdefault(session, {})
        charged = calls.get(str(x), {}).get("z")
        calls[str(x)] = {"m": event["n"], "a": event["a"], "z": charged}


def _turn(state: State, event: Event) -> None:
    state["turn"] += 1
    _rest(state)


def _resume(state: State, event: Event) -> None:
    _run(state, event)


def _line(state: State, event: Event) -> None:
    state["at"] = event.get("at")
    if "a" in event:
        _place(state, event)


def _poll(state: State, event: Event) -> None:
    _run(state, event)["polls"] += 1
    _future(state, event)["polls"] += 1
    state["polling"].append(event["f"])


def _sub(state: State, event: Event) -> None:
    _future(state, event)["polls"] += 1
    state["polling"].append(event["f"])


def _got(state: State, event: Event) -> None:
    future = _future(state, event)
    future["last"] = event["r"]
    future["v"] = event.get("v")
    if event["r"] != "pending":
        state["over"].append(event["f"])
    if state["polling"]:
        state["polling"].pop()


def _park(state: State, event: Event) -> None:
    task = _place(state, event)
    task["tr"] = event["tr"]
    task["since"] = event["t"]
    # Woken in the middle of its step, it stands in the queue already.
    task["st"] = "ready" if event["a"] in state["ready"] else "parked"
    _rest(state)


def _yield(state: State, event: Event) -> None:
    task = _place(state, event)
    task["st"] = "ready"
    task["tr"] = None
    if event["a"] not in state["ready"]:
        state["ready"].append(event["a"])
    _rest(state)


def _finish(state: State, event: Event) -> None:
    task = _place(state, event)
    task["st"] = "done"
    task["tr"] = None
    task["how"] = event["how"]
    task["v"] = event.get("v")
    if event["a"] in state["ready"]:
        state["ready"].remove(event["a"])
    if state["running"] == event["a"]:
        _rest(state)


def _wake(state: State, event: Event) -> None:
    task = _task(state, event["a"])
    task["wakes"] += 1
    if event.get("b") == event["a"]:
        task["own"] += 1
    if event.get("m"):
        task["merged"] += 1
        return
    if event["a"] not in state["ready"]:
        state["ready"].append(event["a"])
    if task["st"] == "parked":
        task["st"] = "ready"


def _timer(state: State, event: Event) -> None:
    if event["s"] == "set":
        state["timers"][str(event["x"])] = {"d": event.get("d"), "a": event.get("a", 0)}
    else:
        state["timers"].pop(str(event["x"]), None)


def _io(state: State, event: Event) -> None:
    key = f"{event['fd']} {event['e']}"
    if event["s"] == "set":
        state["io"][key] = event.get("a", 0)
    else:
        state["io"].pop(key, None)


def _session(state: State, event: Event) -> Any:
    session = state["slots"].setdefault(event["n"], {"N": 0, "c": {}, "pays": None})
    session["N"] = event.get("N", session["N"])
    session["pays"] = event.get("pays", session["pays"])
    return session


def _slot(state: State, event: Event) -> None:
    session = _session(state, event)
    slots = session["N"]
    key = str(event["x"] % slots if slots else event["x"])
    before = session["c"].get(key, {})
    same = before.get("x") == event["x"]
    session["c"][key] = {
        "x": event["x"],
        "s": "free" if event["s"] == "taken" else event["s"],
        "m": event.get("m", before.get("m") if same else None),
        "on": event.get("on", before.get("on") if same else None),
        "z": event.get("z", before.get("z") if same else None),
    }
    if event["s"] in ("returned", "taken"):
        state["serving"].get(event["n"], {}).pop(str(event["x"]), None)


def _serve(state: State, event: Event) -> None:
    calls = state["serving"].setdefault(event["n"], {})
    calls[str(event["x"])] = {"m": event.get("m"), "a": 0, "z": event.get("z")}


def _bank(state: State, event: Event) -> None:
    bank = state["banks"].setdefault(event["n"], {"p": None, "c": None, "L": None, "spent": {}})
    for key in ("p", "c", "L"):
        bank[key] = event.get(key, bank[key])
    why = event.get("why", "")
    bank["spent"][why] = bank["spent"].get(why, 0) + event["dp"]


def _out(state: State, event: Event) -> None:
    state["out"] = (state["out"] + event["v"])[-MOST_OUT:]


def _law(state: State, event: Event) -> None:
    if state["law"] is None:
        state["law"] = dict(event)


_CHANGES: Final = {
    "spawn": _spawn,
    "turn": _turn,
    "resume": _resume,
    "line": _line,
    "poll": _poll,
    "sub": _sub,
    "got": _got,
    "park": _park,
    "yield": _yield,
    "finish": _finish,
    "wake": _wake,
    "timer": _timer,
    "io": _io,
    "session": _session,
    "slot": _slot,
    "serve": _serve,
    "bank": _bank,
    "out": _out,
    "law": _law,
}
