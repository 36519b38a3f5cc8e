"""What cannot be embedded says so when it is decorated: where, what, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.unboxed import Refused, layout, pool, unboxed
from tests.pinfut.unboxed.programs import drive, module

HEAD = "async def plain(x):\n    return x\n"

REFUSED = {
    "recursion": ("async def f(x):\n    return await f(x - 1)", r"calls itself.*await box\(f"),
    "a plain coroutine": ("async def f(x):\n    await plain(x)", "frame of its own.*@unboxed"),
    "a parameter is called": ("async def f(g):\n    await g()", "not known.*box"),
    "a method of something unknown": ("async def f(g):\n    await g.m()", "not known.*annotate"),
    "not defined yet": ("async def f():\n    await later()", "not known.*define it before"),
    "an async generator": ("async def f():\n    yield 1", "async generator.*stream"),
    "locals": ("async def f():\n    return locals()", "whole chain"),
    "an unknown manager": ("async def f(m):\n    async with m: pass", "not known.*box"),
    "an unknown iterator": ("async def f(m):\n    async for x in m: pass", "not known.*box"),
    "an asynchronous generator expression": (
        "async def f(m):\n    return ((await x) for x in m)",
        "frame of its own.*loop",
    ),
    "no async def": ("def f():\n    pass", "no async def"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_with_the_place_and_the_way_out(what: str) -> None:
    text, message = REFUSED[what]
    with pytest.raises(Refused, match=message) as caught:
        module(HEAD + "@unboxed\n" + text + "\n", unboxed)
    assert caught.value.file.startswith("<program")
    assert caught.value.line in (3, 4, 5)
    assert caught.value.way_out


def test_a_coroutine_that_comes_to_an_await_of_a_name_is_refused_there() -> None:
    space = module(HEAD + "@unboxed\nasync def main(x):\n    return await x\n", unboxed)
    coro: Any = space["plain"](1)
    outcome = drive(space["main"](coro), [], space["logged"], space["file"])
    assert outcome.error is not None
    assert "box(...)" in outcome.error[1]
    assert coro.cr_frame is None, "it was closed"


def test_a_method_that_is_overridden_is_refused_when_it_is_called() -> None:
    text = """
class Base:
    @unboxed
    async def step(self):
        return await leaf("base")
class Derived(Base):
    async def step(self):
        return await leaf("derived")
@unboxed
async def main(thing: Base):
    return await thing.step()
"""
    space = module(text, unboxed)
    assert drive(space["main"](space["Base"]()), [], [], space["file"]).value == "base"
    refused = drive(space["main"](space["Derived"]()), [], [], space["file"])
    assert refused.error is not None
    assert "was embedded" in refused.error[1]


def test_what_is_not_unboxed_has_no_layout() -> None:
    async def plain() -> None:
        pass

    for ask in (layout, pool):
        with pytest.raises(TypeError, match="decorate it with @unboxed"):
            ask(plain)
