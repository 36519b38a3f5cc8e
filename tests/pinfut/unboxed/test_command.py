"""``python -m pinfut.unboxed``: what a function is compiled to, its frame, and what that takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pinfut.unboxed import layout, unboxed
from pinfut.unboxed.__main__ import cost
from pinfut.unboxed.__main__ import main as command
from pinfut.unboxed.unit import unit_of
from tests.covered import covered
from tests.pinfut.unboxed.programs import Leaf, module


@unboxed
async def below(x: int) -> int:
    doubled = 2 * int(await Leaf(x))
    await Leaf(doubled)
    return doubled


@unboxed
async def shown(x: int, *, y: str = "y") -> str:
    return y * await below(x)


class Thing:
    @unboxed
    async def method(self, x: int) -> int:
        return await below(x)


async def plain() -> None:
    pass


HERE = __name__


def test_it_shows_the_source_that_a_function_is_compiled_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(["show", f"{HERE}:shown"]) == 0
    out = capsys.readouterr().out
    assert "def shown(x, *, y):" in out
    assert "below·doubled = 2 * " in out
    assert command(["show", "--frame", f"{HERE}:Thing.method"]) == 0
    out = capsys.readouterr().out
    assert "def method(home·, free_list·):" in out
    assert "while True:" in out


def test_it_shows_the_slots_the_waits_and_the_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["layout", f"{HERE}:shown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = layout(shown)
    assert f"shown: a frame of {found.size} bytes" in lines[0]
    assert f"called without a pool: {found.called} bytes" in lines[1]
    assert f"as plain coroutines: {found.boxed} bytes" in lines[1]
    line = below.__wrapped__.__code__.co_firstlineno + 2  # type: ignore[attr-defined]
    assert f"      0  below  {__file__}:{line}" in lines
    assert f"      1  below  {__file__}:{line + 1}" in lines
    assert lines[-1].split()[-1] in "01-"
    (y,) = [each for each in lines if "shown · y" in each]
    assert y.endswith("0, 1"), "it is read after both waits"
    (doubled,) = [each for each in lines if "below · doubled" in each]
    assert doubled.split()[-1] == "1", "it is made after the first wait"


def test_it_says_what_decorating_and_compiling_take(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shown", "Thing.method"):
        assert command(["cost", f"{HERE}:{name}"]) == 0
        out = capsys.readouterr().out
        assert "2 functions in its chain: decorated in " in out
    lines = [f"    {chr(97 + n % 26)}{n} = await leaf({n}) + {n}" for n in range(198)]
    text = "@unboxed\nasync def long():\n" + "\n".join(lines) + "\n"
    unit = unit_of(module(text, unboxed)["long"])
    said = cost(unit)
    print(said)
    took = float(said.partition("decorated in ")[2].partition(" ms")[0])
    covered("unboxed decoration of 200 lines", milliseconds=round(took), lines=200)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["show", "tests"], "module:function"),
        (["show", "no.such.module:f"], "no"),
        (["layout", f"{HERE}:missing"], "missing"),
        (["layout", f"{HERE}:plain"], "decorate it with @unboxed"),
        (["show"], "function"),
        ([], "command"),
    ],
)
def test_a_wrong_name_is_an_error_that_says_so(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        command(argv)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pinfut.unboxed", "layout", f"{HERE}:below"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("below: a frame of ")


def test_the_environment_can_ask_for_the_source_as_it_stands() -> None:
    text = (
        f"from {HERE} import shown; import inspect; "
        "assert not hasattr(shown, '__unboxed__'); print(inspect.iscoroutinefunction(shown))"
    )
    environment = {**os.environ, "PINFUT_BOXED": "1"}
    for argv, status, said in (
        (["-c", text], 0, "True"),
        (["-m", "pinfut.unboxed", "layout", f"{HERE}:shown"], 2, "unset it"),
    ):
        done = subprocess.run(
            [sys.executable, *argv], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert said in done.stdout + done.stderr
