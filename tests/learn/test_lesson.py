"""Lessons are taken apart as docs/learn.md says, and what is none is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfut.learn.lesson import HOUSE, BadLesson, Lesson, load, parse

WHOLE = """---
title: A lesson
law: 2, 3
idea: One idea.
---
Read this.

```python
part = "of the text"
```

```python start
start = 1
```

````hint
Look:
```python
x = 1
```
````

```python check
check = 1
```

```python solution
value = 2
kept = True
```

```python wrong some_check
# refused: Not
#  so.
value = 3
```

```text after
Well done.
```
"""


def without(fence: str) -> str:
    """WHOLE without the fence of a kind."""
    begin = WHOLE.index(fence)
    ticks = fence.partition(" ")[0].rstrip("abcdefghijklmnopqrstuvwxyz")
    end = WHOLE.index(f"\n{ticks}\n", begin) + len(ticks) + 2
    return WHOLE[:begin] + WHOLE[end:]


def test_a_lesson_is_taken_apart() -> None:
    lesson = parse("01-a", WHOLE)
    assert lesson == Lesson(
        name="01-a",
        title="A lesson",
        idea="One idea.",
        laws=(2, 3),
        beside=False,
        text='Read this.\n\n```python\npart = "of the text"\n```\n',
        start="start = 1\n",
        check="check = 1\n",
        hints=("Look:\n```python\nx = 1\n```\n",),
        solution="value = 2\nkept = True\n",
        after="Well done.\n",
        wrong=lesson.wrong,
    )
    (wrong,) = lesson.wrong
    assert (wrong.check, wrong.sentence) == ("some_check", "Not so.")
    names: dict[str, object] = {}
    exec(wrong.code, names)
    assert names["value"] == 3, "a wrong answer replaces what the solution defines"
    assert names["kept"], "and keeps the rest of it"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no head", "begins with no head"),
        (WHOLE.replace("title: A lesson\n", ""), "has no title"),
        (WHOLE.replace("law: 2, 3", "law: nine"), "name laws by number"),
        (WHOLE.replace("law: 2, 3", "law: 9"), "name laws by number"),
        (WHOLE.replace("law:", "laws:"), "the keys are title, law, idea, beside"),
        (
            WHOLE.replace("# refused: Not\n#  so.\n", ""),
            "whose first line is '# refused: SENTENCE'",
        ),
        (WHOLE.replace("wrong some_check", "wrong"), "a fence 'python wrong CHECK'"),
        (WHOLE + "```python start\n```\n", "has two fences 'start'"),
        *(
            (without(fence), f"has no fence {fence.split()[-1].strip('`')}")
            for fence in (
                "```python start",
                "```python check",
                "```python solution",
                "```text after",
                "````hint",
            )
        ),
    ],
)
def test_what_is_no_lesson_is_refused_with_a_sentence(source: str, said: str) -> None:
    with pytest.raises(BadLesson, match=said):
        parse("bad", source)


def test_a_folder_without_lessons_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLesson, match="holds no lesson"):
        load(tmp_path)
    with pytest.raises(BadLesson, match="is no folder"):
        load(tmp_path / "none")


def test_the_lessons_of_the_house_are_there_in_order() -> None:
    lessons = load(HOUSE)
    assert len(lessons) == 16
    numbers = [int(lesson.name[:2]) for lesson in lessons]
    assert numbers == [*range(1, 17)]
    assert all(len(lesson.wrong) >= 3 for lesson in lessons)
    assert sum(lesson.beside for lesson in lessons) == 1
