"""The shapes that several benches of every system share: trees of tasks, orders of waking."""

import random
from typing import Final

FAN: Final = 6
"""Children of each node of a tree. Six of them over six levels are the well-known async tree."""

ARGUMENT: Final = bytes(8192)
"""What each request of a hostile client carries: much more than the objects about it take."""


def levels(nodes: int) -> int:
    """The levels below the root of the largest tree that has at most so many nodes."""
    level, size, width = 0, 1, 1
    while size + width * FAN <= nodes:
        width *= FAN
        size += width
        level += 1
    return level


def shuffled(count: int) -> list[int]:
    """0 to count - 1 in an order that is random, and the same for every system."""
    order = list(range(count))
    random.Random(0).shuffle(order)
    return order


def rounds(ops: int, count: int) -> list[int]:
    """`ops` operations in rounds of `count`: rounds(250, 100) == [100, 100, 50]."""
    full, rest = divmod(ops, count)
    return [count] * full + [rest] * (rest > 0)
