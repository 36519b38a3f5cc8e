"""``pinfut rules``, ``prices``, ``slopes`` and ``hostile``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pinfut.command import hostile, slopes
from pinfut.command.main import main
from pinfut.rpc import prices
from pinfut.rpc.lab.hostile import SCENARIOS, Scenario
from pinfut.rpc.lab.hostile.slope import KINDS, Slope
from pinfut.rpc.lab.hostile.stage import Stage
from pinfut.rpc.lab.rules import RULES


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main([*words, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_rules_are_printed_each_with_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "rules")
    assert [(row["number"], row["test"]) for row in rows] == [(r.number, r.test) for r in RULES]
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines[::2]] == [f"{r.number}. {r.text}" for r in RULES]
    assert [line.split() for line in lines[1::2]] == [[r.where, r.test] for r in RULES]


def test_prices_are_printed_with_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["kind"]: row for row in printed(capsys, "prices")}
    assert list(rows) == [name for name in vars(prices) if name.isupper()]
    assert all(row["price"] == getattr(prices, kind) for kind, row in rows.items())
    known = [row for row in rows.values() if row["truth"] is not None]
    assert len(known) >= 8
    assert all(0 < row["truth"] <= row["price"] for row in known)


def test_a_table_has_a_line_for_each_row_and_numbers_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["prices", "--only", "SLOT", "--only", "SESSION"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["kind", "price", "truth", "tightness"],
        ["SESSION", f"{prices.SESSION:,}", "-", "-"],
        ["SLOT", f"{prices.SLOT:,}", "-", "-"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_hostile_clients_are_printed_and_a_missed_mark_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    last = SCENARIOS[-1].name
    (row,) = printed(capsys, "hostile", "--seed", "3", "--only", last)
    assert row["scenario"] == last
    assert row["lost"] == 0 < row["charged"]
    assert list(hostile.BY_NAME.values()) == [*SCENARIOS]

    async def leak(stage: Stage) -> None:
        await stage.session(8)
        stage.shop.read.append(bytes(100_000))
        await stage.sample()

    monkeypatch.setattr(hostile, "BY_NAME", {"leak": Scenario("leak", leak, "none", "none")})
    assert main(["hostile"]) == 1
    assert "nobody pays" in capsys.readouterr().out


def test_slopes_are_printed_and_what_is_not_charged_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = printed(capsys, "slopes", "--many", "128")
    assert [row["kind"] for row in rows] == [*KINDS]
    assert all(row["charged"] >= row["traced"] for row in rows)
    unpaid = Slope("sessions", 64, 128, charged=99, traced=100, peak=100, left=0)
    monkeypatch.setattr(slopes, "slope", lambda kind, few, many, mode: unpaid)
    assert main(["slopes", "--only", "sessions"]) == 1
    assert " 0.99 " in capsys.readouterr().out
