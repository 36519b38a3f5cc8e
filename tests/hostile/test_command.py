"""The command ``python -m pinfut.rpc.kernel``."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.hostile import SCENARIOS, cli
from pinfut.rpc.kernel.hostile.cli import COMMANDS, main
from pinfut.rpc.kernel.hostile.stage import Scenario, Stage
from pinfut.rpc.kernel.rules import RULES

ROOT = Path(__file__).resolve().parents[2]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_rules_are_printed_each_with_its_test(capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "rules")
    assert [(row["number"], row["test"]) for row in rows] == [(r.number, r.test) for r in RULES]


def test_prices_are_printed_with_what_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["kind"]: row for row in printed(capsys, "prices")}
    assert set(rows) == {name for name in vars(prices) if name.isupper()}
    assert all(row["price"] == getattr(prices, kind) for kind, row in rows.items())
    known = [row for row in rows.values() if row["truth"] is not None]
    assert len(known) >= 8
    assert all(0 < row["truth"] <= row["price"] for row in known)


def test_hostile_clients_are_printed_and_a_missed_mark_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "SCENARIOS", SCENARIOS[-1:])
    (row,) = printed(capsys, "hostile", "--seed", "3")
    assert row["scenario"] == SCENARIOS[-1].name
    assert row["lost"] == 0 < row["charged"]

    async def leak(stage: Stage) -> None:
        await stage.session(8)
        stage.shop.read.append(bytes(100_000))
        await stage.sample()

    monkeypatch.setattr(cli, "SCENARIOS", (Scenario("leak", leak, "none", "none"),))
    assert main(["hostile"]) == 1
    assert "nobody pays" in capsys.readouterr().out.replace("\n", " ")


def test_without_rich_the_tables_are_plain_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "rich":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(RULES)
    assert lines[0].split() == ["number", "text", "where", "test"]
    assert all(rule.text in line for rule, line in zip(RULES, lines[1:], strict=True))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rule"], "invalid choice: 'rule'"),
        ([], "rules|prices|hostile|slopes"),
        (["slopes", "--many", "7"], "from 128 to 60000"),
        (["hostile", "--seed", "x"], "invalid int value"),
    ],
)
def test_bad_arguments_are_told_what_there_is(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pinfut.rpc.kernel", "rules", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == len(RULES)


def test_slopes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "slopes", "--many", "128")
    assert all(row["charged"] >= row["traced"] for row in rows)
    assert set(COMMANDS) == {"rules", "prices", "hostile", "slopes"}
