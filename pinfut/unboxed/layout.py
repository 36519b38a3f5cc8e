"""layout: what stands where in a frame, how long, and how large the whole is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from pinfut.unboxed.decorate import Unit, unit_of
from pinfut.unboxed.frameplan import Block


@dataclass(frozen=True)
class Wait:
    """A place where the frame waits. `function` awaits a leaf in `line` of `file`."""

    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Local:
    """A local that lives in a slot. `waits`: the places in `Layout.waits` over which it is
    live, by number."""

    function: str
    name: str
    waits: tuple[int, ...]


@dataclass(frozen=True)
class Slot:
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
    never live together.
    """

    function: str
    size: int
    generator: int
    called: int
    boxed: int
    overlap: int
    slots: tuple[Slot, ...]
    waits: tuple[Wait, ...]


def frame_size(unit: Unit) -> int:
    """Bytes of a frame of `unit` in a pool, everything included."""
    return _layout(unit).size


def layout(function: Callable[..., Any]) -> Layout:
    """The layout of an unboxed function. Raises TypeError for any other."""
    return _layout(unit_of(function))


_REFERENCE = 8


def _layout(unit: Unit) -> Layout:
    if unit.layout is not None:
        return unit.layout  # type: ignore[no-any-return]
    from pinfut.unboxed.frame import Frame

    generated = unit.looping
    frame: Frame[Any] = Frame(0)
    frame.prepare(unit)
    parts = [frame, frame._cell, frame._generator, frame._send]
    waits = []
    live: dict[int, list[int]] = {}
    for number, suspension in enumerate(generated.suspensions):
        plan = suspension.block.plan
        waits.append(Wait(plan.code.co_qualname, plan.file, suspension.line))
        for var in suspension.live:
            live.setdefault(id(var), []).append(number)
    slots = []
    count = 0
    for number, variables in enumerate(generated.slots):
        count += len(variables)
        places: dict[tuple[str, str], list[int]] = {}
        for var in variables:
            key = (var.block.plan.code.co_qualname, var.name)
            places.setdefault(key, []).extend(live.get(id(var), ()))
        locals_ = tuple(
            Local(owner, name, tuple(sorted(set(over)))) for (owner, name), over in places.items()
        )
        slots.append(Slot(number, _slot_name(variables), locals_))
    made = Layout(
        unit.plan.code.co_qualname,
        sum(sys.getsizeof(part) for part in parts),
        sys.getsizeof(frame._generator),
        _coroutine(unit.called.code),
        max(_chain(block) for block in generated.blocks),
        (count - len(generated.slots)) * _REFERENCE,
        tuple(slots),
        tuple(waits),
    )
    unit.layout = made
    return made


def _slot_name(variables: list[Any]) -> str:
    node, field = variables[0].sites[0]
    return str(getattr(node, field))


async def _empty() -> None:
    pass


def _places(code: CodeType) -> int:
    cells = set(code.co_cellvars) - set(code.co_varnames)
    return len(code.co_varnames) + len(cells) + len(code.co_freevars) + code.co_stacksize


def _coroutine(code: CodeType) -> int:
    """Bytes of a coroutine of `code`, without making one of it."""
    empty = _empty()
    size = sys.getsizeof(empty)
    empty.close()
    return size + (_places(code) - _places(_empty.__code__)) * _REFERENCE


def _chain(block: Block) -> int:
    total = 0
    each: Block | None = block
    while each is not None:
        total += _coroutine(each.plan.code)
        each = each.caller
    return total


def table(shown: Layout) -> str:
    """The layout as a table, for people."""
    out = [
        f"{shown.function}: a frame of {shown.size} bytes "
        f"({shown.generator} the generator, {shown.size - shown.generator} around it)",
        f"  called without a pool: {shown.called} bytes; as plain coroutines: {shown.boxed} bytes",
        f"  {len(shown.slots)} slots of {_REFERENCE} bytes; {shown.overlap} bytes shared by "
        "locals that are never live together",
        "",
        "  waits",
    ]
    for number, wait in enumerate(shown.waits):
        out.append(f"    {number:3}  {wait.function}  {wait.file}:{wait.line}")
    out += ["", "  slot  local                                     live over"]
    for slot in shown.slots:
        for index, local in enumerate(slot.locals):
            place = f"{slot.number:4}" if index == 0 else "    "
            over = ", ".join(map(str, local.waits)) or "-"
            out.append(f"  {place}  {local.function + ' · ' + local.name:40}  {over}")
    return "\n".join(out)
