"""Payloads: values of annotated types as msgpack, with capabilities set aside.

msgspec does the work. A capability in a value is written as its index in the list that
travels beside the payload, and never as data, whatever class implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, final

import msgspec
import msgspec.inspect

from pinfut.closing import name_of
from pinfut.rpc.contract import MAX_CAPS, MESSAGE
from pinfut.rpc.errors import MessageTooLarge, RpcError, words_of
from pinfut.rpc.objects.demands import refuse_inside
from pinfut.rpc.objects.expansion import foreseen, shortest

T = TypeVar("T")

Resolve = Callable[[int, Any], object]
"""The object behind an index, checked to be of the interface wanted."""

_ENCODE: Final = msgspec.msgpack.Encoder().encode

_CLASSES: Final = (
    msgspec.inspect.StructType,
    msgspec.inspect.DataclassType,
    msgspec.inspect.NamedTupleType,
    msgspec.inspect.EnumType,
)

SQUARE: Final = shortest(MESSAGE)
"""Bytes of the longest value in which hashes of keys can be foreseen, both ways."""

CodecError = (
    msgspec.MsgspecError,
    TypeError,
    ValueError,
    RecursionError,
    OverflowError,
    BufferError,
)
"""What encoding and decoding may raise."""

# Scalars, and what else of Python is written in the same way.
_SCALARS: Final[dict[Any, tuple[type, ...]]] = {
    bytes: (bytes, bytearray, memoryview),
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
    type(None): (type(None),),
}


@final
class Codec:
    """Encodes and decodes values of one type; `interface` is the base of capabilities. `most`:
    bytes that a value may have when it is encoded, above which that raises MessageTooLarge; so does
    one of a type with keys whose hashes can be foreseen (`foreseen`) above `SQUARE` bytes. Raises
    TypeError for a type that is neither plain data nor a capability."""

    __slots__ = (
        "_interface", "_most", "decode", "encode", "exact", "foreseen", "has_caps", "interfaces",
        "type",
    )  # fmt: skip

    def __init__(self, kind: Any, interface: type, most: int | None = None) -> None:
        self.type = kind
        self._most = most
        self._interface = interface
        custom, made_here = _custom_types(kind)
        for one in custom:
            if interface not in one.__mro__:
                raise TypeError(f"{one.__qualname__} is neither plain data nor an interface")
        self.interfaces: set[Any] = custom
        self.has_caps = bool(custom)
        # The class of a scalar, for which a look at the class of a value is all the check.
        self.exact = kind if kind in _SCALARS else None
        self.foreseen = foreseen(kind)
        bounded = self.foreseen or most is not None
        # For values without capabilities these two are msgspec's own functions, in most types.
        self.encode: Callable[[Any], bytes] = self._encode if bounded else _ENCODE
        self.decode: Callable[[bytes], Any] = _no_decoder
        if not self.has_caps:
            decode = self.decode = msgspec.msgpack.Decoder(kind).decode
            if self.foreseen:
                self.decode = lambda payload: foreign(decode, require_short(payload))
            elif made_here:
                self.decode = lambda payload: foreign(decode, payload)

    def _encode(self, value: Any) -> bytes:
        return self._bounded(_ENCODE(value))

    def _bounded(self, payload: bytes) -> bytes:
        if self._most is not None and len(payload) > self._most:
            raise MessageTooLarge(
                f"{len(payload)} bytes of arguments, and the method says with touch= that it takes "
                f"{self._most} at most; send them in parts"
            )
        return require_short(payload) if self.foreseen else payload

    def encode_checked(self, value: Any) -> bytes:
        """Encode a value without capabilities, once it is certain that the other side can
        decode it as this type. Raises `CodecError`."""
        exact = self.exact
        if exact is not None:
            if not isinstance(value, _SCALARS[exact]) or (type(value) is bool) > (exact is bool):
                raise TypeError(f"expected {exact.__name__}, got {type(value).__name__}")
            return _ENCODE(value)
        payload = _ENCODE(value)
        # Decoding is the only check that sees just what the other side will see.
        self.decode(payload)
        return payload

    def encode_caps(self, value: Any) -> tuple[bytes, list[tuple[Any, Any]]]:
        """A value with capabilities: the payload, and by index the objects, each with the
        interface that is declared where it stands. Raises
        `CodecError`, also when an object would be written as data (a dataclass that
        implements an interface) or is of another interface than the type says."""
        things: list[Any] = []

        def set_aside(thing: Any) -> int:
            if self._interface not in type(thing).__mro__:
                raise TypeError(
                    f"{type(thing).__qualname__} is neither plain data nor a capability"
                )
            if len(things) == MAX_CAPS:
                raise ValueError(f"a message carries at most {MAX_CAPS} capabilities")
            things.append(thing)
            return len(things) - 1

        payload = self._bounded(msgspec.msgpack.Encoder(enc_hook=set_aside).encode(value))
        granted: list[tuple[Any, Any]] = []

        def see(index: int, kind: Any) -> object:
            # In the order in which they were set aside, or it is a number in their place.
            if index != len(granted) or index == len(things):
                raise TypeError(f"expected an object of {kind.__name__}, got a number")
            granted.append((things[index], kind))
            return things[index]

        self.decode_caps(payload, see)
        return payload, granted

    def decode_caps(self, payload: bytes, resolve: Resolve) -> Any:
        """Decode a value with capabilities in it. Raises `CodecError`, and what `resolve`
        raises."""
        ours: list[RpcError] = []

        def hook(kind: Any, index: Any) -> object:
            if type(index) is not int:
                raise TypeError(
                    f"a capability of {kind.__name__} was written as data; a class that "
                    "implements an interface is no dataclass and no Struct"
                )
            try:
                return resolve(index, kind)
            except RpcError as error:
                ours.append(error)
                raise

        if self.foreseen:
            require_short(payload)
        return foreign(msgspec.msgpack.Decoder(self.type, dec_hook=hook).decode, payload, ours)


def foreign(call: Callable[..., T], value: Any, ours: list[RpcError] | None = None) -> T:
    """What `call` makes of a value, in which code of the application runs. An RpcError out of that
    is no word of this library: it becomes a ValueError. `ours`: what was raised here meanwhile."""
    try:
        return call(value)
    except RpcError as error:
        if ours and ours.pop() is error:  # nothing keeps it, and with it this frame
            raise
        raise ValueError(f"{name_of(error)}: {words_of(error)}") from None


def require_short(payload: bytes, longest: int = SQUARE) -> bytes:
    """A value in which hashes of keys can be foreseen. Raises MessageTooLarge for a longer one."""
    if len(payload) > longest:
        raise MessageTooLarge(
            f"{len(payload)} bytes of a type with keys whose hashes can be foreseen, and at most "
            f"{longest} are carried: keys that were chosen for it take the square of their number. "
            "Have str, bytes or date as keys, or a list of pairs; in the place of Any, a bare dict "
            "or a bare set, declare what is in it"
        )
    return payload


class WithCapabilities(Exception):
    """A value of this type has capabilities in it: `decode_caps` decodes it."""


def _no_decoder(payload: bytes) -> Any:
    raise WithCapabilities


def _custom_types(kind: Any) -> tuple[set[type], bool]:
    """The classes in a type that are no plain data to msgspec, wherever they stand, and whether
    any class in it is the application's, whose code runs when a value is made."""
    found: set[type] = set()
    made_here = False
    seen: set[int] = set()
    left: list[Any] = [msgspec.inspect.type_info(kind)]
    kept = []  # or an id could be used again
    while left:
        info = left.pop()
        refuse_inside(info)
        if isinstance(info, tuple):
            left.extend(info)
        elif isinstance(info, msgspec.inspect.RawType):
            raise TypeError("msgspec.Raw would be sent unseen, so it is no plain data; use bytes")
        elif isinstance(info, msgspec.Struct) and id(info) not in seen:
            seen.add(id(info))
            kept.append(info)
            if isinstance(info, msgspec.inspect.CustomType):
                found.add(info.cls)
            made_here = made_here or isinstance(info, _CLASSES)
            left.extend(getattr(info, name) for name in info.__struct_fields__)
    return found, made_here
