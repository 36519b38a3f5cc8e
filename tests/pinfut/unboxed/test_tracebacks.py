"""A traceback names every embedded function, with its own file and line."""

from __future__ import annotations

import inspect
import linecache
import traceback
import warnings
from pathlib import Path
from typing import Any, assert_type

import pytest

from pinfut.unboxed import Refused, pool, unboxed
from tests.pinfut.unboxed.programs import Leaf, drive, module

FAR = """
limit = 10
@unboxed
async def far(x):
    items = sorted([x], key=lambda each: -each)
    await leaf(len(items))
    if x > limit:
        raise ValueError(x)
    return x
"""

NEAR = """
@unboxed
async def middle(x):
    limit = 1
    return await far(
        x + limit)
@unboxed
async def main(x):
    try:
        return await middle(x)
    except KeyError:
        pass
"""


def test_levels_in_two_files_have_their_own_files_lines_and_names() -> None:
    far = module(FAR, unboxed)
    near = module("far = None\n", unboxed)
    near["far"] = far["far"]
    name = "<near>"
    linecache.cache[name] = (len(NEAR), None, [*NEAR.splitlines(True)], name)
    exec(compile(NEAR, name, "exec", dont_inherit=True), near)
    assert drive(near["main"](3), [], [], name).value == 4
    coro = near["main"](30)
    coro.send(None)
    with pytest.raises(ValueError, match="31") as caught:
        coro.send(None)
    levels = traceback.extract_tb(caught.value.__traceback__)[1:]
    assert [(each.filename, each.name, each.lineno) for each in levels] == [
        (name, "main", 10),
        (name, "middle", 5),
        (far["file"], "far", 8),
    ]
    assert [each.line for each in levels][-1] == "raise ValueError(x)"


def test_globals_of_a_callee_are_those_of_its_own_module() -> None:
    far = module(FAR, unboxed)
    near = module("far = None\n", unboxed)
    near.update(far=far["far"], limit=1_000)
    linecache.cache["<near2>"] = (len(NEAR), None, [*NEAR.splitlines(True)], "<near2>")
    exec(compile(NEAR, "<near2>", "exec", dont_inherit=True), near)
    far["limit"] = 100
    assert drive(near["main"](30), [], [], "").value == 31
    del far["limit"]
    assert drive(near["main"](30), [], [], "").error == (
        "NameError",
        "name 'limit' is not defined",
    )


@unboxed
async def documented(x: int, *, y: str = "y") -> str:
    """What it does."""
    return y * int(await Leaf(x))


def test_an_unboxed_function_looks_like_the_one_that_was_written() -> None:
    assert inspect.iscoroutinefunction(documented)
    assert str(inspect.signature(documented)) == "(x: 'int', *, y: 'str' = 'y') -> 'str'"
    assert documented.__doc__ == "What it does."
    assert documented.__module__ == __name__
    assert "async def documented" in inspect.getsource(documented)
    assert documented.__code__.co_filename == __file__
    documented(1).close()
    lines = {line for _, _, line in documented.__code__.co_lines() if line}
    first = documented.__code__.co_firstlineno
    assert {first, first + 3} <= lines, "coverage and debuggers see the lines of the source"


def test_one_that_is_never_awaited_is_reported() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        documented(1)  # type: ignore[unused-coroutine]
    assert "coroutine 'documented' was never awaited" in str(seen[0].message)


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    space: dict[str, Any] = {"unboxed": unboxed}
    with pytest.raises(Refused, match="cannot be read"):
        exec(compile("@unboxed\nasync def f(): pass\n", str(tmp_path / "gone.py"), "exec"), space)


async def _types() -> None:
    assert_type(await documented(1), str)
    assert_type(await pool(documented).begin(1, y="z"), str)
    await documented("no")  # type: ignore[arg-type]
