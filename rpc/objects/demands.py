"""What a parameter may demand of a capability besides its interface: `Own` and `Same`.

::

    @method
    async def mount(self, where: Own[Directory], what: Same[Volume]) -> None: ...

Both are looked up by the descriptor, before anything is decoded, taken or charged."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec

T = TypeVar("T")

_WHOLE: Final = "Own[...] and Same[...] are for the whole of a parameter"
_NOTE: Final = "pinfut"
_OWN: Final = msgspec.Meta(extra={_NOTE: "own"})
_SAME: Final = msgspec.Meta(extra={_NOTE: "same"})

Own = Annotated[T, _OWN]
"""An object that this side itself serves, handed out over this session: no proxy of one that is
elsewhere, and no object of the caller's. To a type checker it is the interface."""

Same = Annotated[T, _SAME]
"""What was handed out over this very session, wherever it is served: no object of the caller's."""

Demands = tuple[msgspec.msgpack.Decoder[tuple[Any, ...]], tuple[tuple[int, bool], ...]]
"""Decodes of arguments no more than the indices of capabilities; and the positions of those that
are demanded something of, with whether that is to be an own object."""


def demanded(kind: Any) -> object:
    """What a parameter of this type demands; None for nothing."""
    notes = get_args(kind) if get_origin(kind) is Annotated else ()
    return _OWN if _OWN in notes else _SAME if _SAME in notes else None


def demands_in(kinds: tuple[Any, ...], interface: type) -> Demands | None:
    """What parameters of these types demand; None for nothing. `interface`: the base of all
    capabilities. Raises TypeError for a demand on anything else."""
    found = tuple(
        (n, one is _OWN) for n, kind in enumerate(kinds) if (one := demanded(kind)) is not None
    )
    for n, _ in found:
        if interface not in getattr(without(kinds[n]), "__mro__", ()):
            raise TypeError(f"{_WHOLE}, which is an interface")
    if not found:
        return None
    asked = [n for n, _ in found]
    raw = tuple(int if n in asked else msgspec.Raw for n in range(len(kinds)))
    return msgspec.msgpack.Decoder(tuple.__class_getitem__(raw)), found


def without(kind: Any) -> Any:
    """A parameter's type without what it demands."""
    if get_origin(kind) is not Annotated:
        return kind
    inner, *notes = get_args(kind)
    left = tuple(note for note in notes if note not in (_OWN, _SAME))
    return Annotated.__class_getitem__((inner, *left)) if left else inner


def refuse_inside(info: msgspec.inspect.Type) -> None:
    """Raise TypeError for a demand that stands in a type, and not on the whole of a parameter."""
    if isinstance(info, msgspec.inspect.Metadata) and _NOTE in (info.extra or {}):
        raise TypeError(f"{_WHOLE}, and not for a result or a part")
