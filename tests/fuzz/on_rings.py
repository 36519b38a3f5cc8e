"""Indices and lengths in shared memory: the ring and the completions."""

from __future__ import annotations

import struct
from collections import Counter

from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.memory.lane import Completions
from pinfut.rpc.memory.ring import HEAD_BYTES, RingReader, RingWriter, ring_bytes
from tests.fuzz.harness import pieces

BODY, WORD, READ, WRITE, RELEASE, IDS, TAKE, POST = range(8)
MARGIN = 64


def fuzz_ring(data: bytes, counts: Counter[str]) -> None:
    """Both ends of a ring, and the completions, while somebody writes into their memory."""
    capacity = 256
    memory = bytearray(b"\xee" * MARGIN + bytes(ring_bytes(capacity)) + b"\xee" * MARGIN)
    view = memoryview(memory)[MARGIN:-MARGIN]
    ids = memoryview(bytearray(8 * 9))
    writer, reader = RingWriter(view), RingReader(view)
    completions, callee = Completions(ids, 8), Completions(ids, 8)
    for operation, argument, given in pieces(data):
        try:
            match operation % 8:
                case 0:  # BODY
                    at = HEAD_BYTES + argument % (capacity // 4) * 4
                    part = given[: len(view) - at]
                    view[at : at + len(part)] = part
                case 1:  # WORD
                    part = given[:8].ljust(8, b"\0")
                    view[argument % 4 * 8 : argument % 4 * 8 + 8] = part
                case 2:  # READ
                    got = reader.receive(argument)
                    assert reader._seen <= reader.consumed + capacity, "a lap too much is believed"
                    counts["seen"] += bool(got) or reader.more
                    assert len(got) <= argument
                    assert sum(map(len, got)) <= capacity, "more than there is room for"
                    assert all(len(one) >= 8 for one in got)
                    counts["read"] += len(got)
                case 3:  # WRITE
                    frame = struct.pack("<I", 8 + len(given[:120])) + bytes(4) + given[:120]
                    counts["written"] += writer.submit(frame)
                    assert writer.unpublished <= capacity
                    if argument % 2:
                        writer.publish()
                case 4:  # RELEASE
                    reader.release()
                case 5:  # IDS
                    at = argument % 9 * 8
                    part = given[: len(ids) - at]
                    ids[at : at + len(part)] = part
                case 6:  # TAKE
                    taken = completions.take()
                    assert len(taken) <= 8
                    counts["taken"] += len(taken)
                case _:  # POST, as often as there are slots
                    if len(callee.posted) < 8:
                        callee.post(argument)
                    callee.publish()
        except GarbageFrame:
            counts["refused"] += 1
            break
        assert set(memory[:MARGIN]) == set(memory[-MARGIN:]) == {0xEE}, "written beside the ring"
