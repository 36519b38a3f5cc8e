"""What one message makes a server copy and hold is bounded by that message."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from pinfut.rpc.lab.hostile.raw import call, quiet
from pinfut.rpc.lab.hostile.shop import HOLD_ANY
from pinfut.rpc.lab.hostile.stage import Stage, perform
from tests.covered import covered, require

LENGTH = 16_000

MOST = 96
"""Bytes that a byte of a message may become: an empty table is one byte on its way, and 64 and its
place when it is here."""

ROOM = 24_576
"""Bytes that a server's own tables and one call take beside that."""


def bare(count: int, one: bytes) -> bytes:
    """A message with one list of so many of the same."""
    return b"\x91\xdd" + count.to_bytes(4, "big") + one * count


PAYLOADS = {
    "bytes": msgspec.msgpack.encode([bytes(LENGTH)]),
    "wide text": msgspec.msgpack.encode(["\U0001f600" + "a" * LENGTH]),
    "empty lists": bare(LENGTH, b"\x90"),
    "empty tables": bare(LENGTH, b"\x80"),
    "empty texts": bare(LENGTH, b"\xa0"),
    "integers": bare(LENGTH // 3, b"\xcd\x7f\xff"),
    "lists in lists": bare(LENGTH // 33, b"\x91" * 32 + b"\x90"),
    "a table of lists": msgspec.msgpack.encode([{n: [n] for n in range(LENGTH // 7)}]),
}


@pytest.mark.parametrize("kind", PAYLOADS)
def test_what_one_message_makes_a_server_hold_is_bounded_by_its_length(kind: str) -> None:
    """Bank rule 50: of each, and not only of their sum. When many come at once, no more than one
    is there uncharged; one above the server's limit is refused before it is copied."""
    payload = PAYLOADS[kind]
    found: list[int] = []

    async def send(stage: Stage) -> None:
        raw = await stage.session(32, ring=1 << 20)
        peer = stage.kernel.peer_of(raw.end)
        assert peer is not None
        requests: Any = peer.requests()
        copied, (before, charged) = requests.copied, stage.weigh()
        tracemalloc.reset_peak()
        raw.send(call(32, 0, HOLD_ANY, payload=payload))
        await quiet()
        taken = stage.peak() - before
        assert taken <= MOST * len(payload) + ROOM
        many = 8
        raw.send(*(call(33 + i, 0, HOLD_ANY, payload=payload) for i in range(many - 1)))
        await quiet()
        peak = stage.peak() - before
        more, paid = (a - b for a, b in zip(stage.weigh(), (before, charged), strict=True))
        assert requests.copied - copied <= many * (len(payload) + 64)
        assert more <= paid, "what is held was not charged"
        assert peak - paid <= MOST * len(payload) + ROOM
        # Longer than what is taken: refused before it is copied, and the session ends.
        other = await stage.session(8, ring=1 << 20)
        before = stage.weigh()[0]
        peer = stage.kernel.peer_of(other.end)
        assert peer is not None
        requests = peer.requests()
        requests.largest = len(payload) // 2
        tracemalloc.reset_peak()
        other.send(call(8, 0, HOLD_ANY, payload=payload))
        await quiet()
        assert other.closed
        assert stage.peak() - before <= 2 * len(payload) + ROOM
        found.extend((taken, len(payload)))

    perform(send, suffers=False, traced=True)
    taken, length = found
    require(covered(f"a message of {kind}", taken=taken, length=length), "taken", "length")
