"""What can be awaited: methods, constructors, closures; each in one frame, each as it is plain."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Self, TypeVar

import pytest

from pinfut import AsyncConstructor, join, yield_now
from pinfut.executor import run
from pinfut.unboxed import Refused, layout, pool, unboxed
from pinfut.unboxed.sizes import CELL
from tests.pinfut.unboxed.programs import Leaf, Program, drive, module

T = TypeVar("T")


def finish(coro: Any) -> Any:
    """Run `coro` to its end; leaves give their value."""
    outcome = drive(coro, [], [], "")
    assert outcome.error is None, outcome.error
    return outcome.value


def functions(function: Any) -> list[str]:
    """The functions in the frame of `function` that wait."""
    return [wait.function.rpartition(".")[2] for wait in layout(function).waits]


# ---- await Cls.construct(...): a constructor that may wait ----


class Session:
    """Made only by waiting: ``session = await Session.construct(key)``."""

    made: ClassVar[int] = 0

    def __init__(self, key: int, secret: Any) -> None:
        self.key = key
        self.secret = secret

    @classmethod
    @unboxed
    async def construct(cls, key: int) -> Self:
        secret = await Leaf(("secret", key))
        cls.made += 1
        return cls(key, secret)

    @unboxed
    async def ask(self, what: str) -> tuple[int, Any, Any]:
        return self.key, self.secret, await Leaf(what)


class Louder(Session):
    """Inherits the constructor."""

    made: ClassVar[int] = 0

    @unboxed
    async def ask(self, what: str) -> tuple[int, Any, Any]:
        return self.key, self.secret, await Leaf(what.upper())


@unboxed
async def both(key: int) -> list[Any]:
    session = await Session.construct(key)
    louder = await Louder.construct(key + 1)
    return [type(session), type(louder), await session.ask("x"), await louder.ask("y")]


def test_a_constructor_that_waits_makes_the_class_that_it_is_called_on() -> None:
    Session.made = Louder.made = 0
    expected = [Session, Louder, (1, ("secret", 1), "x"), (2, ("secret", 2), "Y")]
    for start in (both, pool(both).begin):
        assert finish(start(1)) == expected
    assert (Session.made, Louder.made) == (2, 2)
    assert functions(both) == ["construct", "construct", "ask", "ask"], "all in one frame"


async def two(kind: AsyncConstructor[[int], T]) -> tuple[T, ...]:
    return await join(kind.construct(5), kind.construct(6))


class Slow:
    def __init__(self, key: int) -> None:
        self.key = key

    @classmethod
    async def construct(cls, key: int) -> Self:
        await yield_now()
        return cls(key)


class Slower(Slow):
    pass


def test_a_class_is_handed_to_what_constructs_its_objects() -> None:
    made = [*run(two(Slow)), *run(two(Slower))]
    assert [type(one) for one in made] == [Slow, Slow, Slower, Slower]
    assert [one.key for one in made] == [5, 6, 5, 6]


def test_a_constructor_that_raises_or_is_cancelled_makes_nothing() -> None:
    for answer in (ValueError("no"), "close"):
        Session.made = 0
        outcome = drive(both(1), [answer], [], "")
        assert Session.made == 0
        assert outcome.value is None


# ---- methods ----

METHODS = """
class Counter:
    def __init__(self, step):
        self.step = step
        self.total = 0
    @unboxed
    async def add(self, x, *, times=1):
        for _ in range(times):
            self.total += self.step * await leaf(x)
        return self.total
    @unboxed
    async def twice(self, x):
        await self.add(x)
        return await self.add(x, times=2)
    @staticmethod
    @unboxed
    async def neutral(x):
        return await leaf(x)
    @unboxed
    async def reset(self):
        self.total = await Counter.neutral(0)
class Pair:
    left: Counter
    def __init__(self):
        self.left = Counter(1)
    @unboxed
    async def run(self, right: Counter):
        local = Counter(100)
        out = [await self.left.twice(1), await right.twice(2), await local.add(3)]
        await self.left.reset()
        return out + [self.left.total]
@unboxed
async def main():
    pair = Pair()
    out = await pair.run(Counter(10))
    return out + [await Pair.run(pair, Counter(0))]
