"""Handlers that allocate until they are refused: thousands of steps, and a victim beside them.

python -m tests.payers.crowd 500 7        # so many handlers, a seed
"""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, NoReturn

import msgspec

from pinfut import payers
from pinfut.payers import Payer
from tests.payers.apart import audit


class Parked:
    def __await__(self) -> Generator[None, None, None]:
        yield None


async def objects() -> NoReturn:
    kept = []
    while True:
        kept.append(object())


async def texts() -> NoReturn:
    kept = {}
    i = 0
    while True:
        i += 1
        kept[f"k{i}"] = str(i) * 3


async def nested() -> NoReturn:
    x: Any = []
    while True:
        x = [x, {1: x}, (x, 2.5)]


async def buffers() -> NoReturn:
    kept = []
    while True:
        kept.append(bytearray(random.randrange(20_000)))
        await Parked()


async def grown() -> NoReturn:
    kept = bytearray()
    while True:
        kept += b"x" * 1000
        await Parked()


async def one_block() -> list[int]:
    return [0] * 10**9


async def deep() -> None:
    async def down(n: int) -> None:
        held = [n] * 50
        await down(n + 1)
        del held

    await down(0)


async def catches() -> None:
    kept: list[Any] = []
    for _ in range(20):
        try:
            while True:
                kept.append([None] * random.randrange(100))
        except MemoryError:
            await Parked()


async def will_not_end() -> NoReturn:
    kept: list[Any] = []
    while True:
        try:
            kept.append(bytearray(5_000))
            await Parked()
        except MemoryError:
            kept.append(bytearray(5_000))


async def classes() -> NoReturn:
    kept: list[type] = []
    while True:

        class A:
            x = 1

        kept.append(A)


async def compiled() -> NoReturn:
    kept: list[Any] = []
    while True:
        kept.append(compile(f"def f(a, b=[{len(kept)}]):\n return [a + x for x in b]", "x", "exec"))


async def raised() -> NoReturn:
    kept = []
    while True:
        try:
            raise ValueError("x" * 500)
        except ValueError as error:
            kept.append(error)


async def closures() -> NoReturn:
    kept: list[Any] = []
    while True:
        x = len(kept)
        small = (iter([x]), memoryview(bytes(50)), f"{x}", 1 << (x % 500), {x}, frozenset([x]))
        kept.append((lambda y=x: y, (i for i in range(3)), small, slice(x), range(x)))


async def encoded() -> NoReturn:
    kept: list[Any] = []
    while True:
        kept.append(msgspec.json.encode({"a": [kept[-1:] and len(kept), "x" * 300] * 10}))
        kept.append(msgspec.json.decode(kept[-1]))


Handler = Callable[[], Any]
HANDLERS: tuple[Handler, ...] = (
    objects, texts, nested, buffers, grown, one_block, deep, catches, will_not_end, classes,
    compiled, raised, closures, encoded,
)  # fmt: skip


class Outcome(NamedTuple):
    ends: Counter[tuple[str, str]]
    over_at_rest: Counter[str]
    tables: int
    """Over the limit by one block: a table of the interpreter's that grew, as of a class's
    subclasses. docs/payers.md has it among the traps."""
    most_over: int
    refused: int
    raised: int


def run(count: int, seed: int) -> Outcome:
    """So many handlers, each on a payer of its own. Fails where the victim is harmed."""
    random.seed(seed)
    sys.setrecursionlimit(3_000)
    ends: Counter[tuple[str, str]] = Counter()
    over: Counter[str] = Counter()
    most = refused = sent = tables = 0
    victim = Payer(16)
    for _ in range(count):
        handler = random.choice(HANDLERS)
        p = Payer(random.randrange(1, 300))
        end = one(handler, p)
        ends[handler.__name__, end] += 1
        if p.settle():  # by what stands in cycles: collections are not made at any price
            gc.collect()
            tables += p.settle() > 0 and p.blocks == 1
            if p.settle() and p.blocks > 1:
                over[f"{handler.__name__}, {p.blocks} blocks of {p.used} bytes"] += 1
        audit(p)
        most = max(most, p.peak - p.limit)
        refused += p.refused
        sent += p.raised
        assert victim.firm_call(harmless) == "99"
    gc.collect()
    audit(victim)
    assert (victim.raised, victim.refused) == (0, 0)
    return Outcome(ends, over, tables, most, refused, sent)


def harmless() -> str:
    return [str(i) for i in range(100)][-1]


def one(handler: Handler, p: Payer) -> str:
    try:
        coro = p.firm_call(handler)
    except MemoryError:
        return "MemoryError"
    end = "ended"
    try:
        while True:
            p.send(coro, None)
    except StopIteration:
        pass
    except BaseException as error:
        end = type(error).__name__
    return end


def main(count: int, seed: int) -> None:
    payers.install()
    outcome = run(count, seed)
    for (name, end), times in sorted(outcome.ends.items()):
        print(f"{name:<14}{end:<16}{times}")
    print(*(f"{name} {value}" for name, value in outcome._asdict().items() if name != "ends"))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
