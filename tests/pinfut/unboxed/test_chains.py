"""Long chains: what decoration keeps, how deep one frame goes, what gets a further one."""

from __future__ import annotations

import gc
import sys
import traceback
from asyncio import CancelledError
from typing import Any

import pytest

from pinfut.unboxed import Refused, layout, pool, unboxed
from pinfut.unboxed.nesting import LIMIT, OUTERMOST
from pinfut.unboxed.unit import unit_of
from tests.pinfut.unboxed.programs import Program, drive, module, plainly, released

BOTTOM = """
@unboxed
async def f0(x):
    got = await leaf(x)
    if got < 0:
        raise ValueError(got)
    return got
"""

PLAIN = """
@unboxed
async def f{n}(x):
    return await f{below}(x) + 1
"""

CLEANS = """
@unboxed
async def f{n}(x):
    try:
        return await f{below}(x) + 1
    finally:
        log(({n}, x))
"""

CATCHES = """
@unboxed
async def f{n}(x):
    try:
        async with AsyncManager({n}):
            return await f{below}(x) + 1
    except KeyError:
        log("never")
    log("not reached")
"""


def chain(length: int, level: str) -> str:
    text = [BOTTOM, *(level.format(n=n, below=n - 1) for n in range(1, length))]
    return "".join(text) + f"\nmain = f{length - 1}\n"


def alive() -> int:
    gc.collect()
    return len(gc.get_objects())


def test_decoration_keeps_a_small_and_constant_number_of_objects() -> None:
    """Neither trees nor what a chain is compiled to, however long the chain."""
    module(chain(3, CLEANS), unboxed)  # whatever is made once
    kept: dict[int, float] = {}
    for length in (50, 100):
        with released():
            before = alive()
            space = module(chain(length, CLEANS), unboxed)
            kept[length] = (alive() - before) / length
            assert "main" in space
    plain = alive()
    space = module(chain(50, CLEANS), plainly)
    of_plain = (alive() - plain) / 50
    assert kept[50] < of_plain + 16, kept
    assert kept[100] < of_plain + 16, kept


def test_a_call_adds_what_one_frame_is_compiled_to_and_no_trees() -> None:
    with released():
        space = module(chain(50, CLEANS), unboxed)
        before = alive()
        assert drive(space["main"](1), [], space["logged"], space["file"]).value == 50
        space["logged"].clear()
        assert alive() - before < 1_000
        layout(space["main"])
        assert alive() - before < 1_000, "a layout is made anew and kept by nobody"


@pytest.mark.parametrize("length", [100, 300])
def test_a_long_chain_does_the_same(length: int) -> None:
    program = Program(chain(length, PLAIN))
    for answer in (None, ValueError("thrown"), CancelledError(), "close"):
        program.same([answer], (1,))


@pytest.mark.parametrize(("level", "length"), [(CLEANS, 100), (CATCHES, 30)])
def test_a_long_chain_of_functions_that_clean_up_does_the_same(level: str, length: int) -> None:
    program = Program(HEAD + chain(length, level))
    before = 0 if level is CLEANS else length - 1
    for answer in (None, ValueError("v"), CancelledError(), "close"):
        outcome = program.same([None] * before + [answer], (1,))
        assert len(outcome.log) >= length


HEAD = """
class AsyncManager:
    def __init__(self, name):
        self.name = name
    @unboxed
    async def __aenter__(self):
        return await leaf(self.name)
    @unboxed
    async def __aexit__(self, kind, error, traceback):
        log(("exit", self.name, kind and kind.__name__))
"""


def test_what_has_no_room_gets_a_frame_that_the_layout_names_and_the_size_holds() -> None:
    one = module(chain(100, PLAIN), unboxed)["main"]
    assert layout(one).further == (), "a hundred levels are one frame"
    longer = module(chain(300, PLAIN), unboxed)
    assert [name for name, _ in layout(longer["main"]).further] == ["f170"], "128 more are not"
    space = module(chain(100, CLEANS), unboxed)
    shown = layout(space["main"])
    ((name, size),) = shown.further
    # Each level takes a block. f85 would be the first that stands in more than the limit.
    assert name == f"f{99 - (LIMIT - OUTERMOST)}"
    assert size == layout(space[name]).called
    coro = space["main"](1)
    coro.send(None)
    frames: list[Any] = []
    each: Any = coro
    while each is not None:
        frames.append(each)
        each = each.cr_await
    assert sum(sys.getsizeof(frame) for frame in frames) == shown.called
    assert len(frames) == -(-100 // (LIMIT - OUTERMOST)), "and each holds as much as it can"
    coro.close()
    assert pool(space["main"]).size == shown.size
    without = layout(one)
    assert shown.size - shown.generator == without.size - without.generator + size
    assert shown.called < shown.boxed


def test_an_error_deep_in_a_long_chain_names_every_level() -> None:
    for level in (PLAIN, CLEANS):
        space = module(chain(100, level), unboxed)
        coro = space["main"](1)
        coro.send(None)
        with pytest.raises(ValueError, match="-1") as caught:
            coro.send(-1)
        levels = [each.name for each in traceback.extract_tb(caught.value.__traceback__)[1:]]
        assert levels == [f"f{n}" for n in range(99, -1, -1)]


def test_what_calls_itself_over_and_over_below_gets_frames_instead_of_growing() -> None:
    text = BOTTOM + "".join(
        f"@unboxed\nasync def f{n}(x):\n    return await f{n - 1}(x) + await f{n - 1}(x)\n"
        for n in range(1, 13)
    )
    space = module(text, unboxed)
    shown = layout(space["f12"])
    assert unit_of(space["f12"]).activations == 2**13 - 1
    assert shown.further
    assert len(shown.waits) <= 1024
    assert drive(space["f5"](1), [], [], space["file"]).value == 32


def test_a_function_whose_own_blocks_nest_too_deep_is_refused_when_it_is_decorated() -> None:
    text = "@unboxed\nasync def f(m: object):\n"
    for depth in range(9):
        text += "    " * (depth + 1) + "async with box(m):\n"
    text += "    " * 10 + "pass\n"
    with pytest.raises(Refused, match=r"nest \d+ deep.*allows 14.*unboxed function of their own"):
        module(text, unboxed)
