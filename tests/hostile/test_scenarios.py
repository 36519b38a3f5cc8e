"""Each hostile client, against the marks: unpaid memory, the victim's calls, its waits."""

from __future__ import annotations

import asyncio
import gc
import re
import tracemalloc
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pinfut.executor import VirtualClock, current_executor, run, sleep, yield_now
from pinfut.rpc import GarbageFrame
from pinfut.rpc.kernel.sim.cost import CostModel
from pinfut.rpc.lab.hostile import SCENARIOS, Scenario, ScenarioOutcome, alone, play
from pinfut.rpc.lab.hostile.raw import call as call_frame
from pinfut.rpc.lab.hostile.raw import quiet
from pinfut.rpc.lab.hostile.shop import HOLD, HOLD_ANY
from pinfut.rpc.lab.hostile.stage import (
    CALLS,
    COPIED,
    MESSAGE,
    ROUNDS,
    THING,
    Stage,
    perform,
)
from pinfut.rpc.memory.lane import Completions
from pinfut.rpc.objects.weight import weigh
from tests.covered import covered, require

ROOT = Path(__file__).resolve().parents[2]

WANTED = (
    "never reads answers",
    "opens calls and never finishes",
    "cancel storm while the work goes on",
    "capabilities never released",
    "pipelining on a promise that never resolves",
    "calls of zero length",
    "frames of zero length",
    "control flood",
    "slow drip of a large message",
    "stale ids",
    "forged and foreign ids",
    "ring indices moved while the server reads",
    "limit cut in mid-turn",
    "destroy in mid-turn",
    "refund asked twice",
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.name for one in SCENARIOS])
def test_a_hostile_client_pays_for_what_it_makes_the_server_hold_and_hurts_nobody(
    scenario: Scenario, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = play(scenario)
    assert outcome.failures == []
    assert outcome.answered == CALLS * ROUNDS
    assert [record.getMessage() for record in caplog.records] == []
    counts = covered(
        "hostile clients",
        sessions=outcome.sessions,
        charged=outcome.charged,
        traced=outcome.traced,
        uncharged=outcome.uncharged,
    )
    require(counts, "sessions", "charged", "traced")


def test_every_kind_of_hostile_client_is_there_with_what_it_did_to_others() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert set(WANTED) <= set(names)
    assert len(set(names)) == len(names)
    assert all(one.history and one.source and one.attack.__doc__ for one in SCENARIOS)


def test_what_the_page_says_holds_an_attack_is_there() -> None:
    page = (ROOT / "docs" / "hostile.md").read_text(encoding="utf-8")
    table = page.partition("## What was found")[2]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]
    names = {scenario.name for scenario in SCENARIOS}
    assert len(rows) > 20
    for row in rows:
        played = re.findall(r"\*(.+?)\*", row)
        tests = re.findall(r"`(tests/[^`:]+)(?:::(\w+))?`", row)
        assert played or tests, row
        assert set(played) <= names, row
        for file, test in tests:
            assert (ROOT / file).exists(), file
            assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test


def test_the_same_seed_gives_the_same_waits() -> None:
    flood = next(one for one in SCENARIOS if one.name == "control flood")
    first, second = (perform(flood.attack, 7, suffers=True, traced=False) for _ in range(2))
    assert (first.worst, first.answered) == (second.worst, second.answered)


def test_more_answers_than_slots_end_the_session_and_overwrite_nothing() -> None:
    """Bank rule 37: completion overflow cannot happen."""
    scenario = next(one for one in SCENARIOS if one.name == "more answers than slots")
    assert play(scenario).failures == []  # which asserts that the session has ended
    completions = Completions(memoryview(bytearray(8 * 5)), 4)
    for x in range(5):
        completions.post(x)
    with pytest.raises(GarbageFrame, match="5 calls were made"):
        completions.publish()
    assert completions.take() == []


