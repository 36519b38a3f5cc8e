"""Payloads: values of annotated types as msgpack, with capabilities set aside.

msgspec does the work. A capability in a value is written as its index in the list that
travels beside the payload, and never as data, whatever class implements it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final, final

import msgspec

Export = Callable[[object], int]
"""Adds an object to the capabilities of a message; its index there."""

Import = Callable[[int, Any], object]
"""The object behind an index, checked to be of the interface wanted."""

_ENCODE: Final = msgspec.msgpack.Encoder().encode

CodecError = (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError)
"""What encoding and decoding may raise."""


@final
class Codec:
    """Encodes and decodes values of one type. Raises TypeError for types that msgspec does
    not know."""

    __slots__ = ("decode", "encode", "exact", "has_caps", "type")

    def __init__(self, kind: Any, interface: type) -> None:
        self.type = kind
        self.has_caps = mentions(kind, interface)
        # A scalar type that needs no more than a look at the class of the value.
        self.exact = kind if kind in _EXACT else None
        # For values without capabilities these two are msgspec's own functions.
        self.encode: Callable[[Any], bytes] = _ENCODE
        self.decode: Callable[[bytes], Any] = _no_decoder
        if not self.has_caps:
            self.decode = msgspec.msgpack.Decoder(kind).decode

    def check(self, value: Any) -> Any:
        """`value` as the type wants it. Raises `CodecError` when it is of another type."""
        if type(value) is self.exact:
            return value
        return msgspec.convert(value, self.type, dec_hook=_keep_capability)

    def encode_caps(self, value: Any, export: Export) -> bytes:
        """Encode a value with capabilities in it, after `check`."""
        return msgspec.msgpack.Encoder(enc_hook=export).encode(self.check(value))

    def decode_caps(self, payload: bytes, resolve: Import) -> Any:
        """Decode a value with capabilities in it."""

        def hook(kind: Any, index: Any) -> object:
            if type(index) is not int:
                raise TypeError("a capability is written as its index")
            return resolve(index, kind)

        return msgspec.msgpack.Decoder(self.type, dec_hook=hook).decode(payload)


_EXACT: Final = (bytes, str, int, float, bool, type(None))


class WithCapabilities(Exception):
    """A value of this type has capabilities in it: `decode_caps` decodes it."""


def _no_decoder(payload: bytes) -> Any:
    raise WithCapabilities


def _keep_capability(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"expected an object of {kind.__name__}, got {type(value).__name__}")
    if dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct):
        raise TypeError(
            f"{type(value).__name__} implements {kind.__name__} and is a dataclass or Struct: "
            "it would be sent as data. Make it a plain class"
        )
    return value


def mentions(kind: Any, interface: type) -> bool:
    """Whether a type has an interface anywhere in it, fields of dataclasses included."""
    return _mentions(kind, interface, set())


def _mentions(kind: Any, interface: type, seen: set[Any]) -> bool:
    if isinstance(kind, type) and interface in kind.__mro__:
        return True
    arguments = getattr(kind, "__args__", ())
    if isinstance(kind, type) and (
        dataclasses.is_dataclass(kind)
        or issubclass(kind, msgspec.Struct)
        or hasattr(kind, "__annotations__")
    ):
        if kind in seen:
            return False
        seen.add(kind)
        try:
            arguments = (*arguments, *_field_types(kind))
        except Exception:
            return False  # msgspec will say what is wrong with the type
    return any(_mentions(one, interface, seen) for one in arguments)


def _field_types(kind: type) -> tuple[Any, ...]:
    from typing import get_type_hints

    return tuple(get_type_hints(kind).values())
