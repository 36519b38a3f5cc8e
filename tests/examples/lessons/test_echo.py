"""The same calls with a loop built from nothing, and on the executor."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.lessons import echo_by_hand, echo_on_executor
from pinfut import PENDING, drop, executor
from pinfut.testing import Hand
from tests.house.imports import ROOT

SCRIPT = """\
dave has given up
answer (3, 15): given up meanwhile: its place is free now
answer (2, 11): delivered
carol has 5 + 6 = 11
answer (99, 0): nobody asked, or it was answered before: refused
answer (1, 7): delivered
bob has 3 + 4 = 7
answer (1, 7): nobody asked, or it was answered before: refused
answer (0, 3): delivered
alice has 1 + 2 = 3
"""


@pytest.mark.parametrize("name", ["echo_by_hand", "echo_on_executor"])
def test_the_example_prints_what_happens_to_each_answer(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"examples.lessons.{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (SCRIPT, "")


def test_the_one_by_hand_is_made_of_nothing() -> None:
    assert not hasattr(echo_by_hand, "pinfut")
    source = Path(echo_by_hand.__file__).read_text(encoding="utf-8")
    assert "import pinfut" not in source
    assert "from pinfut" not in source


class Silent(echo_by_hand.FarSide):
    def add_rpc(self, val: int, a: int, b: int) -> None:
        pass


def by_hand() -> tuple[Any, Callable[[Any], object], Callable[[Any], None]]:
    calls = echo_by_hand.Calls(Silent())
    waker: Any = type("Waker", (), {"wake": lambda self: None})()
    return calls, lambda future: future.poll(waker), lambda future: future.cancel()


def on_executor() -> tuple[Any, Callable[[Any], object], Callable[[Any], None]]:
    calls = echo_on_executor.Calls(Silent())
    return calls, lambda future: Hand(future, checked=False).poll(), drop


@pytest.mark.parametrize("kind", [by_hand, on_executor])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_each_call_gets_its_own_answer_in_any_order(
    kind: Callable[[], Any], order: tuple[int, ...]
) -> None:
    calls, poll, _ = kind()
    futures = [calls.add(i, i) for i in range(3)]
    for val in order:
        assert poll(futures[val]) in (PENDING, echo_by_hand.PENDING)
        assert calls.deliver(val, 2 * val) == "delivered"
    assert [poll(future) for future in futures] == [0, 2, 4]


@pytest.mark.parametrize("kind", [by_hand, on_executor])
def test_what_fits_no_call_is_refused(kind: Callable[[], Any]) -> None:
    calls, poll, cancel = kind()
    first, second = calls.add(1, 1), calls.add(2, 2)
    assert calls.deliver(0, 2) == "delivered"
    assert calls.deliver(0, 99) == "answered already: refused"
    assert calls.deliver(7, 99) == "nobody asked, or it was answered before: refused"
    cancel(second)
    assert calls.deliver(1, 4) == "given up meanwhile: its place is free now"
    assert calls.deliver(1, 99) == "nobody asked, or it was answered before: refused"
    assert poll(first) == 2


def test_the_place_of_a_cancelled_call_is_not_used_before_its_answer_has_come() -> None:
    calls = echo_on_executor.Calls(Silent())
    futures = [calls.add(i, i) for i in range(4)]
    drop(futures[1])
    assert calls.table.full
    assert calls.deliver(1, 99).startswith("given up")
    again = calls.add(5, 5)
    assert calls.deliver(5, 10) == "delivered", "the id is new, the slot is the old one"

    async def main() -> int:
        return await again

    assert executor.run(main()) == 10
