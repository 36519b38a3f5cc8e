"""The designs that benches/compare sets beside each other do the same work."""

import json
import os
import random
import shutil
from collections.abc import Callable

import pytest

from benches import cli
from benches.compare import __main__ as command
from benches.compare.bushel_work import BUSHELS
from benches.compare.bushels import UnknownNumber
from benches.compare.calls import Calls, Refused
from benches.compare.frames import instructions
from benches.compare.objects import ObjectCalls
from benches.compare.pairs import PAIRS
from benches.compare.queues import QueueCalls
from benches.compare.slots import CellCalls, SlotCalls
from benches.compare.work import DESIGNS, WORK, made
from benches.registry import COMPARISONS
from pinfut.rpc import GarbageFrame
from tests.covered import covered, require

SLOTS, SIZE = 5, 24


class Driven:
    """A design that a history drives: what its client and its server have said."""

    def __init__(self, make: type[Calls]) -> None:
        self.asked: list[int] = []
        self.data: dict[int, bytes] = {}
        self.calls = make(SLOTS, SIZE, self.handle)

    def handle(self, x: int, data: bytes) -> bytes | None:
        # By the data alone, so that each design decides the same: one in two is answered later.
        self.data[x] = data
        if data[:1] < b"\x80":
            return self.answer(x)
        self.asked.append(x)
        return None

    def answer(self, x: int) -> bytes:
        return self.data[x][::-1][:8]


def history(seed: int, make: type[Calls]) -> list[object]:
    """What a client sees of a random history; ids and the order of completions apart."""
    rng = random.Random(seed)
    driven = Driven(make)
    calls = driven.calls
    names: dict[int, int] = {}
    chained: set[int] = set()
    open_: list[int] = []
    ready: list[int] = []
    cancelled: list[int] = []
    seen: list[object] = []
    for step in range(60):
        kind = rng.choices(("start", "on", "cancel", "late", "take", "turn"), (6, 2, 1, 3, 3, 6))[0]
        # Each draw is made whatever is there, so that all designs draw the same.
        pick, data = rng.random(), bytes(rng.randrange(256) for _ in range(8))
        if kind in ("start", "on") and len(open_) + len(ready) + len(cancelled) < SLOTS:
            on = open_[int(pick * len(open_))] if kind == "on" and open_ else None
            x = calls.start(data, on)
            assert x is not None, "there is a place"
            names[x] = step
            open_.append(x)
            covered("designs of a call", starts=1, pipelined=int(on is not None))
            if on is not None:
                chained.update((on, x))
        elif kind == "cancel":
            # Neither what waits for another nor what another waits for is cancelled: some designs
            # tell the server at once, one does not.
            free = [x for x in open_ if x not in chained]
            if free:
                x = free[int(pick * len(free))]
                open_.remove(x)
                calls.cancel(x)
                cancelled.append(x)
                seen.append(("cancelled", names[x]))
                covered("designs of a call", cancels=1)
        elif kind == "late" and driven.asked:
            x = driven.asked.pop(0)
            calls.finish(x, driven.answer(x))
            covered("designs of a call", late=1)
        elif kind == "take" and ready:
            ready.sort(key=names.__getitem__)
            x = ready.pop(int(pick * len(ready)))
            seen.append((names[x], calls.take(x)))
            covered("designs of a call", takes=1)
        elif kind == "turn":
            turn(calls, open_, ready)
            # A cancelled call has its place until its server is through with it, in some designs.
            cancelled = [x for x in cancelled if x in driven.asked or x not in driven.data]
            seen.append(sorted(names[x] for x in ready))
    for _ in range(3):
        turn(calls, open_, ready)
        while driven.asked:
            x = driven.asked.pop(0)
            calls.finish(x, driven.answer(x))
    turn(calls, open_, ready)
    assert open_ == []
    for x in sorted(ready, key=names.__getitem__):
        seen.append((names[x], calls.take(x)))
    assert calls.open() == (0, 0)
    return seen


def turn(calls: Calls, open_: list[int], ready: list[int]) -> None:
    calls.submit()
    calls.serve()
    calls.publish()
    for x in calls.collect():
        if x in open_:
            open_.remove(x)
            ready.append(x)


def test_each_design_gives_the_same_answers() -> None:
    for seed in range(150):
        slots = history(seed, SlotCalls)
        assert history(seed, CellCalls) == slots
        assert history(seed, QueueCalls) == slots
        assert history(seed, ObjectCalls) == slots
    require(covered("designs of a call"), "starts", "pipelined", "cancels", "late", "takes")


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("design", DESIGNS)
def test_work_leaves_nothing_open_and_grows_nothing(design: str, work: str) -> None:
    calls = made(design, work)
    do, n = WORK[work]
    before = calls.held()
    for _ in range(3):
        do(calls, n)
        assert calls.open() == (0, 0)
    assert calls.held() == before
    assert calls.counts.transitions > 0


