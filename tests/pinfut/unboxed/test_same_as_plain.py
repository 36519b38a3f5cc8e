"""Every construct does the same unboxed as it does in plain coroutines."""

from __future__ import annotations

import ast
from asyncio import CancelledError
from typing import Any, Final

import pytest

from tests.covered import covered, require
from tests.pinfut.unboxed.corpus import HEAD, PROGRAMS
from tests.pinfut.unboxed.programs import Cancelled, Program

# A program that waits on when it is closed is ended when it is let go of, in each form.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ANSWERS: Final = {
    "errors": ValueError("thrown"),
    "cancels": CancelledError(),
    "others": Cancelled(),
    "closes": "close",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_the_same_whatever_happens_at_each_await(name: str) -> None:
    """At each await in turn it gets an error, is cancelled, is closed."""
    program = Program(PROGRAMS[name])
    outcome = program.same()
    counts: dict[str, int] = dict.fromkeys(["ignored", *ANSWERS], 0)
    for at in range(outcome.waits):
        for kind, answer in ANSWERS.items():
            counts[kind] += 1
            counts["ignored"] += program.same([None] * at + [answer]).ignored
            if kind == "cancels":
                # And once more, while it cleans up.
                program.same([None] * at + [answer, CancelledError()])
    require(covered("unboxed corpus", programs=1, awaits=outcome.waits, **counts), *ANSWERS)


def test_some_program_of_the_corpus_goes_on_when_it_is_closed_or_cancelled() -> None:
    for text in PROGRAMS.values():
        program = Program(text)
        for at in range(program.same().waits):
            if any(program.same([None] * at + [answer]).ignored for answer in ANSWERS.values()):
                return
    pytest.fail("no program ignores what it is told")


CONSTRUCTS: Final[dict[str, Any]] = {
    "if": ast.If,
    "for": ast.For,
    "while": ast.While,
    "break": ast.Break,
    "continue": ast.Continue,
    "return": ast.Return,
    "try": ast.Try,
    "except_star": ast.TryStar,
    "with": ast.With,
    "async_with": ast.AsyncWith,
    "async_for": ast.AsyncFor,
    "list_comprehension": ast.ListComp,
    "set_comprehension": ast.SetComp,
    "dict_comprehension": ast.DictComp,
    "generator_expression": ast.GeneratorExp,
    "lambda": ast.Lambda,
    "match": ast.Match,
    "walrus": ast.NamedExpr,
    "nested_function": ast.FunctionDef,
    "nested_async_function": ast.AsyncFunctionDef,
    "nested_class": ast.ClassDef,
    "nonlocal": ast.Nonlocal,
    "global": ast.Global,
    "starred": ast.Starred,
    "annotation": ast.AnnAssign,
    "augmented": ast.AugAssign,
    "delete": ast.Delete,
    "import": ast.Import,
    "import_from": ast.ImportFrom,
    "assert": ast.Assert,
    "raise": ast.Raise,
    "conditional": ast.IfExp,
    "and_or": ast.BoolOp,
    "comparison": ast.Compare,
    "f_string": ast.JoinedStr,
    "slice": ast.Slice,
}

_LOOPS: Final = (ast.For, ast.While, ast.AsyncFor)


def _returns(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Return) for each in ast.walk(node))


def _more(function: ast.AsyncFunctionDef, node: ast.AST) -> dict[str, bool]:
    """Constructs that are more than a kind of node."""
    attempt = isinstance(node, ast.Try)
    return {
        "for_else": isinstance(node, ast.For) and bool(node.orelse),
        "while_else": isinstance(node, ast.While) and bool(node.orelse),
        "async_for_else": isinstance(node, ast.AsyncFor) and bool(node.orelse),
        "try_else": attempt and bool(getattr(node, "orelse", None)),
        "finally": attempt and bool(getattr(node, "finalbody", None)),
        "async_comprehension": isinstance(node, ast.comprehension) and bool(node.is_async),
        "await": isinstance(node, ast.Await),
        "box": isinstance(node, ast.Name) and node.id == "box",
        "return_in_a_loop": isinstance(node, _LOOPS)
        and any(isinstance(each, ast.Return) for each in ast.walk(node)),
        "return_in_a_with": isinstance(node, ast.With | ast.AsyncWith)
        and any(isinstance(each, ast.Return) for each in ast.walk(node)),
        "return_in_a_try": attempt and any(isinstance(each, ast.Return) for each in ast.walk(node)),
        "return_in_a_finally": attempt
        and any(
            isinstance(e, ast.Return) for f in getattr(node, "finalbody", []) for e in ast.walk(f)
        ),
        "default": node is function and bool(function.args.defaults),
        "keyword_only": node is function and bool(function.args.kwonlyargs),
        "positional_only": node is function and bool(function.args.posonlyargs),
        "star_argument": node is function and function.args.vararg is not None,
        "star_keyword": node is function and function.args.kwarg is not None,
        "docstring": node is function and ast.get_docstring(function) is not None,
        "decorator_beneath": node is function and len(function.decorator_list) > 1,
        "method": node is function
        and bool(function.args.args)
        and function.args.args[0].arg in ("self", "cls"),
    }


def constructs(text: str) -> dict[str, int]:
    """How often each construct stands in the unboxed functions of a program."""
    counts = dict.fromkeys(CONSTRUCTS, 0)
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.AsyncFunctionDef) or not function.decorator_list:
            continue
        for node in ast.walk(function):
            if node is not function:
                for name, kind in CONSTRUCTS.items():
                    counts[name] += isinstance(node, kind)
            for name, there in _more(function, node).items():
                counts[name] = counts.get(name, 0) + there
    return counts


def test_the_corpus_has_every_construct_of_the_language() -> None:
    texts = [HEAD, *(text.removeprefix(HEAD) for text in PROGRAMS.values())]
    counts: dict[str, int] = {}
    for text in texts:
        counts = covered("unboxed constructs", **constructs(text))
    require(counts, *counts)
