"""Tests can be put in another order: `--order`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.order import put_in_order


@dataclass(frozen=True)
class Case:
    path: Path
    number: int


CASES = [Case(Path(f"test_{name}.py"), n) for name in "abcdefgh" for n in range(8)]


def ordered(order: str | None) -> list[Case]:
    cases = list(CASES)
    put_in_order(cases, order)
    return cases


def test_a_seed_gives_one_order_and_another_seed_another_and_files_stay_together() -> None:
    assert ordered(None) == CASES
    assert ordered("reversed") == CASES[::-1]
    seen = [ordered(seed) for seed in ("1", "2", "3")]
    assert seen == [ordered(seed) for seed in ("1", "2", "3")]
    for cases in seen:
        assert sorted(cases, key=CASES.index) == CASES
        files = [list(group) for _, group in groupby(cases, key=lambda case: case.path)]
        assert len(files) == 8, "a file was torn apart"
        assert any(group != sorted(group, key=CASES.index) for group in files)
    assert len({tuple(cases) for cases in seen}) == 3
    assert len({tuple(dict.fromkeys(case.path for case in cases)) for cases in seen}) == 3
