"""What a learner is told: of programs that cannot be loaded, that never rest, that break a law."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pinfut.learn.lesson import HOUSE, parse
from pinfut.learn.runner import runner

LESSON = parse("03", (HOUSE / "03-the-waker.md").read_text("utf-8"))


def check(code: str, checks: str = LESSON.check) -> dict[str, Any]:
    return runner({"do": "check", "code": code, "check": checks})


def run(code: str, *, strict: bool = False, beside: bool = False) -> dict[str, Any]:
    return runner({"do": "run", "code": code, "strict": strict, "beside": beside})


def kinds(trace: dict[str, Any]) -> set[str]:
    return {event["k"] for event in trace["events"]}


@pytest.mark.parametrize(
    ("code", "said", "line"),
    [
        ("def f(:\n", "Python cannot read this", 1),
        ("import nothing_of_the_kind\n", "ModuleNotFoundError", 1),
        ("x = 1\ny = x.z\n", "AttributeError", 2),
        ("x = 1\n", "There is no main to run", None),
    ],
)
def test_a_program_that_cannot_be_loaded_is_told_with_its_line(
    code: str, said: str, line: int | None
) -> None:
    result = run(code)
    assert result["kind"] == "broken"
    assert said in result["error"]["said"]
    assert result["error"]["line"] == line


def test_a_run_shows_the_hang_and_in_strict_mode_the_law() -> None:
    (loose,) = run(LESSON.start)["traces"]
    (strict,) = run(LESSON.start, strict=True)["traces"]
    assert loose["header"]["error"]["law"] == strict["header"]["error"]["law"] == 2
    # Loosely the visitor rings first; strictly the poll that forgets the waker is the end.
    assert any(event["t"] == 1.0 for event in loose["events"])
    assert all(event["t"] == 0.0 for event in strict["events"])
    assert loose["header"]["sources"] == [{"name": "lesson.py", "text": LESSON.start}]
    assert {"spawn", "park", "line", "law", "timer"} <= kinds(loose)


def test_a_run_of_the_solution_ends_well_and_prints() -> None:
    (trace,) = run(LESSON.solution)["traces"]
    assert "error" not in trace["header"]
    out = "".join(event["v"] for event in trace["events"] if event["k"] == "out")
    assert out == "somebody is at the door\n"


def test_a_check_that_fails_in_an_order_is_shown_in_that_order() -> None:
    lesson = parse("07", (HOUSE / "07-between-two-awaits.md").read_text("utf-8"))
    result = check(lesson.start, lesson.check)
    (failed,) = result["checks"]
    assert not failed["ok"]
    assert "an update is lost" in failed["error"]["said"]
    (trace,) = result["traces"]
    assert trace["header"]["choices"] is not None
    assert "an update is lost" in trace["header"]["error"]["text"]


RESTLESS = """
from pinfut import FutureBase, PENDING
class Doorbell(FutureBase):
    rung = False
    def poll(self, cx):
        if self.rung:
            return "somebody is at the door"
        cx.waker.wake()
        return PENDING
    def ring(self):
        pass
