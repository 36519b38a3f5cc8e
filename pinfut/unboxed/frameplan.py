"""The one frame while it is being built: its activations, its variables, and their slots.

An activation is one embedded call. Variables of those that are never open together share slots."""

from __future__ import annotations

import ast
from typing import Any, Final, NamedTuple

from pinfut.unboxed.nesting import LIMIT, OUTERMOST
from pinfut.unboxed.plan import Plan
from pinfut.unboxed.unit import Unit

SHIFT: Final = 12
"""Bits of a column. Above them, the nodes of an activation carry its number: that is how an
instruction tells which function it came from."""

_ACTIVATIONS: Final = 1_024  # the most calls that are embedded in one frame
_DEPTH: Final = 128  # the most calls inside one another in one frame
LINKED: Final = "linked·"
"""The constant that stands for the objects a generated function uses."""


class Var:
    """A variable of one activation. Where it is written down is renamed once it has its slot."""

    __slots__ = ("activation", "captured", "name", "sites", "slot", "temporary")

    def __init__(self, name: str, activation: Activation, captured: bool, temporary: bool) -> None:
        self.name = name
        self.activation = activation
        self.captured = captured
        # Never read before it is stored: it need not be unbound in between.
        self.temporary = temporary
        self.sites: list[tuple[Any, str]] = []
        self.slot = -1

    @property
    def shown(self) -> str:
        """The variable as the generated source names it when it has a slot of its own."""
        return self.name if self.activation.number == 0 else f"{self.activation.label}·{self.name}"

    def node(self, context: ast.expr_context) -> ast.Name:
        """A name for it, in the tree."""
        node = ast.Name(self.name, context)
        self.sites.append((node, "id"))
        return node

    def load(self) -> ast.Name:
        return self.node(ast.Load())

    def store(self) -> ast.Name:
        return self.node(ast.Store())


class Activation:
    """One embedded call (number 0: the function itself)."""

    __slots__ = ("caller", "depth", "label", "line", "number", "outer", "plan", "vars", "width")

    def __init__(
        self,
        number: int,
        plan: Plan,
        caller: Activation | None,
        outer: Activation | None,
        line: int,
    ) -> None:
        self.number = number
        self.plan = plan
        # Whose call it is, and in which line of that.
        self.caller = caller
        self.line = line
        # The one that is open around it: the caller, or a call whose arguments it is one of.
        self.outer = outer
        self.depth: int = 0 if caller is None else caller.depth + 1
        self.label = plan.code.co_name
        self.vars: list[Var] = []
        self.width = 0  # how many slots are taken up to its end, once `assign_slots` has run

    def var(self, name: str, captured: bool = False, temporary: bool = False) -> Var:
        """A new variable of this activation."""
        var = Var(name, self, captured, temporary)
        self.vars.append(var)
        return var


class Suspension(NamedTuple):
    """One place where the frame waits, and the variables that are live there."""

    activation: Activation
    line: int
    live: list[Var]


class FramePlan:
    """What the generator of one function collects while it walks the chain."""

    __slots__ = (
        "_linked_ids", "_plans", "activations", "further", "globals", "linked", "nest", "open",
        "root", "scrubs", "suspensions",
    )  # fmt: skip

    def __init__(self, unit: Unit) -> None:
        # Invariant: one plan for each function in the frame; they go with the frame plan.
        self._plans: dict[Unit, Plan] = {}
        self.root = root = self.plan(unit)
        first = Activation(0, root, None, None, root.node.lineno)
        self.activations = [first]
        self.open = [first]
        self.globals: set[str] = set()
        # Name → object: everything that the code needs and that is no constant of the source.
        self.linked: dict[str, Any] = {}
        self._linked_ids: dict[tuple[str, int], str] = {}
        self.suspensions: list[Suspension] = []
        self.nest = OUTERMOST  # how many loops, trys and withs the present statement stands in
        # Callees that have a frame of their own, for this one holds no more.
        self.further: list[Unit] = []
        # Statements that empty variables; of those that share a slot one is enough.
        self.scrubs: list[ast.Assign | ast.Delete] = []

    def plan(self, unit: Unit) -> Plan:
        """The plan of a function in this frame."""
        found = self._plans.get(unit)
        if found is None:
            found = self._plans[unit] = Plan(unit)
        return found

    def fits(self, unit: Unit, caller: Activation, blocks: int) -> bool:
        """Whether a call of `unit`, so many blocks deeper than the statement, can be embedded."""
        return (
            self.nest + blocks + unit.nesting <= LIMIT
            and caller.depth < _DEPTH
            and (unit.activations == 1 or len(self.activations) + unit.activations <= _ACTIVATIONS)
        )

    def enter(self, plan: Plan, caller: Activation, line: int) -> Activation:
        """A new activation, open from here on."""
        activation = Activation(len(self.activations), plan, caller, self.open[-1], line)
        self.activations.append(activation)
        self.open.append(activation)
        return activation

    def leave(self, activation: Activation) -> None:
        """`activation` is over."""
        assert self.open.pop() is activation

    def link(self, name: str, thing: Any) -> ast.Attribute:
        """An expression for `thing`."""
        key = (name, id(thing))
        known = self._linked_ids.get(key)
        if known is None:
            known, count = name, 1
            while known in self.linked:
                count += 1
                known = f"{name}{count}"
            self._linked_ids[key] = known
            self.linked[known] = thing
        return ast.Attribute(ast.Constant(LINKED), known, ast.Load())

    @property
    def cells(self) -> int:
        """The most cells, of locals that functions inside hold on to, that a call has at once."""
        total: list[int] = []
        for activation in self.activations:
            around = 0 if activation.outer is None else total[activation.outer.number]
            total.append(around + sum(var.captured for var in activation.vars))
        return max(total)

    def assign_slots(self) -> list[list[Var]]:
        """Give every variable its slot and its name; the variables of each slot."""
        slots: list[list[Var]] = []
        for activation in self.activations:
            place = 0 if activation.outer is None else activation.outer.width
            for var in activation.vars:
                if var.sites:
                    var.slot = place
                    place += 1
                    while len(slots) < place:
                        slots.append([])
                    slots[var.slot].append(var)
            activation.width = place
        taken: set[str] = set()
        for slot in slots:
            shown = list(dict.fromkeys(var.shown for var in slot))
            name = shown[0] if len(shown) == 1 else "ǀ".join(shown[:2])
            if len(shown) > 2:
                name += f"ǀ{len(shown) - 2}"
            while name in taken:
                name += "ʹ"
            taken.add(name)
            for var in slot:
                for node, field in var.sites:
                    setattr(node, field, name)
        for scrub in self.scrubs:
            once = {target.id: target for target in scrub.targets if isinstance(target, ast.Name)}
            scrub.targets = list(once.values())
        return slots
