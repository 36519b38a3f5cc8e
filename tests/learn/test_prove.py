"""Each lesson teaches what it says; and what does not is refused, each fault by name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pinfut.learn.child import A_PROOF, run_child
from pinfut.learn.lesson import HOUSE, Lesson, WrongAnswer, load, parse
from pinfut.learn.prove import prove
from pinfut.learn.runner import runner
from tests.covered import covered, require

LESSONS = load(HOUSE)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lesson_of_the_house_is_proved(lesson: Lesson) -> None:
    source = (HOUSE / f"{lesson.name}.md").read_text("utf-8")
    # As `pinfut learn` does: in a process of its own, with its limits and its environment.
    proof = run_child({"do": "prove", "name": lesson.name, "source": source}, A_PROOF)
    assert proof.get("faults") == [], proof
    assert proof["refused"] == len(lesson.wrong) >= 3
    explored = [orders for orders in proof["orders"].values() if orders]
    assert all(orders >= 2 for orders in explored)
    counts = covered("lessons", checks=len(proof["orders"]), explored=len(explored))
    require(counts, "checks", "explored")


SMALL = parse(
    "small",
    """---
title: Small
idea: Count.
---
```python start
value = 1

async def main():
    pass
```

```hint
Two.
```

```python check
from pinfut.executor import scope, yield_now
from pinfut.learn.checks import every_order

@every_order
async def two(lesson):
    async def waits():
        await yield_now()
    async with scope() as tasks:
        tasks.spawn(waits())
        tasks.spawn(waits())
    assert lesson.value > 1, "Too small."
    assert lesson.value < 3, "Too large."
    assert lesson.value == 2, "No number."
```

```python solution
value = 2

async def main():
    pass
```

```python wrong two
# refused: Too small.
value = 0
```

```python wrong two
# refused: Too large.
value = 3
```

```python wrong two
# refused: No number.
value = 2.5
```

```text after
Two.
```
""",
)


def faults(**changes: object) -> str:
    lesson = replace(SMALL, **changes)  # type: ignore[arg-type]
    return "\n".join(prove(lesson, runner).faults)


def test_a_lesson_without_a_fault_has_none() -> None:
    proof = prove(SMALL, runner)
    assert (proof.faults, proof.orders, proof.refused) == ([], {"two": 6}, 3)


ALONE = SMALL.check.replace(
    "        tasks.spawn(waits())\n        tasks.spawn", "        tasks.spawn"
)
BY_HAND = (
    "from pinfut.learn.checks import by_hand\n@by_hand\ndef two(lesson):\n"
    + SMALL.check[SMALL.check.index("    assert") :]
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": SMALL.solution}, "its start passes: there is nothing to mend"),
        ({"start": "value = 1"}, "its start cannot be run: There is no main to run"),
        ({"start": "value = ("}, "its start cannot be checked: Python cannot read this"),
        ({"solution": SMALL.start}, "its solution fails: two: Too small."),
        ({"check": ""}, "no check of it explores an order"),
        ({"check": ALONE.replace("await yield_now()", "pass")}, "explored 1 order"),
        (
            {"check": "("},
            "its solution fails: The check of this lesson cannot be loaded: SyntaxError",
        ),
        ({"check": "oops"}, "cannot be loaded: NameError"),
        ({"check": BY_HAND}, "no check of it explores an order"),
        ({"wrong": SMALL.wrong[:2]}, "it has 2 wrong answers; write 3 or more"),
        ({"wrong": (SMALL.wrong[0],) * 3}, "refused with one sentence: Too small."),
        (
            {"wrong": (*SMALL.wrong, WrongAnswer("two", "Not this.", SMALL.solution))},
            "wrong answer 4 passes",
        ),
        (
            {"wrong": (*SMALL.wrong, WrongAnswer("two", "Not this.", "value = 1"))},
            "wrong answer 4 is refused with another sentence than 'Not this.': 'Too small.'",
        ),
        (
            {"wrong": (*SMALL.wrong, WrongAnswer("three", "Small.", "value = 1"))},
            "wrong answer 4 fails two, not three: Too small.",
        ),
        (
            {"wrong": (*SMALL.wrong, WrongAnswer("two", "Small.", "value = oops"))},
            "wrong answer 4 cannot be checked: NameError",
        ),
    ],
)
def test_a_planted_fault_of_a_lesson_is_named(changes: dict[str, object], said: str) -> None:
    assert re.search(said, faults(**changes))
