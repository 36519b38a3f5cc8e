"""What a message can become at most is known from its type, before anybody has looked at it."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest

from pinfut import checked
from pinfut.rpc.objects.expansion import expansion
from pinfut.rpc.objects.weight import MOST, weigh
from tests.covered import covered


class Colour(Enum):
    RED = 1
    BLUE = 300


class Point(msgspec.Struct):
    x: int = 0
    tags: list[int] = []
    names: dict[str, int] = msgspec.field(default_factory=dict)


class Pair(msgspec.Struct, array_like=True, tag=True):
    a: int
    b: Any = None


class Tagged(msgspec.Struct, tag=True, array_like=True):
    more: list[Tagged | Pair | int] = []


class Place(NamedTuple):
    at: int
    why: str = "nothing"


class Both(TypedDict, total=False):
    left: int
    right: list[str]


@dataclass
class Order:
    items: list[str] = field(default_factory=list)
    by: dict[str, int] = field(default_factory=dict)
    more: set[int] = field(default_factory=set)


KINDS = (
    *(bytes, str, int, float, bool, Any, bytearray, memoryview, UUID, Decimal),
    *(datetime, timedelta, Colour, list[Any], list[int], list[float], list[str], list[bytes]),
    *(list[bytearray], list[memoryview], list[list[int]], list[bool | None]),
    *(tuple[int, ...], tuple[int, str, list[Any]], list[tuple[()]], list[tuple[int, int]]),
    *(set[int], frozenset[str], list[set[int]], list[frozenset[Any]], dict[str, int]),
    *(dict[int, list[int]], dict[Any, Any], list[dict[int, int]], list[dict[str, Any]]),
    *(Point, list[Point], Pair, list[Pair], Tagged, list[Tagged], Place, list[Place]),
    *(Both, list[Both], Order, list[Order], dict[str, Order], list[Colour], list[UUID]),
    *(
        list[datetime],
        list[timedelta],
        list[Decimal],
        list[int | str | list[bytes]],
        list[Any] | str,
    ),
    *(msgspec.msgpack.Ext, list[msgspec.msgpack.Ext], list[list[str] | dict[str, bytes]]),
)

LEAVES: tuple[Any, ...] = (
    *(None, True, 0, -1, -32, -33, 300, 1 << 40, 1.5, "", "a", "x" * 40, "\U0001f600" + "a" * 60),
    *(b"", b"a", bytes(100), bytearray(3), [], {}, {1: 2}, {"a": 1}, {"left": 1}, {"x": 1}),
    *(
        {"items": []},
        ["Tagged"],
        ["Tagged", []],
        ["Pair", -33],
        [1],
        [-33, -33],
        [1, ""],
        UUID(int=5),
    ),
    *(datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=None), timedelta(3), "1.5", "P1D"),
    *("12345678-1234-1234-1234-123456789abc", "2026-01-01T00:00:00Z", 1, "b"),
    *(msgspec.msgpack.Ext(1, b""), msgspec.msgpack.Ext(5, bytes(50)), {"more": [1]}),
)


def values(rng: Random) -> Iterator[Any]:
    """Each leaf alone, many of each in whatever holds it, and random trees."""
    yield from LEAVES
    yield from (bytes(10_000), "x" * 10_000, "\U0001f600" + "x" * 10_000, "é" * 5000)
    for leaf in LEAVES:
        for many in (1, 5, 9, 17, 1000):
            yield [leaf] * many
            yield [[leaf]] * many
            yield dict.fromkeys(range(many), leaf)
            yield {str(n): leaf for n in range(many)}
            yield [1, "", [leaf] * many]
            yield ["Tagged", [leaf] * many]
            yield ["Pair", 1, [leaf] * many]
    for many in (1, 5, 20, 77, 308, 1000, 5000):
        yield list(range(-40 - many, -40))
        yield [f"{n}" for n in range(many)]
        yield [list(range(n % 7)) for n in range(many)]
    starts: tuple[Any, ...] = ([], {}, 1)
    for deep in starts:
        for _ in range(200):
            deep = [deep] if rng.random() < 0.5 else {1: deep}
        yield deep
    for _ in range(300):
        yield tree(rng, 4)


def tree(rng: Random, depth: int) -> Any:
    if not depth or rng.random() < 0.2:
        return rng.choice(LEAVES)
    if rng.random() < 0.6:
        return [tree(rng, depth - 1) for _ in range(rng.randrange(6))]
    return {rng.randrange(1000): tree(rng, depth - 1) for _ in range(rng.randrange(6))}


MESSAGES = list({msgspec.msgpack.encode(value): None for value in values(Random(5))})


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_message_becomes_more_than_its_type_says(kind: Any) -> None:
    decode = msgspec.msgpack.Decoder(kind).decode
    each, beside = expansion(kind)
    keeping, checked.keeping = checked.keeping, False
    gc.collect()
    gc.disable()
    decoded = refused = known = 0
    tracemalloc.start()
    try:
        for message in MESSAGES:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            try:
                value = decode(message)
            except (msgspec.MsgspecError, TypeError, RecursionError):
                value = None
                refused += 1
            else:
                decoded += 1
            now, peak = tracemalloc.get_traced_memory()
            now, peak = now - before, peak - before
            if value is not None or peak > 2048:
                bound = beside + each * len(message)
                # What an exception takes is not the message's.
                assert peak <= bound + 2048 * (value is None), (kind, message[:60], len(message))
                if value is not None:
                    weighed, things = weigh(value)
                    assert things <= max(MOST, len(message) + MOST), message[:60]
                    if weighed is not None:
                        known += 1
                        if now > weighed + 64:  # or a thread of an earlier test has allocated
                            del value
                            before = tracemalloc.get_traced_memory()[0]
                            value = decode(message)
                            now = tracemalloc.get_traced_memory()[0] - before
                        # What is found within a type's bound is charged, and no less is taken.
                        assert now <= weighed + 64, (kind, message[:60], len(message))
            del value
    finally:
        tracemalloc.stop()
        gc.enable()
        checked.keeping = keeping
    assert decoded
    covered("messages within what their types say", decoded=decoded, refused=refused, weighed=known)
