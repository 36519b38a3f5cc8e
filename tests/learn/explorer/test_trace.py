"""Traces: what is recorded, that it is the same each time, and what a file of one may be."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
import weakref
from collections import Counter
from math import inf
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pinfut import PENDING, FutureBase, join, yield_now
from pinfut.executor import (
    Executor,
    Instrument,
    Recorder,
    VirtualClock,
    current_task,
    run,
    sleep,
    spawn,
)
from pinfut.executor.testing import InterleavingError, explore, replay
from pinfut.executor.trace.texts import without_places
from pinfut.laws import ContextKept
from pinfut.learn.explorer import Trace, TraceError, fold, record, record_file, render
from pinfut.poll import Context, Poll
from pinfut.rpc import prices
from pinfut.rpc.objects.method import ANSWER
from tests.covered import covered, require
from tests.executor.test_two_loops import large, outcome
from tests.house.imports import ROOT
from tests.learn.explorer.traces import BELL, CALLS, PROGRAMS, corpus, random_trace, recorded

Events = list[dict[str, Any]]


def of(trace: Trace, kind: str, **fields: object) -> Events:
    """The events of a kind that have these fields."""
    return [
        event
        for event in trace.events
        if event["k"] == kind and all(event.get(key) == fields[key] for key in fields)
    ]


def line_of(program: str, text: str) -> int:
    return next(n for n, line in enumerate(program.splitlines(), 1) if text in line)


@pytest.fixture(autouse=True)
def no_hook_fails(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    told = [one.getMessage() for one in caplog.get_records("call")]
    failed = [one for one in told if " failed in " in one]
    assert not failed, "an error of the recorder was logged, and an event is missing"


# ---- the file ----


def test_a_trace_that_was_saved_is_read_back_as_it_was(tmp_path: Path) -> None:
    traces = corpus()
    kinds: Counter[str] = Counter()
    for trace in traces:
        trace.save(tmp_path / "t.json")
        assert Trace.load(tmp_path / "t.json") == trace
        kinds.update(event["k"] for event in trace.events)
    counts = covered("kinds of events", **kinds)
    kinds_on_the_page = re.findall(r"^\| `(\w+)` \| `", page("## The events"), re.MULTILINE)
    assert len(kinds_on_the_page) == 23
    # What is left takes the loop of a host.
    require(counts, *(set(kinds_on_the_page) - {"ran"}))
    assert kinds.keys() <= set(kinds_on_the_page)


def page(heading: str) -> str:
    text = (ROOT / "docs" / "trace.md").read_text("utf-8")
    return text.split(heading)[1].split("\n## ")[0]


def test_an_event_has_only_fields_that_the_page_names() -> None:
    fields = dict(re.findall(r"^\| `(\w+)` \| `([\w ]+)` \|", page("## The events"), re.MULTILINE))
    seen: Counter[str] = Counter()
    for trace in corpus():
        for event in trace.events:
            assert event.keys() - {"k", "t"} <= set(fields[event["k"]].split()), event
            seen.update(f"{event['k']} {key}" for key in event)
    counts = covered("fields of events", **{key.replace(" ", "_"): n for key, n in seen.items()})
    require(counts, "wake_m", "slot_on", "slot_N", "bank_p", "spawn_call", "spawn_pr", "got_v")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "this is no trace"),
        ("[]", "no JSON object"),
        ("{}", "this is no trace"),
        ("{", "line 1 is not JSON"),
        ('{"pinfut-trace":2}', "version 2"),
        ('{"pinfut-trace":1}\n{"t":0}', "no kind or no time"),
        ('{"pinfut-trace":1}\n{"k":"turn"}', "no kind or no time"),
        ('{"pinfut-trace":1}\n{"k":"turn","t":NaN}', "line 2 is not JSON"),
        ('{"pinfut-trace":1}\n' + "[" * 100_000, "line 2 is not JSON"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_what_is_no_trace_is_refused_with_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(TraceError, match=re.escape(why)):
        Trace.load(file)


def test_what_a_later_version_adds_is_kept() -> None:
    text = '{"pinfut-trace":1,"new":[1]}\n{"k":"turn","t":0,"c":1,"more":2}\n{"k":"later","t":1}\n'
    trace = Trace.loads(text)
    assert json.loads(trace.dumps().splitlines()[0])["new"] == [1]
    assert trace.events == [{"k": "turn", "t": 0, "c": 1, "more": 2}, {"k": "later", "t": 1}]


# ---- the same each time ----

AGAIN = """
import sys
from pinfut.learn.explorer import record_file
seed = int(sys.argv[2]) if len(sys.argv) > 2 else None
sys.stdout.write(record_file(sys.argv[1], seed=seed).dumps())
"""


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "pipes"])
@pytest.mark.parametrize("seed", [[], ["7"]])
def test_two_processes_write_the_same_bytes(tmp_path: Path, name: str, seed: list[str]) -> None:
    texts: list[str] = []
    for place in ("one", "another/folder"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        path = folder / f"{name}.py"
        path.write_text(PROGRAMS[name], "utf-8")
        done = subprocess.run(
            [sys.executable, "-c", AGAIN, path, *seed],
            env=os.environ | {"PYTHONHASHSEED": str(len(texts)), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,  # only so that a hang ends
        )
        texts.append(done.stdout)
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) > 20
    assert str(tmp_path) not in texts[0]
    assert not re.search(r"0x[0-9a-f]{4}", texts[0]), "an address"


def test_seeds_choose_the_order(tmp_path: Path) -> None:
    texts = {recorded("busy", tmp_path, seed=seed).dumps() for seed in range(8)}
    assert len(texts) == 8
    orders = {
        tuple(e["a"] for e in recorded("busy", tmp_path, seed=seed).events if e["k"] == "poll")
        for seed in range(8)
    }
    assert len(orders) > 1


def test_an_order_that_explore_found_is_recorded_as_it_is_replayed() -> None:
    def program() -> Any:
        total = [0]

        async def add() -> None:
            before = total[0]
            await yield_now()
            total[0] = before + 1

        async def main() -> None:
            tasks = [spawn(add(), name=f"add {i}") for i in range(2)]
            for task in tasks:
                await task
            assert total[0] == 2, "an update is lost"

        return main()

    with pytest.raises(InterleavingError) as found:
        explore(program)
    choices = found.value.choices
    traces = [
        record(
            lambda recorder: replay(program, choices, instruments=[recorder]),
            sources={},
            choices=choices,
        )
        for _ in range(2)
    ]
    assert traces[0].dumps() == traces[1].dumps()
    assert traces[0].header["choices"] == list(choices)
    assert traces[0].header["error"]["type"] == "AssertionError"
    assert len(of(traces[0], "spawn")) == 3


# ---- bounded ----


def test_the_last_events_are_kept_and_the_lost_ones_are_counted_exactly(tmp_path: Path) -> None:
    whole = recorded("busy", tmp_path)
    count = len(whole.events)
    assert whole.lost == 0
    for limit in (1, 17, 60, count - 1, count, count + 1):
        trace = recorded("busy", tmp_path, limit=limit)
        assert trace.events == whole.events[-limit:]
        assert trace.lost == max(0, count - limit)
        born = {event["a"] for event in trace.events if event["k"] == "spawn"}
        named = {event[key] for event in trace.events for key in ("a", "b") if key in event}
        assert named <= born | trace.tasks.keys(), "a task has no name"
        names = {e["a"]: e["n"] for e in of(whole, "spawn")}
        assert trace.tasks.items() <= names.items()


def test_a_loop_that_never_waits_is_ended() -> None:
    async def busy() -> None:
        while True:
            await yield_now()

    trace = record(
        lambda recorder: run(busy(), clock=VirtualClock(), instruments=[recorder], steps=500),
        sources={},
        limit=100,
    )
    assert trace.header["error"]["type"] == "TooManySteps"
    assert len(trace.events) == 100
    assert trace.lost > 500


def test_trees_names_prints_and_messages_are_cut() -> None:
    async def main() -> None:
        print("x" * 1_000_000)
        spawn(sleep_for(1), name="y" * 1_000_000)
        await join(*(sleep(1) for _ in range(1_000)))
        raise ValueError("z" * 1_000_000)

    async def sleep_for(seconds: float) -> None:
        await sleep(seconds)

    def go(recorder: Recorder) -> None:
        run(main(), clock=VirtualClock(), instruments=[recorder])

    trace = record(go, sources={"x.py": "s" * 10_000_000}, limit=100_000)
    assert max(len(json.dumps(event)) for event in trace.events) < 10_000
    assert len(trace.dumps().splitlines()[0]) < 300_000
    park = next(e for e in of(trace, "park") if e["tr"]["n"] == "Join")
    shown = park["tr"]["c"]
    assert len(shown) + park["tr"]["more"] == 1_000


def test_what_json_or_utf_8_cannot_hold_is_told_otherwise(tmp_path: Path) -> None:
    async def main() -> int:
        print("\udcff and \x00")
        idler = spawn(forever(), name="\udcff")
        await sleep(1)
        idler.cancel()
        return 10**5_000

    async def forever() -> None:
        await sleep(inf)

    def go(recorder: Recorder) -> None:
        run(main(), clock=VirtualClock(), instruments=[recorder])

    trace = record(go, sources={}, title="\udcff")
    trace.save(tmp_path / "t.json")
    assert Trace.load(tmp_path / "t.json") == trace
    (tmp_path / "t.html").write_text(render(trace), "utf-8")
    [idler] = [e for e in of(trace, "timer", s="set") if "d" not in e]
    assert idler["a"] == 2
    assert of(trace, "finish", a=1)[0]["v"] == "<int>"
    assert fold(trace, trace.events.index(idler) + 1)["timers"][str(idler["x"])]["d"] is None


@pytest.mark.parametrize("text", ["/" * 1_000_000, "/a" * 500_000, "/-" * 500_000, "x" * 1_000_000])
def test_folders_are_taken_off_in_a_bounded_time(text: str) -> None:
    assert without_places(text) == text[:2_000]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("at /home/me/prog.py:12>", "at prog.py:12>"),
        ('File "/a/b c/prog.py:7"', 'File "/a/b c/prog.py:7"'),
        (r"at C:\me\prog.py:12", "at prog.py:12"),
        ("tests/prog.py:12", "tests/prog.py:12"),
        ("<X at 0x7f12ab> and 1/2:3", "<X> and 1/2:3"),
        ("/usr/bin is a folder", "/usr/bin is a folder"),
    ],
)
def test_addresses_and_folders_before_a_line_are_taken_off(text: str, left: str) -> None:
    assert without_places(text) == left


def test_a_context_that_was_kept_is_told_as_kept_after_the_run_too() -> None:
    class Keeps(FutureBase[int]):
        def poll(self, cx: Context) -> Poll[int]:
            kept.append(cx)
            return 1

    kept: list[Context] = []

    async def main() -> None:
        await Keeps()

    Executor(clock=VirtualClock(), checked=True, instruments=[Recorder()]).run(main())
    with pytest.raises(ContextKept):
        kept[0].poll(Keeps())


# ---- what it says ----


def test_polls_of_children_stand_inside_of_their_parents_and_say_what_they_gave() -> None:
    subs = 0
    for trace in corpus():
        if trace.lost:
            continue
        stack: list[int] = []
        for event in trace.events:
            if event["k"] == "poll":
                assert not stack
                stack = [event["f"]]
            elif event["k"] == "sub":
                subs += 1
                assert event["p"] == stack[-1]
                stack.append(event["f"])
            elif event["k"] == "got":
                assert event["f"] == stack.pop()
            elif event["k"] in ("park", "resume"):
                assert not stack, "a poll began, and what it gave is not told"
    assert covered("polls of children", subs=subs)["subs"] > 50


def test_a_future_keeps_its_number_and_no_other_one_gets_it() -> None:
    numbers: dict[int, int] = {}
    kept: list[object] = []

    class Watches(Instrument):
        def asked(self, future: Any) -> None:
            kept.append(future)  # so that no address is used again

        def answered(self, future: Any, value: Any, error: BaseException | None) -> None:
            number = recorder.events[-1]["f"]
            assert recorder.events[-1]["k"] == "got"
            assert numbers.setdefault(id(future), number) == number

    recorder = Recorder(100_000)
    for seed in range(5):
        executor = Executor(clock=VirtualClock(), instruments=[recorder, Watches()])
        outcome(executor, [*large(Random(seed)), ("sleep", 20)])
    assert len(set(numbers.values())) == len(numbers) > 40


def test_a_recorder_keeps_nothing_alive() -> None:
    recorder = Recorder()
    alive: list[weakref.ref[Any]] = []

    class Mark(FutureBase[int]):
        def poll(self, cx: Context) -> Poll[int]:
            return 1

    async def main() -> None:
        for _ in range(3):
            mark = Mark()
            alive.append(weakref.ref(mark))
            await mark
            del mark
        await yield_now()  # the loop has the last one until here
        gc.collect()
        assert [one() for one in alive] == [None] * 3

    Executor(clock=VirtualClock(), instruments=[recorder]).run(main())
    gc.collect()
    numbers = [event["f"] for event in recorder.events if event["k"] == "poll"]
    assert len(set(numbers)) == 3, "they are three, though one address may be used again"


def test_a_future_without_room_for_a_number_has_none() -> None:
    class Narrow:
        __slots__ = ("left",)

        def __init__(self) -> None:
            self.left = 1

        def poll(self, cx: Context) -> Poll[int]:
            if not self.left:
                return 1
            self.left -= 1
            cx.waker.wake()
            return PENDING

        def __await__(self) -> Any:
            return (yield self)

    recorder = Recorder()

    async def main() -> None:
        await Narrow()

    Executor(clock=VirtualClock(), instruments=[recorder]).run(main())
    assert [e["f"] for e in recorder.events if e["k"] == "poll"] == [0, 0]


def test_merged_wakes_cancels_outcomes_owners_and_calls_are_told(tmp_path: Path) -> None:
    trace = recorded("busy", tmp_path)
    number = {event["n"]: event["a"] for event in of(trace, "spawn")}
    assert of(trace, "wake", m=1, a=number["sleeper"], b=number["rings twice"])
    assert of(trace, "cancel", a=number["idler"], b=number["main"])
    assert of(trace, "cancel", a=number["sleeper"], by="outside")
    [timed_out] = of(trace, "cancel", a=number["main"])
    assert timed_out["by"].startswith("timer ")
    [call] = of(trace, "wake", a=number["waiter"])
    assert call["by"].startswith("call ")
    assert call["by"].endswith(".send")
    ends = {event["a"]: (event["how"], event.get("v")) for event in of(trace, "finish")}
    assert ends[number["waiter"]] == ("value", "'a value'")
    assert ends[number["idler"]] == ("cancelled", "CancelledError")
    assert ends[number["fails"]] == ("error", "ValueError")
    assert ends[number["main"]] == ("value", None)
    assert of(trace, "report", n="fails", v="ValueError")
    owners = {event["x"]: event["a"] for event in of(trace, "timer", s="set")}
    assert number["idler"] in owners.values()
    [high] = of(trace, "spawn", pr="high")
    assert high["n"] == "sleeper"
    assert of(trace, "wake", a=number["main"], b=number["main"]), "by itself"


def test_a_task_is_parked_on_a_tree_of_futures_with_their_lines(tmp_path: Path) -> None:
    trace = recorded("busy", tmp_path)
    trees = [event["tr"] for event in of(trace, "park")]
    [join, after] = [tree for tree in trees if tree["n"] == "Join"]
    assert [node["n"] for node in join["c"]] == ["Sleep", "waits_long_enough()"]
    line = line_of(PROGRAMS["busy"], "await sleep(2)")
    assert join["c"][1]["at"] == f"busy.py:{line}"
    assert [node["n"] for node in join["c"][1]["c"]] == ["Sleep"]
    assert after["f"] == join["f"]
    assert after["c"][0] == {"done": True}
    assert after["c"][1]["f"] == join["c"][1]["f"]
    [waited] = [tree for tree in trees if tree.get("a") is not None and "waiter" in tree["n"]]
    assert waited["a"] == 2, "a task is told as one"
    parked = of(recorded("bell", tmp_path), "park")
    [scope] = [event["tr"] for event in parked if event["tr"]["n"] == "_AllEnded"]
    assert [node["a"] for node in scope["c"]] == [2], "a scope waits for the end of tasks"


@pytest.mark.parametrize("checked", [True, False])
def test_the_law_is_told_where_it_broke(tmp_path: Path, checked: bool) -> None:
    trace = recorded("bell", tmp_path, checked=checked)
    [law] = of(trace, "law")
    assert (law["law"], law["v"]) == (2, "LostWakeup")
    assert trace.header["error"]["law"] == 2
    before = trace.events[: trace.events.index(law)]
    if checked:
        assert trace.header["error"]["at"] == f"bell.py:{line_of(BELL, '# and here')}"
        assert law["a"] == 1
        last = [event for event in before if event["k"] == "line"][-1]
        assert last["at"] == f"bell.py:{line_of(BELL, '# here')}", "in the middle of the poll"
        assert before[-1]["r"] == "error"
    else:
        assert "a" not in law, "nobody runs: everybody is parked"
        assert "main" in law["text"]
        assert of(Trace({}, before), "finish"), "the visitor has been and gone"
    assert of(Trace({}, trace.events[len(before) :]), "finish"), "the clean-up comes after it"


def test_each_line_and_each_print_is_an_event_of_the_task_that_runs(tmp_path: Path) -> None:
    trace = recorded("busy", tmp_path)
    assert [event["v"] for event in of(trace, "out")] == ["a value é€😀\n", "too late"]
    # The second was never ended, so it is told when the run is over.
    assert [event.get("a") for event in of(trace, "out")] == [1, None]
    lines = of(trace, "line", a=1)
    assert f"busy.py:{line_of(PROGRAMS['busy'], 'idler.cancel()')}" in {e["at"] for e in lines}
    quiet = recorded("busy", tmp_path, lines=False)
    assert not of(quiet, "line")
    assert [e for e in trace.events if e["k"] != "line"] == quiet.events


def test_a_tracer_of_somebody_else_is_put_back(tmp_path: Path) -> None:
    def mine(frame: Any, event: str, argument: Any) -> Any:
        return None

    before = sys.gettrace()
    sys.settrace(mine)
    try:
        recorded("bell", tmp_path)
        assert sys.gettrace() is mine
    finally:
        sys.settrace(before)


def test_calls_have_their_slots_their_methods_and_what_they_are_pipelined_on(
    tmp_path: Path,
) -> None:
    trace = recorded("calls", tmp_path)
    assert "error" not in trace.header
    sent = of(trace, "slot", s="sent")
    name = "client>files#1"
    assert {event["n"] for event in sent} == {name}
    assert {event["N"] for event in of(trace, "slot")} == {4}
    reads = [event for event in sent if event.get("m") == "read"]
    opens = [event["x"] for event in sent if event.get("m") == "open"]
    assert len(reads) == len(opens) == 6
    assert [event["on"] for event in reads] == opens
    assert all("on" not in event for event in sent if event["m"] == "open")
    # No slot has two calls at a time.
    taken: dict[int, int] = {}
    reused = 0
    for event in of(trace, "slot"):
        slot = event["x"] % event["N"]
        if event["s"] == "sent":
            assert slot not in taken
            reused += event["x"] >= event["N"]
            taken[slot] = event["x"]
        elif event["s"] == "taken":
            taken.pop(slot, None)
    assert reused > 0
    served = [event["x"] for event in of(trace, "serve", m="read")]
    assert served == [event["x"] for event in reads]
    handlers = [event["call"] for event in of(trace, "spawn") if "call" in event]
    assert handlers == [[name, x] for x in served], "each read waits, and becomes a task"


def test_what_banks_pay_adds_up_to_what_they_have_left(tmp_path: Path) -> None:
    trace = recorded("calls", tmp_path)
    left: dict[str, tuple[int, int]] = {}
    for event in of(trace, "bank"):
        now = (event["p"], event["c"])
        if event["n"] in left:
            pages, caps = left[event["n"]]
            assert now == (pages - event["dp"], caps - event["dc"])
        left[event["n"]] = now
    assert left["client"][0] == 64, "all is given back"
    assert len(of(trace, "bank", n="client")) > 5
    assert {event["L"] for event in of(trace, "bank", n="client")} == {64}
    assert of(trace, "flush")


def test_each_payment_says_what_for_and_each_session_and_call_who_pays_how_much(
    tmp_path: Path,
) -> None:
    trace = recorded("calls", tmp_path)
    reasons: Counter[str] = Counter()
    for event in of(trace, "bank"):
        assert event["dp"] or event["dc"], "nothing was paid"
        if event["dp"] > 0 or event["dc"] > 0:
            reasons[event["why"]] += 1
        else:
            assert "why" not in event
    assert {"the ring of a session", "the handler of a call"} < reasons.keys()
    [session] = of(trace, "session")
    assert (session["n"], session["N"], session["pays"]) == ("client>files#1", 4, "client")
    for event in of(trace, "slot", s="sent"):
        assert event["z"] == ANSWER
    for event in of(trace, "serve"):
        assert event["z"] == prices.HANDLER


def test_a_call_that_waited_for_a_slot_is_told_like_any_other(tmp_path: Path) -> None:
    text = CALLS.replace("slots=4", "slots=2").replace("await sleep(0.01)", "pass")
    path = tmp_path / "waits.py"
    path.write_text(text, "utf-8")
    trace = record_file(path)
    assert "error" not in trace.header
    waited = [event for event in of(trace, "slot", s="sent") if event["a"] != 1]
    assert len(waited) == 6, "each second one of a pair, and what is pipelined on it"
    for opened, read in zip(waited[::2], waited[1::2], strict=True):
        assert (opened["m"], read["m"]) == ("open", "read")
        assert "on" not in opened
        assert read["on"] == opened["x"]
        assert opened["z"] == read["z"] == ANSWER


# ---- recording a file ----


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def main(): pass", "async def main"),
        ("async def other(): pass", "async def main"),
        ("import nothing_of_that_name", "cannot be loaded: ModuleNotFoundError"),
        ("def f(:", "cannot be loaded: SyntaxError"),
    ],
)
def test_a_program_without_a_main_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(text)
    modules, way = set(sys.modules), list(sys.path)
    with pytest.raises(TraceError, match=why):
        record_file(path)
    assert set(sys.modules) == modules
    assert sys.path == way


def test_a_program_finds_what_is_beside_it_and_leaves_the_import_system_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "beside_it.py").write_text("VALUE = 7\n")
    (tmp_path / "json.py").write_text("")  # the name of a module that is loaded already
    path = tmp_path / "json.py"
    path.write_text("from beside_it import VALUE\nasync def main(): print(VALUE)\n")
    before, way = sys.modules["json"], list(sys.path)
    trace = record_file(path)
    assert [event["v"] for event in of(trace, "out")] == ["7\n"]
    assert sys.modules["json"] is before
    assert sys.path == way
    sys.modules.pop("beside_it")


def test_ctrl_c_is_no_end_of_the_program() -> None:
    def go(recorder: Recorder) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(go, sources={})


def test_a_law_in_a_group_of_errors_is_the_error() -> None:
    def go(recorder: Recorder) -> None:
        async def main() -> None:
            errors: list[Exception] = []
            try:
                current_task().result()
            except Exception as error:
                errors.append(error)
            raise ExceptionGroup("several", [ValueError(), ExceptionGroup("more", errors)])

        run(main(), clock=VirtualClock(), instruments=[recorder])

    error = record(go, sources={"test_trace.py": ""}).header["error"]
    # The first that breaks a law on its own level; else the first.
    assert error["type"] in ("TakenTwice", "ValueError")


def test_import_pinfut_loads_nothing_of_it() -> None:
    code = (
        "import sys, pinfut, pinfut.executor, pinfut.rpc\n"
        "print([name for name in sys.modules if name.startswith('pinfut.learn')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


def test_random_programs_are_recorded_without_an_error_of_the_recorder() -> None:
    events = sum(len(random_trace(seed, 20_001).events) for seed in range(12))
    assert covered("events of random programs", events=events)["events"] > 300