"""


def test_methods_are_embedded_on_self_parameters_attributes_and_locals() -> None:
    program = Program(METHODS)
    outcome = program.same()
    for at in range(outcome.waits):
        for answer in (ValueError("v"), "close"):
            program.same([None] * at + [answer])
    shown = layout(program.called["main"])
    assert {wait.function for wait in shown.waits} == {"Counter.add", "Counter.neutral"}
    assert shown.further == ()


def test_a_method_of_a_generic_class_is_known_by_its_annotation() -> None:
    assert finish(unwraps(Holder(7))) == 7


class Holder(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    @unboxed
    async def get(self) -> T:
        await Leaf("get")
        return self.value


@unboxed
async def unwraps(holder: Holder[int]) -> int:
    return await holder.get()


# ---- closures ----

CLOSURES = """
def make(name, start):
    total = start
    @unboxed
    async def add(by):
        nonlocal total
        total += await leaf(by)
        log((name, total))
        return total
    @unboxed
    async def twice(by, *more, scale=start):
        await add(by)
        return await add(by * scale), more
    return twice
first = make("first", 1)
second = make("second", 10)
@unboxed
async def main():
    return await first(1), await second(2, 3), await first(await second(1), scale=0)
"""


def test_closures_are_embedded_each_with_the_variables_that_it_holds() -> None:
    program = Program(CLOSURES.replace("await second(1)", "(await second(1))[0]"))
    outcome = program.same()
    assert outcome.value is not None
    for at in range(outcome.waits):
        program.same([None] * at + [ValueError("v")])
        program.same([None] * at + ["close"])
    assert {wait.function for wait in layout(program.called["main"]).waits} == {"make.<locals>.add"}


@unboxed
async def captures(x: int) -> Callable[[], int]:
    total = await Leaf(x)

    def count() -> int:
        nonlocal total
        total += x
        return int(total)

    return count


@unboxed
async def captures_nothing(x: int) -> int:
    total = await Leaf(x)
    return int(total) + x


def test_variables_that_a_closure_holds_are_part_of_the_size() -> None:
    shown = layout(captures)
    assert shown.called - shown.generator >= 0
    cells = 2 * CELL  # of total and x
    names = [each.name for slot in shown.slots for each in slot.locals]
    assert {"total", "x"} <= set(names)
    bare = layout(captures_nothing)
    others = shown.size - shown.generator
    assert others - (bare.size - bare.generator) == cells
    for start in (captures, pool(captures).begin):
        count = finish(start(2))
        again = finish(start(5))
        assert (count(), count(), again()) == (4, 6, 10), "each call has variables of its own"


def test_a_coroutine_function_that_is_made_in_the_call_has_to_be_boxed() -> None:
    text = """
@unboxed
async def main(x):
    async def inner():
        return await leaf(x)
    return await inner()
"""
    with pytest.raises(Refused, match=r"what inner is, is not known.*await box\(inner"):
        module(text, unboxed)
    boxed = Program(text.replace("await inner()", "await box(inner())"))
    assert boxed.same((), (3,)).value == 3
    boxed.same(["close"], (3,))


# ---- async generators: items and waits are two things ----


@pytest.mark.parametrize("body", ["yield 1", "x = yield", "await leaf(1)\n    yield 2"])
def test_an_async_generator_is_refused_with_the_way_out(body: str) -> None:
    with pytest.raises(Refused, match=r"async generator.*one door") as no:
        module(f"@unboxed\nasync def items():\n    {body}\n", unboxed)
    assert "stream" in no.value.way_out


def test_a_loop_over_an_async_generator_is_refused_unless_it_is_boxed() -> None:
    text = """
async def items():
    for n in range(3):
        yield await leaf(n)
@unboxed
async def main():
    return [n async for n in items()]
"""
    with pytest.raises(Refused, match=r"not known.*box"):
        module(text, unboxed)
    program = Program(text.replace("in items()]", "in box(items())]"))
    assert program.same().value == [0, 1, 2]


# ---- type parameters ----

GENERIC = """
@unboxed
async def first[T: int, *Ts](x: T, *, y: list[T] | None = None) -> tuple[T, str]:
    found: T = await leaf(x)
    return found, (lambda: T)().__name__

class Base[T]:
    @unboxed
    async def step(self, x: T) -> T:
        return await leaf(x)

class Derived[T](Base[T]):
    @unboxed
    async def step[U](self, x: U) -> U:
        log(await first(x))
        return await super().step(x)

@unboxed
async def main():
    type Here = int
    log(Here.__value__)
    thing = Derived()
    return await thing.step(7)
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with CPython 3.12")
def test_functions_and_classes_with_type_parameters_are_embedded() -> None:
    outcome = Program(GENERIC).same()
    assert outcome.error is None
    assert outcome.value == 7
    assert outcome.log[0] is int
    assert (7, "T") in outcome.log
    text = "@unboxed\nasync def f():\n    def inner[T](x: T) -> T: return x\n"
    with pytest.raises(Refused, match="type parameters of an inner function; define it outside"):
        module(text, unboxed)