def outcome(**changed: int) -> ScenarioOutcome:
    figures = {
        "sessions": 2,
        "charged": 1000,
        "traced": 1000,
        "uncharged": 2 * 8192,
        "left": 0,
        "returned": True,
        "answered": CALLS * ROUNDS,
        "lost": 0,
        "alone": 100,
        "worst": 200,
    }
    return ScenarioOutcome("a test", **{**figures, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "missed",
    [
        {"uncharged": 2 * 8192 + 1},
        {"left": 2 * 8192 + 1},
        {"returned": False},
        {"lost": 1, "answered": CALLS * ROUNDS - 1},
        {"answered": CALLS * ROUNDS - 1},
        {"worst": 201},
        {"beside": 126},
    ],
    ids=str,
)
def test_each_mark_can_be_missed(missed: dict[str, int]) -> None:
    assert outcome().failures == []
    assert len(outcome(**missed).failures) == 1


def test_memory_that_nobody_pays_for_is_seen() -> None:
    """The measuring itself: a server that keeps 100 KB for a client on the side."""

    async def leak(stage: Stage) -> None:
        await stage.session(8)
        stage.shop.read.append(bytes(100_000))
        await stage.sample()

    found = play(Scenario("leak", leak, "none", "none"))
    assert 50_000 < found.uncharged < 110_000
    assert found.left < 8192  # it goes with the client
    assert len(found.failures) == 1


def test_what_a_message_makes_its_server_do_takes_time() -> None:
    """The clock: by the bytes of a message, what it becomes, and the pages that are paid for it."""
    spent: dict[str, int] = {}
    lists = b"\x91\xdc\x03\xe8" + b"\x90" * 1000
    payloads = {
        "short": b"\x91\x90",
        "long": b"\x91\xc6\x00\x01\x00\x00" + bytes(1 << 16),
        "lists": lists,
        "wrong": lists[:-1] + b"\xc1",
    }

    async def one_of_each(stage: Stage) -> None:
        raw = await stage.session(8, ring=1 << 18)
        for name, payload in payloads.items():
            before, paged = stage.spent(), stage.bank.pages_used
            number = HOLD if name == "long" else HOLD_ANY
            raw.send(call_frame(8 + len(spent), 0, number, payload=payload, place=len(spent)))
            await quiet()
            spent[name] = stage.spent() - before
            assert name in ("short", "wrong") or stage.bank.pages_used > paged

    perform(one_of_each, suffers=False, traced=False)
    page = CostModel().page
    advance = 2 * page * (150 * 1000 // 4096)
    assert MESSAGE < spent["short"] < 10 * MESSAGE
    assert spent["long"] - spent["short"] >= (1 << 16) // COPIED + 16 * page
    assert spent["lists"] - spent["short"] >= 1000 * THING + advance
    assert spent["wrong"] - spent["short"] >= 1000 * THING // 8 + advance


def test_the_victim_waits_for_its_own_calls_when_it_is_alone() -> None:
    assert CALLS * 2000 < alone() < 2 * CALLS * 2000


@pytest.mark.parametrize(
    "value",
    [
        bytes(5000),
        "\u20ac" * 500,
        [[] for _ in range(500)],
        list(range(300, 1300)),
        [float(n) for n in range(300)],
        {f"key {n}": [n] for n in range(200)},
        [{} for _ in range(500)],
        [(n, str(n) * 5) for n in range(400)],
        [{n, n + 1} for n in range(200)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_arguments_weigh_is_what_they_take(value: object) -> None:
    """Whoever sends arguments pays for what they become at the server, decoded."""
    decode = msgspec.msgpack.Decoder(type_of(value)).decode
    payload = msgspec.msgpack.encode(value)
    decode(payload)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        decoded = decode(payload)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken <= (weigh(decoded)[0] or 0) <= 3 * taken + 64


def type_of(value: object) -> object:
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return list[tuple[int, str]]
    if isinstance(value, list) and value and isinstance(value[0], set):
        return list[set[int]]
    return type(value)


def test_a_call_at_a_time_that_is_taken_back_keeps_nothing_of_what_it_was_for() -> None:
    """Nor does it where it stands behind others, as the end of a session's grace does."""

    class Held:
        def called(self) -> None: ...

    async def main() -> None:
        timers: Any = current_executor().timers
        held = [Held() for _ in range(8)]
        calls = [timers.add(1e9 + n, one.called) for n, one in enumerate(held)]
        alive = [weakref.ref(one) for one in held]
        for call in calls:
            timers.cancel(call)
        held.clear()
        del call
        gc.collect()
        assert len(timers) == 0 < timers.entries, "a dead entry stays: this shows something"
        assert [one() for one in alive] == [None] * 8

    run(main(), clock=VirtualClock())


def test_a_sleep_that_is_dropped_does_not_keep_its_task() -> None:
    """A dead entry may stay among the timers: what a client had cancelled may not."""

    class Held: ...

    async def holds(held: Held) -> Held:
        with suppress(asyncio.CancelledError):
            await sleep(1e9)
        return held

    async def main() -> None:
        held = [Held() for _ in range(8)]
        tasks = [current_executor().spawn(holds(one)) for one in held]
        alive = [weakref.ref(one) for one in held]
        await yield_now()
        for task in tasks:
            task.cancel()
        assert [await task for task in tasks] == held
        held.clear()
        tasks.clear()
        del task
        await yield_now()
        gc.collect()
        assert [one() for one in alive] == [None] * 8

    run(main(), clock=VirtualClock())
