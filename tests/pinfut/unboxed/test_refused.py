"""What cannot be embedded says so when it is decorated: where, what, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.unboxed import Refused, layout, pool, unboxed
from tests.pinfut.unboxed.programs import drive, module

HEAD = "async def plain(x):\n    return x\nfrom pinfut.executor import scope\n"

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
    "a scope": ("async def f():\n    async with scope() as s: pass", r"write box\(scope\(\)\)"),
    "no async def": ("def f():\n    pass", "no async def"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_with_the_place_and_the_way_out(what: str) -> None:
    text, message = REFUSED[what]
    with pytest.raises(Refused, match=message) as caught:
        module(HEAD + "@unboxed\n" + text + "\n", unboxed)
    assert caught.value.file.startswith("<program")
    assert caught.value.line in (4, 5, 6)
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


IN_A_CLASS = {
    "a plain method of a base": (
        "await self.plainly()",
        r"plainly is a coroutine with a frame of its own.*box\(self\.plainly",
    ),
    "super of a plain one": ("await super().plainly()", r"box\(super\(\)\.plainly"),
    "super of nothing": ("await super().nowhere()", "not known"),
    "super of others": ("await super(Derived, self).step()", r"not known.*box\(super\(Derived"),
    "what is still to come": ("await self.later()", "not known.*define it before"),
}


@pytest.mark.parametrize("what", IN_A_CLASS)
def test_a_call_in_a_class_is_refused_with_the_way_out(what: str) -> None:
    call, message = IN_A_CLASS[what]
    text = f"""
class Base:
    @unboxed
    async def step(self):
        pass
    @unboxed
    async def later(self):
        pass
    async def plainly(self):
        pass
class Derived(Base):
    @unboxed
    async def f(self):
        {call}
    @unboxed
    async def later(self):
        pass
"""
    with pytest.raises(Refused, match=message) as caught:
        module(text, unboxed)
    assert caught.value.line == 14


def test_a_super_that_means_another_class_in_the_end_is_refused_when_it_is_called() -> None:
    text = """
class Base:
    @unboxed
    async def step(self):
        return await leaf("base")
class One(Base):
    @unboxed
    async def step(self):
        return await super().step()
class Other(Base):
    @unboxed
    async def step(self):
        return await leaf("other")
class Both(One, Other):
    pass
"""
    space = module(text, unboxed)
    assert drive(space["One"]().step(), [], [], space["file"]).value == "base"
    refused = drive(space["Both"]().step(), [], [], space["file"])
    assert refused.error is not None
    assert "was embedded" in refused.error[1]
