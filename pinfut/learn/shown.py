"""shown: lessons as the page has them, their texts made HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt

from pinfut.laws import LAWS
from pinfut.learn.lesson import Lesson


def shown(lessons: Sequence[Lesson]) -> list[dict[str, Any]]:
    """What the page needs of each lesson, as JSON values. HTML in a text is shown as text."""
    html = MarkdownIt("commonmark", {"html": False}).render
    return [
        {
            "name": one.name,
            "title": one.title,
            "idea": one.idea,
            "laws": [{"number": law, "text": LAWS[law]} for law in one.laws],
            "beside": one.beside,
            "html": html(one.text),
            "start": one.start.rstrip("\n"),
            "check": one.check,
            "hints": [html(hint) for hint in one.hints],
            "solution": one.solution.rstrip("\n"),
            "after": html(one.after),
        }
        for one in lessons
    ]
