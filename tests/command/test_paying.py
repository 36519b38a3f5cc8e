"""``pinfut rules``, ``rows``, ``prices``, ``slopes`` and ``hostile``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pinfut
from pinfut.command import hostile, slopes
from pinfut.command import rows as command_rows
from pinfut.command.main import main
from pinfut.rpc import prices
from pinfut.rpc.lab.calls import prices_of
from pinfut.rpc.lab.hostile import SCENARIOS, Scenario
from pinfut.rpc.lab.hostile.slope import KINDS, Slope
from pinfut.rpc.lab.hostile.stage import Stage
from pinfut.rpc.lab.rows import ROWS
from pinfut.rpc.lab.rules import RULES
from tests.mutants.prove import mutants_of
from tests.rpc.services import Desk


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


def test_rows_are_printed_each_with_its_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = printed(capsys, "rows")
    assert [(row["number"], row["state"]) for row in rows] == [(r.number, r.state) for r in ROWS]
    monkeypatch.setattr(command_rows, "ROWS", (ROWS[0], ROWS[41]._replace(missing="the moon")))
    assert main(["rows", "--only", "1", "--only", "42"]) == 0
    first, where, test, _, _, _, missing, sums = capsys.readouterr().out.splitlines()
    assert first == f"  1. {ROWS[0].text}"
    assert where == f"     line 1, {ROWS[0].where}: shown"
    assert test == f"     {ROWS[0].test}  kills rule 1"
    assert missing == "     missing: the moon"
    assert sums == "1 shown, 1 in part, 0 open"


def test_prices_of_calls_are_printed_before_anything_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "tests.rpc.services:Desk"
    rows = printed(capsys, "prices", "--calls", name)
    assert rows == [price._asdict() for price in prices_of(Desk)]
    assert main(["prices", "--calls", name]) == 0
    head, first, *rest = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["method", "touch", "handler"]
    assert first.split()[0] == "do"
    assert len(rest) == len(rows) - 1 > 5
    for wrong in ("Desk", "tests.rpc.services:Nope", "pinfut.rpc:Vat", "pinfut.rpc:Interface"):
        assert main(["prices", "--calls", wrong]) == 2
        assert "interface" in capsys.readouterr().err


def test_rows_are_proved_in_a_checkout_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["rows", "--only", "60", "--only", "57", "--prove"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "2 of 2 rows have mutants; alive in none"
    for row, line in zip((57, 60), lines[-3:-1], strict=True):
        planted = len(mutants_of(ROWS[row - 1]))
        assert line == f"{row:>3}. {planted} of {planted} mutants killed"
    monkeypatch.setattr(pinfut, "__file__", str(tmp_path / "pinfut" / "__init__.py"))
    assert main(["rows", "--prove"]) == 2
    out, err = capfd.readouterr()
    assert (out, "use --prove in a checkout" in err) == ("", True)


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
