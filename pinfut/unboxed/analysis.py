"""What is found out of a function when it is decorated. All that can be refused is refused here."""

from __future__ import annotations

from types import FunctionType
from typing import Final

from pinfut.unboxed.errors import Refused
from pinfut.unboxed.nesting import LIMIT, OUTERMOST, nesting
from pinfut.unboxed.plan import Plan
from pinfut.unboxed.resolve import ClassBody
from pinfut.unboxed.sizes import plain_size
from pinfut.unboxed.unit import Embed, Unit

_MANY: Final = 1_000_000


def analysed(function: FunctionType, body: ClassBody | None) -> Unit:
    """The unit of `function`. `body`: the class whose body is being run, for its method.
    Raises Refused."""
    unit = Unit(function)
    plan = Plan(unit, body)
    unit.targets = tuple(plan.targets)
    unit.direct = plan.direct
    unit.nesting = nesting(plan)
    if OUTERMOST + unit.nesting > LIMIT:
        raise Refused(
            unit.file,
            plan.node.lineno,
            f"the blocks of {unit.code.co_name} nest {unit.nesting} deep as they are "
            f"compiled, and the interpreter allows {LIMIT - OUTERMOST} here (an async with "
            "counts 3, another with or try 2)",
            "move the inner ones into an unboxed function of their own",
        )
    callees = [each.unit for each in unit.targets if isinstance(each, Embed)]
    unit.activations = min(_MANY, 1 + sum(each.activations for each in callees))
    unit.plain = plain_size(unit.code) + max((each.plain for each in callees), default=0)
    return unit
