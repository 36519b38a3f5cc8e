"""prove: that a lesson teaches what it says, before anybody learns from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pinfut.learn.lesson import Lesson

FEWEST_WRONG: Final = 3

Host = Callable[[dict[str, Any]], dict[str, Any]]
"""Runs a job, and gives its result."""


@dataclass
class Proof:
    """What became of a lesson."""

    lesson: Lesson
    orders: dict[str, int] = field(default_factory=dict)
    """Check → how many orders it explored of the solution; 0 for one by hand."""
    refused: int = 0
    """Wrong answers that were refused as they should be."""
    faults: list[str] = field(default_factory=list)
    """Why it is no lesson yet, a sentence each."""


def prove(lesson: Lesson, host: Host) -> Proof:
    """Have the start, the solution and each wrong answer of a lesson checked."""
    proof = Proof(lesson)
    fault = proof.faults.append

    def check(code: str) -> dict[str, Any]:
        return host({"do": "check", "code": code, "check": lesson.check})

    _solution(proof, check(lesson.solution))
    start = check(lesson.start)
    if start.get("solved"):
        fault("its start passes: there is nothing to mend")
    elif start["kind"] != "check":
        fault(f"its start cannot be checked: {_why(start)}")
    for code, what in ((lesson.start, "start"), (lesson.solution, "solution")):
        shown = host({"do": "run", "code": code, "strict": False, "beside": lesson.beside})
        if shown["kind"] != "run":
            fault(f"its {what} cannot be run: {_why(shown)}")
    if len(lesson.wrong) < FEWEST_WRONG:
        fault(f"it has {len(lesson.wrong)} wrong answers; write {FEWEST_WRONG} or more")
    sentences = [wrong.sentence for wrong in lesson.wrong]
    for sentence in {one for one in sentences if sentences.count(one) > 1}:
        fault(f"two wrong answers are refused with one sentence: {sentence}")
    for number, wrong in enumerate(lesson.wrong, 1):
        told = _refusal(wrong.check, wrong.sentence, check(wrong.code))
        if told is None:
            proof.refused += 1
        else:
            fault(f"wrong answer {number} {told}")
    return proof


def _solution(proof: Proof, result: dict[str, Any]) -> None:
    fault = proof.faults.append
    if not result.get("solved"):
        fault(f"its solution fails: {_why(result)}")
        return
    for check in result["checks"]:
        proof.orders[check["name"]] = check["orders"]
        if check["how"] != "by hand" and check["orders"] < 2:
            fault(
                f"its check {check['name']} explored {check['orders']} order: spawn both sides "
                "as tasks, so that there is an order to choose"
            )
    if not any(proof.orders.values()):
        fault("no check of it explores an order: add one with @every_order or @seeds")


def _refusal(check: str, sentence: str, result: dict[str, Any]) -> str | None:
    """What is wrong with how a wrong answer was refused; None when nothing is."""
    if result.get("solved"):
        return "passes"
    if result["kind"] != "check":
        return f"cannot be checked: {_why(result)}"
    failed = result["checks"][-1]
    if failed["name"] != check:
        return f"fails {failed['name']}, not {check}: {failed['error']['said']}"
    said = " ".join(failed["error"]["said"].split())
    if sentence not in said:
        return f"is refused with another sentence than {sentence!r}: {said!r}"
    return None


def _why(result: dict[str, Any]) -> str:
    if result["kind"] == "check":
        failed = result["checks"][-1] if result["checks"] else None
        return "it has no check" if failed is None else f"{failed['name']}: {_said(failed)}"
    return _said(result)


def _said(told: dict[str, Any]) -> str:
    if "error" not in told:
        return str(told.get("note", "no reason"))
    return f"{told['error']['said']} {told['error']['detail']}".strip()
