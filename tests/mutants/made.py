"""Mutants that are made and not written: which there are, how they are named, which are drawn."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutants.copy import ROOT
from tests.mutants.operators import Edit, edits

_NOT_OF_THE_LOOP: Final = ("__init__", "contract", "deadlock", "source", "threads")
"""What stands in `executor/` and is about descriptors, threads and what is printed."""

FILES: Final = (
    *(
        f"rpc/bank/{name}.py"
        for name in (
            *("account", "bank", "freed", "funds", "owned"),
            *("reservation", "share", "teardown", "transfers"),
        )
    ),
    "rpc/memory/pages.py",
    "rpc/kernel/sim/capset.py",
    *(
        f"rpc/session/{name}.py"
        for name in (
            *("session", "sending", "calls_out", "calls_in", "backlog", "returns"),
            *("charging", "kept", "prepayment", "fairness"),
        )
    ),
    *(f"rpc/wire/{name}.py" for name in ("peer", "answers", "exports", "export_table", "imports")),
    *(
        f"executor/{path.name}"
        for path in sorted((ROOT / "executor").glob("*.py"))
        if path.stem not in _NOT_OF_THE_LOOP
    ),
)
"""The bank, the account, the session and the executor."""


@dataclass(frozen=True)
class Made:
    """One mutant. `key`: eight hex digits of where it is and what it changes, and of no line
    number, so that it stays the same while its statement does. `site`: its statement."""

    file: str
    key: str
    operator: str
    before: str
    after: str
    edit: Edit
    site: int

    @property
    def name(self) -> str:
        return f"{self.file} {self.edit.function} {self.key}"

    @property
    def what(self) -> str:
        """The statement before and after, where they differ."""
        line = self.edit.statement.lineno
        return f"{self.name} line {line}, {self.operator}: {differing(self.before, self.after)}"

    def drawn(self, part: float, seed: str) -> bool:
        """Whether it is in a sample of this part. Each is drawn for itself: a line that changes
        takes no other mutant out."""
        digest = hashlib.sha256(f"{seed} {self.name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < part * 2**64


class Source:
    """One file and its mutants."""

    def __init__(self, file: str, text: str | None = None) -> None:
        self.file = file
        path = ROOT / file
        self.tree = ast.parse(path.read_text(encoding="utf-8") if text is None else text)
        self.statements = [one for one in ast.walk(self.tree) if isinstance(one, ast.stmt)]
        sites = {id(one): number for number, one in enumerate(self.statements)}
        self.mutants = list(self._make(sites))

    def _make(self, sites: dict[int, int]) -> Iterator[Made]:
        seen: Counter[str] = Counter()
        for edit in edits(self.tree):
            before = headline(edit.statement)
            site = sites[id(edit.statement)]
            with edit.applied():
                # Where the statement itself is replaced, the new one stands in the tree.
                after = headline(edit.new if isinstance(edit.new, ast.stmt) else edit.statement)
            text = "\0".join((self.file, edit.function, edit.operator, before, after))
            again = seen[text]
            seen[text] += 1
            key = hashlib.sha256(f"{text}\0{again}".encode()).hexdigest()[:8]
            yield Made(self.file, key, edit.operator, before, after, edit, site)


def headline(node: ast.AST) -> str:
    """A statement as text in one normal form; of a compound one, what stands before its body."""
    text = ast.unparse(node)
    return text.splitlines()[0] if hasattr(node, "body") or hasattr(node, "cases") else text


def differing(before: str, after: str, around: int = 14) -> str:
    """`before` and `after`, cut to where they differ and a little around it."""
    same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    end = 0
    while end < min(len(before), len(after)) - same and before[-1 - end] == after[-1 - end]:
        end += 1
    start, end = max(0, same - around), max(0, end - around)
    return f"`{before[start : len(before) - end]}` -> `{after[start : len(after) - end]}`"


def all_mutants(files: tuple[str, ...] = FILES) -> list[Source]:
    """The sources of `files` with their mutants. Raises FileNotFoundError, SyntaxError."""
    return [Source(file) for file in files]


def module_of(file: str) -> str:
    """The name under which a file is imported."""
    return "pinfut." + ".".join(Path(file).with_suffix("").parts)