"""

ORDERS = (
    LESSON.check[: LESSON.check.index("@by_hand")]
    + LESSON.check[LESSON.check.index("@every_order(says") :]
)


def test_a_busy_loop_is_told_as_one_and_shown_for_a_few_steps() -> None:
    result = check(RESTLESS, ORDERS)
    (failed,) = result["checks"]
    assert "It never comes to rest" in failed["error"]["said"]
    (trace,) = result["traces"]
    assert 50 < len(trace["events"]) < 2_000


def test_more_orders_than_were_tried_are_no_proof() -> None:
    crowd = (
        "from pinfut.executor import scope, yield_now\n"
        "from pinfut.learn.checks import every_order\n"
        "@every_order(limit=20)\n"
        "async def crowd(lesson):\n"
        "    async def waits():\n"
        "        for _ in range(4):\n"
        "            await yield_now()\n"
        "    async with scope() as tasks:\n"
        "        for _ in range(3):\n"
        "            tasks.spawn(waits())\n"
    )
    (failed,) = check(LESSON.solution, crowd)["checks"]
    assert "proves nothing about the rest" in failed["error"]["said"]
    (passed,) = check(LESSON.solution, crowd.replace("limit=20", "limit=20, exhaustive=False"))[
        "checks"
    ]
    assert passed["note"] == "20 orders tried, not all there are"


def test_no_run_sees_what_another_has_left() -> None:
    grows = LESSON.solution + "\nseen = []\n"
    checks = (
        "from pinfut.executor import scope, yield_now\n"
        "from pinfut.learn.checks import every_order\n"
        "@every_order\n"
        "async def clean(lesson):\n"
        "    async def waits():\n"
        "        await yield_now()\n"
        "    async with scope() as tasks:\n"
        "        tasks.spawn(waits())\n"
        "        tasks.spawn(waits())\n"
        "    lesson.seen.append(1)\n"
        "    assert lesson.seen == [1]\n"
    )
    assert check(grows, checks)["solved"]


def test_an_error_in_a_scope_is_told_as_itself() -> None:
    code = (
        "from pinfut import ready\n"
        "from pinfut.executor import scope\n"
        "async def twice():\n"
        "    one = ready(1)\n"
        "    await one\n"
        "    await one\n"
        "async def main():\n"
        "    async with scope() as tasks:\n"
        "        tasks.spawn(twice())\n"
    )
    (trace,) = run(code, strict=True)["traces"]
    error = trace["header"]["error"]
    assert (error["type"], error["law"], error["at"]) == ("PolledAfterReady", 1, "lesson.py:6")


def test_a_solved_lesson_shows_its_own_program() -> None:
    result = check(LESSON.solution)
    assert result["solved"]
    assert [one["ok"] for one in result["checks"]] == [True] * result["total"]
    (trace,) = result["traces"]
    assert trace["header"]["title"] == "Your program"


def test_under_many_seeds_the_seed_that_fails_is_named_and_shown() -> None:
    checks = (
        "from pinfut.learn.checks import seeds\n"
        "@seeds(10)\n"
        "async def odd(lesson, seed):\n"
        "    assert seed < 3, 'Seed three.'\n"
    )
    result = check(LESSON.solution, checks)
    (failed,) = result["checks"]
    assert failed["note"] == "seed 3 of 10 fails"
    assert result["traces"][0]["header"]["seed"] == 3


def test_of_several_errors_the_broken_law_is_told() -> None:
    checks = (
        "from pinfut import PinError\n"
        "from pinfut.learn.checks import by_hand\n"
        "@by_hand(says={PinError: 'It was moved.'})\n"
        "def several(lesson):\n"
        "    raise ExceptionGroup('all', [ValueError('first'), PinError(lesson, 'copied')])\n"
    )
    (failed,) = check(LESSON.solution, checks)["checks"]
    assert failed["error"]["said"] == "It was moved."
    assert failed["error"]["law"] == 4
    assert "may not be copied" in failed["error"]["detail"]


def test_a_busy_loop_is_seen_in_its_first_order_and_not_in_a_thousand() -> None:
    loads = "import sys\nsys.loads = getattr(sys, 'loads', 0) + 1\n"
    sys.loads = 0  # type: ignore[attr-defined]
    try:
        assert not check(loads + RESTLESS, ORDERS)["solved"]
        assert sys.loads < 10  # type: ignore[attr-defined]
    finally:
        del sys.loads  # type: ignore[attr-defined]


def test_what_a_check_prints_goes_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    loud = LESSON.solution.replace(
        "        self.rung = True\n", "        self.rung = print('rung') is None\n"
    )
    assert loud != LESSON.solution
    assert check(loud)["solved"]
    assert capsys.readouterr().out == ""
