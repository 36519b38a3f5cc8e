"""``pinfut layout`` and ``pinfut source``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinfut.command.main import main
from pinfut.command.source import cost
from pinfut.unboxed import layout, unboxed
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


def test_it_prints_the_source_that_a_function_is_compiled_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["source", f"{HERE}:shown"]) == 0
    out = capsys.readouterr().out
    assert "def shown(x, *, y):" in out
    assert "below·doubled = 2 * " in out
    assert main(["source", "--frame", f"{HERE}:Thing.method"]) == 0
    out = capsys.readouterr().out
    assert "def method(home·, free_list·):" in out
    assert "while True:" in out


def test_it_prints_the_slots_the_waits_and_the_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", f"{HERE}:shown"]) == 0
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


def test_the_layout_can_be_had_as_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", f"{HERE}:shown", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = layout(shown)
    assert (told["size"], told["called"]) == (found.size, found.called)
    assert [slot["name"] for slot in told["slots"]] == [slot.name for slot in found.slots]
    assert [wait["line"] for wait in told["waits"]] == [wait.line for wait in found.waits]


def test_it_says_what_decorating_and_compiling_take(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("shown", "Thing.method"):
        assert main(["source", "--cost", f"{HERE}:{name}"]) == 0
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
    ("words", "said"),
    [
        (["source", "tests"], "name the function as module:function, not 'tests'"),
        (["source", ":shown"], "name the function as module:function, not ':shown'"),
        (["source", "no.such.module:f"], "importing no.such.module raised ModuleNotFoundError: "),
        (["layout", ".relative:f"], "importing .relative raised TypeError: "),
        (["layout", f"{HERE}:missing"], "has no attribute 'missing'; name a function"),
        (["layout", f"{HERE}:plain"], "is not unboxed; decorate it with @unboxed"),
        (["layout", f"{HERE}:Thing"], "is not unboxed; decorate it with @unboxed"),
    ],
)
def test_a_wrong_name_is_one_sentence_that_says_so(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"pinfut {words[0]}: error: ")
    assert said in err
    assert err.count("\n") == 1


def test_modules_of_the_folder_one_is_in_are_found_and_may_be_broken(tmp_path: Path) -> None:
    text = "from pinfut.unboxed import unboxed\n\n@unboxed\nasync def handle(): pass\n"
    (tmp_path / "shop.py").write_text(text)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    # As an installed script runs: the first place to look for modules is the script's own.
    script = "import sys; del sys.path[0]; from pinfut.command.main import main; sys.exit(main())"
    for name, status, said in (
        ("shop", 0, "handle: a frame of "),
        ("broken", 2, "importing broken raised ZeroDivisionError: division by zero; "),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, "layout", f"{name}:handle"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        assert said in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_the_environment_can_ask_for_the_source_as_it_stands() -> None:
    text = (
        f"from {HERE} import shown; import inspect; "
        "assert not hasattr(shown, '__unboxed__'); print(inspect.iscoroutinefunction(shown))"
    )
    environment = {**os.environ, "PINFUT_BOXED": "1"}
    for argv, status, said in (
        (["-c", text], 0, "True"),
        (["-m", "pinfut", "layout", f"{HERE}:shown"], 2, "unset it"),
    ):
        done = subprocess.run(
            [sys.executable, *argv], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert said in done.stdout + done.stderr