def hostile(make: type[Calls], memory: Callable[[Calls], bytearray | memoryview]) -> None:
    for seed in range(200):
        rng = random.Random(seed)
        calls = make(SLOTS, SIZE, lambda x, data: data)
        try:
            for _ in range(6):
                calls.start(bytes(8))
                calls.submit()
                shared = memory(calls)
                for _ in range(rng.randrange(1, 4)):
                    shared[rng.randrange(len(shared))] = rng.choice((0, 1, 255, rng.randrange(256)))
                calls.serve()
                calls.publish()
                for x in calls.collect():
                    calls.take(x)
            covered("designs of a call, hostile", unseen=1)
        except (Refused, GarbageFrame, RuntimeError):
            covered("designs of a call, hostile", refused=1)


def test_garbage_in_shared_memory_is_refused_or_unseen() -> None:
    hostile(SlotCalls, lambda calls: calls._ring)  # type: ignore[attr-defined]
    hostile(SlotCalls, lambda calls: calls._places._places)  # type: ignore[attr-defined]
    hostile(CellCalls, lambda calls: calls._places._bytes)  # type: ignore[attr-defined]
    hostile(CellCalls, lambda calls: calls._places._ready.cast("B"))  # type: ignore[attr-defined]
    hostile(ObjectCalls, lambda calls: calls._memory)  # type: ignore[attr-defined]
    require(covered("designs of a call, hostile"), "refused", "unseen")


def test_the_table_is_printed_without_valgrind_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benches.callgrind.shutil.which", lambda _: None)
    assert command.main(["--json", "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    rows = printed["calls"]
    assert [(row["work"], row["design"]) for row in rows] == [(w, d) for w in WORK for d in DESIGNS]
    assert {row["instructions"] for row in rows} == {None}
    by_work = {(row["work"], row["design"]): row["transitions"] for row in rows}
    assert by_work["batch-64", "queues"] > 50 * by_work["batch-64", "slots"]
    assert [row["design"] for row in printed["bushels"]] == [*BUSHELS]
    assert all(row["bytes"] > 8 for row in printed["bushels"])
    pairs = {(row["bushels"], row["design"]): row for row in printed["pairs"]}
    assert pairs[16, "one pair"]["pages"] * 4 < pairs[16, "a pair for each"]["pages"]
    assert pairs[16, "one pair"]["transitions"] * 8 < pairs[16, "a pair for each"]["transitions"]


def test_one_comparison_is_printed_where_the_benches_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benches.callgrind.shutil.which", lambda _: None)
    assert tuple(COMPARISONS) == tuple(command.TABLES)
    assert cli.main(["--only", "pairs", "--json", "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [*printed] == ["pairs"]
    assert {row["design"] for row in printed["pairs"]} == {*PAIRS}
    with pytest.raises(SystemExit) as refused:
        cli.main(["--only", "pairs", "--only", "yield"])
    assert refused.value.code == 2
    assert "by themselves" in capsys.readouterr().err


def test_the_tables_are_printed_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benches.callgrind.shutil.which", lambda _: None)
    assert command.main([]) == 0
    printed = capsys.readouterr()
    assert "no instructions: counting needs valgrind" in printed.err
    for design in (*DESIGNS, *BUSHELS, *PAIRS):
        assert f"| {design} " in printed.out


@pytest.mark.parametrize("design", BUSHELS)
def test_a_bushel_names_what_was_given_and_nothing_else(design: str) -> None:
    for seed in range(40):
        rng = random.Random(seed)
        bushels = BUSHELS[design]()
        given: dict[tuple[int, int], object] = {}
        over: list[tuple[int, int]] = []
        for _ in range(300):
            client = rng.randrange(4)
            kinds = ("grant", "release", "leave", "stale", "other")
            kind = rng.choices(kinds, (9, 6, 0.3, 2, 2))[0]
            if kind == "grant":
                thing = object()
                key = (client, bushels.grant(client, thing))
                assert key not in given
                assert key not in over
                given[key] = thing
            elif kind == "release" and given:
                key = rng.choice(list(given))
                bushels.release(*key)
                del given[key]
                over.append(key)
            elif kind == "leave":
                bushels.leave(client)
                if len({client for client, _ in given}) > 1:
                    covered("bushels", left_beside_others=1)
                # Numbers of a client that has gone mean nothing, also when it comes again.
                over = [key for key in over if key[0] != client]
                given = {key: thing for key, thing in given.items() if key[0] != client}
            elif kind == "stale" and over:
                covered("bushels", stale=1)
                with pytest.raises(UnknownNumber):
                    bushels.get(*rng.choice(over))
            elif kind == "other" and given:
                _, number = rng.choice(list(given))
                if (client, number) not in given:
                    covered("bushels", others=1)
                    with pytest.raises(UnknownNumber):
                        bushels.get(client, number)
            assert len(bushels) == len(given)
        for key, thing in given.items():
            assert bushels.get(*key) is thing
    require(covered("bushels"), "left_beside_others", "stale", "others")


@pytest.mark.skipif(
    shutil.which("valgrind") is None or "PINFUT_SOAK" not in os.environ,
    reason="three processes under valgrind, for a soak where it is installed",
)
def test_a_frame_of_a_pool_costs_a_handler_more_than_it_saves() -> None:
    """Row 119: why handlers are called, and take no frames from a pool."""
    counted = instructions()
    assert counted["called"] * 2 < counted["pool"]
