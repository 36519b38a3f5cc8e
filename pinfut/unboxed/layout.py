"""layout: what stands where in a frame, how long, and how large the whole is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pinfut.unboxed.compiled import called_size
from pinfut.unboxed.frame import frame_size, generated_frame
from pinfut.unboxed.sizes import REFERENCE, object_size
from pinfut.unboxed.unit import unit_of


@dataclass(frozen=True)
class Wait:
    """A place where the frame waits. `function` awaits a leaf in `line` of `file`."""

    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Local:
    """A local in a slot. `waits`: the places in `Layout.waits` over which it is live."""

    function: str
    name: str
    waits: tuple[int, ...]


@dataclass(frozen=True)
class FrameSlot:
    """A place in the frame, of one reference, and the locals that take turns in it."""

    number: int
    name: str
    locals: tuple[Local, ...]


@dataclass(frozen=True)
class Layout:
    """The frame of one function, before any call of it has begun.

    `size`: bytes of a frame of a pool, everything included. `generator`: bytes of the frame
    itself, in it. `called`: bytes of the coroutine that a call makes. `boxed`: bytes of the
    plain coroutines of the longest chain. `overlap`: bytes that locals share because they are
    never live together. `further`: the callees for which one frame had no room, and the bytes
    of the frames that they get; the largest of them is part of `size` and `called`."""

    function: str
    size: int
    generator: int
    called: int
    boxed: int
    overlap: int
    slots: tuple[FrameSlot, ...]
    waits: tuple[Wait, ...]
    further: tuple[tuple[str, int], ...]


def layout(function: Callable[..., Any]) -> Layout:
    """The layout of an unboxed function, made anew. Raises TypeError for any other."""
    unit = unit_of(function)
    generated = generated_frame(unit)
    waits = []
    live: dict[int, list[int]] = {}
    for number, suspension in enumerate(generated.suspensions):
        plan = suspension.activation.plan
        waits.append(Wait(plan.code.co_qualname, plan.file, suspension.line))
        for var in suspension.live:
            live.setdefault(id(var), []).append(number)
    slots = []
    count = 0
    for number, variables in enumerate(generated.slots):
        count += len(variables)
        places: dict[tuple[str, str], list[int]] = {}
        for var in variables:
            key = (var.activation.plan.code.co_qualname, var.name)
            places.setdefault(key, []).extend(live.get(id(var), ()))
        locals_ = tuple(
            Local(owner, name, tuple(sorted(set(over)))) for (owner, name), over in places.items()
        )
        slots.append(FrameSlot(number, str(getattr(*variables[0].sites[0])), locals_))
    return Layout(
        unit.code.co_qualname,
        frame_size(unit),
        object_size(generated.code),
        called_size(unit),
        unit.plain,
        (count - len(generated.slots)) * REFERENCE,
        tuple(slots),
        tuple(waits),
        tuple((each.code.co_qualname, called_size(each)) for each in generated.further),
    )
