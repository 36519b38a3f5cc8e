"""Payloads: values of declared types, and errors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from pinfut.rpc import Interface, RpcError
from pinfut.rpc.errors import from_wire
from pinfut.rpc.objects.codec import Codec, CodecError
from tests.rpc.wire.fakes import Plain, Thing


class Point(msgspec.Struct):
    x: int
    name: str = ""


Tree = dict[str, list[int | str | None]]
TYPES: tuple[Any, ...] = (
    int,
    str,
    bytes,
    float,
    bool,
    list[int],
    Tree,
    tuple[int, str],
    tuple[int, ...],
    Point,
    list[Point],
    set[str],
    Thing,
    list[Thing],
    dict[str, Thing | None],
)
CODECS = tuple(Codec(kind, Interface) for kind in TYPES)
_read_error = msgspec.msgpack.Decoder(tuple[int, str, str]).decode


def fuzz_payloads(data: bytes, counts: Counter[str]) -> None:
    """One payload: its type by the first byte, then msgpack; the last "type" is an error."""
    if not data:
        return
    which, payload = data[0] % (len(TYPES) + 1), data[1:]
    try:
        if which == len(TYPES):
            try:
                error = from_wire(*_read_error(payload))
            except (msgspec.MsgspecError, ValueError):
                counts["refused"] += 1
                return
            assert isinstance(error, RpcError)
            counts["error"] += 1
            return
        codec = CODECS[which]
        if not codec.has_caps:
            value = codec.decode(payload)
            codec.encode_checked(value)
            counts["decoded"] += 1
            return
        things = [Plain(), Plain(), Plain()]
        left = dict(enumerate(things))

        def resolve(index: int, interface: Any) -> object:
            if index not in left:
                raise ValueError(f"no capability {index}")
            return left.pop(index)

        value = codec.decode_caps(payload, resolve)
        codec.encode_caps(value)
        counts["with capabilities"] += 1
    except CodecError:
        counts["refused"] += 1
