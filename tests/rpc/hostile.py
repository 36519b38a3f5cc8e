"""A peer that breaks the protocol: writes what it likes into the memory that both sides share."""

from __future__ import annotations

import struct

import msgspec

from pinfut.rpc import Session, Vat
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.protocol.frames import (
    CALL,
    CALL_HEAD,
    CANCEL,
    FINISH,
    RELEASE,
    RELEASE_FRAME,
    RETURN,
    RETURN_HEAD,
    SHORT,
)

RING, CELL = 16_384, 1024


def connect_raw(vat: Vat, name: str, bank: object, slots: int = 8) -> Session:
    """A session without its root, to be abused."""
    return vat.connect(name, bank, slots, RING, CELL)  # type: ignore[arg-type]


def own_lane(session: Session) -> Lane:
    """The lane on which this side calls."""
    return session.end.out()


def other_lane(session: Session) -> Lane:
    """The lane on which the other side calls, and this one answers."""
    lane = session.end.into()
    assert lane is not None
    return lane


def send(session: Session, *frames: bytes) -> None:
    """Put bytes into the ring as they are, and signal."""
    lane = own_lane(session)
    for frame in frames:
        assert lane.writer.write(frame)
    lane.writer.publish()
    session.end.signal()


def answer(session: Session, place: int, x: int, frame: bytes) -> None:
    """Write bytes where an answer belongs, post its id, and signal."""
    lane = other_lane(session)
    lane.cells.write(place, frame)
    post(session, x)


def post(session: Session, *xs: int) -> None:
    """Say that these calls are answered."""
    completions = other_lane(session).completions
    for x in xs:
        completions.post(x)
    completions.publish()
    session.end.signal()


def overwrite(lane: Lane, at: int, words: bytes) -> None:
    """Change the shared bytes of the ring and the completions."""
    lane.memory[at : at + len(words)] = words


def tail_of(lane: Lane) -> int:
    """Where the ring's word stands that says how far the writer is."""
    return 8 * (1 + lane.slots)


def word(value: int) -> bytes:
    return struct.pack("<Q", value)


def call(
    x: int,
    target: int,
    number: int,
    *args: object,
    flags: int = 0,
    room: int = 256,
    place: int = 0,
    caps: int = 0,
    kind: int = CALL,
    payload: bytes | None = None,
    length: int | None = None,
) -> bytes:
    """A Call, in every part as wanted."""
    body = msgspec.msgpack.encode(args) if payload is None else payload
    size = CALL_HEAD.size + len(body) if length is None else length
    return CALL_HEAD.pack(size, kind, flags, number, x, target, room, place, caps) + body


def returned(x: int, payload: bytes, *, flags: int = 4, caps: int = 0, kind: int = RETURN) -> bytes:
    """A Return, in every part as wanted."""
    size = RETURN_HEAD.size + len(payload)
    return RETURN_HEAD.pack(size, kind, flags, caps, x) + payload


def short(kind: int, x: int, flags: int = 0) -> bytes:
    """A Finish or a Cancel."""
    return SHORT.pack(SHORT.size, kind, flags, 0, x)


def release(number: int, count: int) -> bytes:
    """A Release."""
    return RELEASE_FRAME.pack(RELEASE_FRAME.size, RELEASE, 0, 0, number, count)


__all__ = [
    "CALL",
    "CANCEL",
    "FINISH",
    "RELEASE",
    "RETURN",
]
