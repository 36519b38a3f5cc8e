"""Changes inputs at random, one history for each seed: where there is no coverage to guide."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

from tests.fuzz.harness import pieces

LONGEST = 4096
NUMBERS = (0, 1, 2, 3, 7, 8, 9, 127, 128, 255, 256, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 64) - 1)
"""Where numbers change their meaning."""


def mutations(inputs: list[bytes], seed: int) -> Iterator[bytes]:
    """Changed inputs without an end."""
    draw = random.Random(seed)
    while True:
        data = bytearray(draw.choice(inputs))
        for _ in range(1 + draw.randrange(4)):
            _change(data, inputs, draw)
        yield bytes(data[:LONGEST])


def _change(data: bytearray, inputs: list[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    match draw.randrange(8):
        case 0 if data:  # one bit
            data[at % len(data)] ^= 1 << draw.randrange(8)
        case 1 if data:  # one byte
            data[at % len(data)] = draw.choice((0, 1, 2, 127, 128, 255, draw.randrange(256)))
        case 2:  # a number
            number = draw.choice(NUMBERS) + draw.choice((0, 0, -1, 1))
            size = draw.choice("BHIQ")
            width = struct.calcsize(size)
            part = struct.pack(f"<{size}", number % (1 << 8 * width))
            data[at : at + width] = part
        case 3:  # less
            del data[at : at + 1 + draw.randrange(16)]
        case 4:  # more
            data[at:at] = draw.randbytes(1 + draw.randrange(16))
        case 5:  # a part of another
            other = draw.choice(inputs)
            start = draw.randrange(len(other) + 1)
            data[at:] = other[start:]
        case _:  # pieces in another order, or one twice
            parts = _split(bytes(data))
            if len(parts) > 1:
                one, other_one = draw.randrange(len(parts)), draw.randrange(len(parts))
                if draw.randrange(2):
                    parts[one], parts[other_one] = parts[other_one], parts[one]
                else:
                    parts.insert(one, parts[other_one])
                data[:] = b"".join(parts)


def _split(data: bytes) -> list[bytes]:
    parts = []
    at = 0
    for _, _, part in pieces(data):
        parts.append(data[at : at + 4 + len(part)])
        at += 4 + len(part)
    return parts
