"""Random programs do the same unboxed as in plain coroutines."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.covered import covered, require
from tests.pinfut.unboxed.corpus import HEAD
from tests.pinfut.unboxed.programs import Cancelled, same

_FUNCTIONS = 3
# Each call is embedded: what calls what calls what grows fast.
_STATEMENTS = 7
_CALLS = 3


class Writer:
    """Writes one program, line by line; every choice is drawn."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.used: dict[str, int] = {}
        # How many functions stand above: these can be called.
        self.above = 0
        self.marks = 0
        # What is left for the present function.
        self.statements = self.calls = 0

    def pick(self, *choices: str) -> str:
        chosen: str = self.draw(st.sampled_from(choices))
        self.used[chosen] = self.used.get(chosen, 0) + 1
        return chosen

    def mark(self) -> int:
        self.marks += 1
        return self.marks

    def value(self, depth: int = 0) -> str:
        kinds = ["variable", "number", "leaf"]
        if self.calls:
            kinds.append("call")
        if depth < 1:
            kinds += ["sum", "choice", "and", "or", "comprehension", "lambda"]
        kind = self.pick(*kinds)

        def one() -> str:
            return self.value(depth + 1)

        if kind == "variable":
            return str(self.draw(st.sampled_from(["a", "b", "c"])))
        if kind == "number":
            return str(self.draw(st.integers(0, 3)))
        if kind == "leaf":
            return f"await leaf({self.mark()})"
        if kind == "call":
            self.calls -= 1
            if not self.above:
                return f"await get({self.mark()})"
            number = self.draw(st.integers(0, self.above - 1))
            return f"await f{number}({one()}, b={self.mark()})"
        if kind == "sum":
            return f"({one()} + {one()})"
        if kind == "choice":
            return f"({one()} if {one()} else {one()})"
        if kind in ("and", "or"):
            return f"({one()} {kind} {one()})"
        if kind == "comprehension":
            return f"len([{one()} for x in range(2) if {one()} != x])"
        return f"(lambda y: y + a)({one()})"

    def body(self, indent: int, loop: bool, depth: int, final: bool = False) -> None:
        for _ in range(self.draw(st.integers(1, 3))):
            if not self.statements:
                self.put(indent, f"log({self.mark()})")
                return
            self.statements -= 1
            self.statement(indent, loop, depth, final)

    def put(self, indent: int, text: str) -> None:
        self.lines.append("    " * indent + text)

    def statement(self, indent: int, loop: bool, depth: int, final: bool) -> None:
        kinds = ["assign", "log", "augment", "raise", "return", "wait"]
        if loop:
            kinds += ["break", "continue"]
        if depth < 2:
            kinds += ["if", "for", "while", "try except", "try finally", "with", "async with"]
            kinds += ["async for", "match"]
        kind = self.pick(*kinds)
        put = self.put
        inner = (indent + 1, loop, depth + 1, final)
        if kind == "assign":
            put(indent, f"{self.draw(st.sampled_from('abc'))} = {self.value()}")
        elif kind == "augment":
            put(indent, f"{self.draw(st.sampled_from('abc'))} += {self.value()}")
        elif kind == "log":
            put(indent, f"log(({self.mark()}, a, b, c, {self.value()}))")
        elif kind == "wait":
            put(indent, f"await {self.draw(st.sampled_from(['leaf(0)', 'yield_now()', 'Odd(1)']))}")
        elif kind == "raise":
            put(indent, f"if {self.value()} == 2: raise KeyError({self.mark()})")
        elif kind == "return":
            put(indent, f"if {self.value()} == 1: return {self.value()}")
        elif kind in ("break", "continue"):
            put(indent, f"if {self.value()}: {kind}")
        elif kind == "if":
            put(indent, f"if {self.value()}:")
            self.body(*inner)
            put(indent, "else:")
            self.body(*inner)
        elif kind == "for":
            put(indent, f"for {self.draw(st.sampled_from('abc'))} in range(2):")
            self.body(indent + 1, True, depth + 1, final)
            put(indent, "else:")
            self.body(*inner)
        elif kind == "while":
            name = f"n{self.mark()}"
            put(indent, f"{name} = 0")
            put(indent, f"while ({name} := {name} + 1) < 3 and {self.value()} != 3:")
            self.body(indent + 1, True, depth + 1, final)
        elif kind == "try except":
            put(indent, "try:")
            self.body(*inner)
            put(indent, "except KeyError as error:")
            put(indent + 1, f"log(({self.mark()}, str(error)))")
            self.body(*inner)
        elif kind == "try finally":
            put(indent, "try:")
            self.body(*inner)
            put(indent, "finally:")
            put(indent + 1, f"log(({self.mark()}, 'finally'))")
            self.body(indent + 1, False, depth + 1, True)
        elif kind == "with":
            swallow = self.draw(st.booleans())
            put(indent, f"with Manager({self.mark()}, {swallow}) as c:")
            self.body(*inner)
        elif kind == "async with":
            swallow = self.draw(st.booleans())
            put(indent, f"async with AsyncManager({self.mark()}, {swallow}):")
            self.body(*inner)
        elif kind == "async for":
            put(indent, f"async for {self.draw(st.sampled_from('abc'))} in Countdown(2):")
            self.body(indent + 1, True, depth + 1, final)
        else:
            put(indent, f"match {self.value()}:")
            put(indent + 1, "case 0 | 1 as b:")
            self.body(indent + 2, loop, depth + 1, final)
            put(indent + 1, "case _:")
            self.body(indent + 2, loop, depth + 1, final)

    def program(self) -> str:
        for number in range(_FUNCTIONS):
            last = number == _FUNCTIONS - 1
            self.put(0, "@unboxed")
            name = "async def main(a=1, b=2):" if last else f"async def f{number}(a, b=2):"
            self.put(0, name)
            self.put(1, "c = 0")
            self.statements, self.calls = _STATEMENTS, _CALLS
            self.body(1, False, 0)
            self.put(1, f"return {self.value()}")
            self.above += 1
        return HEAD + "\n".join(self.lines) + "\n"


@st.composite
def programs(draw: Any) -> tuple[str, dict[str, int]]:
    writer = Writer(draw)
    return writer.program(), writer.used


_ANSWERS = st.lists(
    st.sampled_from([None, None, None, None, ValueError("v"), KeyError("k"), Cancelled(), "close"]),
    max_size=8,
)


@settings(max_examples=40 if settings().max_examples <= 100 else settings().max_examples)
@given(programs(), _ANSWERS)
def run_both_forms(made: tuple[str, dict[str, int]], answers: list[Any]) -> None:
    text, used = made
    outcome = same(text, answers)
    waits = outcome.waits
    covered(
        "unboxed random programs",
        programs=1,
        awaits=waits,
        raised=outcome.error is not None,
        returned=outcome.error is None,
        closed="close" in answers[:waits],
        ignored=outcome.ignored,
        answered=sum(answer is not None for answer in answers[:waits]),
    )
    covered(
        "unboxed random constructs",
        **{k.replace(" ", "_"): n for k, n in used.items()},
    )


def test_random_programs_do_the_same_unboxed() -> None:
    run_both_forms()
    counts = covered("unboxed random programs")
    require(counts, "programs", "awaits", "raised", "returned", "answered", "closed")
    require(covered("unboxed random constructs"), *KINDS)


KINDS = [
    "variable", "number", "leaf", "call", "sum", "choice", "and", "or", "comprehension", "lambda",
    "assign", "log", "augment", "raise", "return", "wait", "break", "continue", "if", "for",
    "while", "try_except", "try_finally", "with", "async_with", "async_for", "match",
]  # fmt: skip
