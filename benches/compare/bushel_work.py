"""What the designs of a bushel are given to do, and what they weigh."""

from __future__ import annotations

import gc
import tracemalloc
from array import array
from collections.abc import Callable, Mapping
from typing import Final

from benches.compare.bushels import (
    AccessPages,
    Bushels,
    MapForAll,
    MapForEach,
    SlabForEach,
    TaggedArena,
)

CLIENTS: Final = 64
EACH: Final = 16
_MANY: Final = 256
BUSHELS: Final[Mapping[str, type[Bushels]]] = {
    "map each": MapForEach,
    "map for all": MapForAll,
    "slab each": SlabForEach,
    "tagged arena": TaggedArena,
    "access pages": AccessPages,
}
THING: Final = object()
"""Always the same, so that what is weighed is the tables."""

Filled = tuple[Bushels, list[tuple[int, int]]]


def filled(design: str, clients: int = CLIENTS, each: int = EACH) -> Filled:
    """Clients that have come in turn, and each number that was given."""
    bushels = BUSHELS[design]()
    given = [
        (client, bushels.grant(client, THING)) for _ in range(each) for client in range(clients)
    ]
    return bushels, given


def get(it: Filled, ops: int) -> None:
    bushels, given = it
    for i in range(ops):
        client, number = given[i % len(given)]
        bushels.get(client, number)


def give_and_release(it: Filled, ops: int) -> None:
    bushels, _ = it
    for i in range(ops):
        client = i % CLIENTS
        bushels.release(client, bushels.grant(client, THING))


def leave(it: Filled, ops: int) -> None:
    """A client with 16 objects comes and goes, beside 64 others."""
    bushels, _ = it
    for _ in range(ops):
        for _ in range(EACH):
            bushels.grant(CLIENTS, THING)
        bushels.leave(CLIENTS)


BUSHEL_WORK: Final[Mapping[str, Callable[[Filled, int], None]]] = {
    "get": get,
    "give and release": give_and_release,
    "leave": leave,
}


def weigh(design: str) -> tuple[float, float]:
    """Bytes an object, of the tables: when 64 clients have 256 each; and bytes a client, when each
    has released all but its last."""
    numbers = array("Q", bytes(8 * CLIENTS * _MANY))  # keeps no object that a table has made
    bushels = BUSHELS[design]()
    gc.collect()
    tracemalloc.start()
    try:
        for i in range(len(numbers)):
            numbers[i] = bushels.grant(i % CLIENTS, THING)
        full = tracemalloc.get_traced_memory()[0]
        for i in range(len(numbers) - CLIENTS):
            bushels.release(i % CLIENTS, numbers[i])
        left = tracemalloc.get_traced_memory()[0]
        assert len(bushels) == CLIENTS
        return full / len(numbers), left / CLIENTS
    finally:
        tracemalloc.stop()
