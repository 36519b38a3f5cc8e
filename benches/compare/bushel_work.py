"""What the designs of a bushel are given to do, and what they weigh."""

from __future__ import annotations

import gc
import tracemalloc
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
    """Bytes an object, of the tables: when 64 clients have 256 each, and of those that are left
    when each has released all but its last."""
    gc.collect()
    tracemalloc.start()
    try:
        filled(design, 1, 1)
        before = tracemalloc.get_traced_memory()[0]
        bushels, given = filled(design, CLIENTS, 256)
        numbers = tracemalloc.get_traced_memory()[0]
        copy = [(client, number) for client, number in given]
        own = tracemalloc.get_traced_memory()[0] - numbers  # the list of those given is not theirs
        full = (numbers - own - before) / len(given)
        last = dict(copy)
        del copy
        held = tracemalloc.get_traced_memory()[0]
        for client, number in given:
            if last[client] != number:
                bushels.release(client, number)
        rest = (tracemalloc.get_traced_memory()[0] - held + numbers - own - before) / CLIENTS
        assert len(bushels) == CLIENTS
        return full, rest
    finally:
        tracemalloc.stop()
