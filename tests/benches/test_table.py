"""The table: the ratio's direction, and losses as plain as wins."""

import io

import pytest
from rich.console import Console

from benches.registry import BASE, Bench, System
from benches.result import Failure, Results, Row
from benches.table import print_results, verdict

BENCH = Bench("count", "one number", ops=10, quick_ops=10)


def row(system: str, *samples: float) -> Row:
    return Row(BENCH, System(system, system), samples)


def printed(results: Results) -> str:
    file = io.StringIO()
    print_results(results, Console(file=file, width=120))
    return " ".join(file.getvalue().split())


def test_the_ratio_is_the_peer_over_pinfut_round_by_round() -> None:
    # The machine was slow in two rounds of three, and each round was slow for everyone.
    slow, fast = row("slow", 200.0, 400.0, 401.0), row("fast", 50.0, 100.0, 100.0)
    results = Results(rows=[row(BASE, 100.0, 200.0, 200.0), slow, fast])
    assert results.ratio(slow) == 2.0
    assert results.ratio(fast) == 0.5
    assert "Of 2 comparisons pinfut wins 1, loses 1, and 0 are even" in printed(results)


def test_without_pinfut_there_is_no_ratio() -> None:
    results = Results(rows=[row("slow", 1.0)])
    assert results.ratio(results.rows[0]) is None
    assert "comparisons" not in printed(results)


def test_beside_an_echo_of_a_peer_stands_what_the_peer_does_not_do() -> None:
    echo = Bench("echo-1", "one echo", ops=1, quick_ops=1)
    ours = Row(echo, System(BASE, BASE), (1.0,))
    peer = Row(echo, System("asyncio-memory", "a"), (0.5,))
    assert "no peer charges" not in printed(Results(rows=[ours]))
    assert "no peer charges, cancels at the server or pipelines" in printed(
        Results(rows=[ours, peer])
    )


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(1.0, "even"), (1.04, "even"), (0.96, "even"), (1.06, "win"), (0.94, "loss")],
)
def test_a_ratio_near_one_is_neither_win_nor_loss(ratio: float, expected: str) -> None:
    assert verdict(ratio) == expected


def test_a_row_becomes_json_with_the_key_of_its_unit() -> None:
    weight = Bench("memory", "one task", ops=1, quick_ops=1, unit="bytes")
    assert row("a", 1.0, 3.0, 2.0).as_json(2.0004) == {
        "bench": "count",
        "system": "a",
        "ns_per_op": 2.0,
        "min": 1.0,
        "max": 3.0,
        "rounds": 3,
        "ratio": 2.0,
    }
    assert "bytes_per_op" in Row(weight, System("a", "a"), (1.0,)).as_json(None)


def test_what_was_not_measured_is_said() -> None:
    results = Results(
        skipped={"uvloop": ["uvloop"]},
        absent={"trio": ["echo-1", "echo-64"]},
        failures=[Failure(System("a", "a"), BENCH, "[bold] is no markup")],
    )
    text = printed(results)
    assert "skipped: uvloop (not installed: uvloop)" in text
    assert "trio has no echo-1, echo-64" in text
    assert "failed: a, count: [bold] is no markup" in text
