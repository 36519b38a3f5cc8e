"""Lesson: one Markdown file, taken apart. docs/learn.md says how it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOUSE: Final = Path(__file__).parent / "lessons"
"""The lessons that come along."""

_FENCE: Final = re.compile(
    r"^(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=ticks)[ \t]*(?:\n|\Z)", re.M | re.S
)
_HEAD: Final = re.compile(r"\A---\n(?P<head>.*?)^---\n", re.M | re.S)
_REFUSED: Final = re.compile(r"\A(?:# refused: .*\n)(?:#  .*\n)*")

_ONCE: Final = ("start", "check", "solution", "after")
_KEYS: Final = ("title", "law", "idea", "beside")


class BadLesson(ValueError):
    """A lesson's file is not written as one. The message names the file and what to do."""


@dataclass(frozen=True)
class WrongAnswer:
    """A typical wrong answer: which check refuses it, and with which sentence."""

    check: str
    sentence: str
    code: str
    """The whole program: the solution, and below it what this answer has instead."""


@dataclass(frozen=True)
class Lesson:
    """One lesson. The texts are Markdown, the rest is Python."""

    name: str
    """The file's name without its ending; lessons are in the order of their names."""
    title: str
    idea: str
    laws: tuple[int, ...]
    beside: bool
    """Whether a run is shown beside a run of the same program under asyncio."""
    text: str
    start: str
    check: str
    hints: tuple[str, ...]
    solution: str
    after: str
    wrong: tuple[WrongAnswer, ...]


def parse(name: str, source: str) -> Lesson:
    """The lesson in `source`. Raises BadLesson."""
    head = _HEAD.match(source)
    if head is None:
        raise BadLesson(f"{name}: begins with no head; write lines of 'key: value' between '---'")
    keys = _keys(name, head["head"])
    once: dict[str, str] = {}
    hints: list[str] = []
    wrong: list[tuple[str, str, str]] = []

    def fence(found: re.Match[str]) -> str:
        words, text = found["info"].split(), found["text"]
        kind = next((word for word in words if word in (*_ONCE, "hint", "wrong")), None)
        if kind is None:
            return found[0]  # part of the text
        if kind == "hint":
            hints.append(text)
        elif kind == "wrong":
            wrong.append(_wrong(name, words, text))
        elif kind in once:
            raise BadLesson(f"{name}: has two fences '{kind}'; keep one")
        else:
            once[kind] = text
        return ""

    text = _FENCE.sub(fence, source[head.end() :]).strip() + "\n"
    missing = [kind for kind in _ONCE if kind not in once] + ["hint"] * (not hints)
    if missing:
        raise BadLesson(f"{name}: has no fence {', '.join(missing)}; write one of each")
    return Lesson(
        name=name,
        title=keys["title"],
        idea=keys["idea"],
        laws=_laws(name, keys.get("law", "")),
        beside=keys.get("beside", "") == "asyncio",
        text=text,
        start=once["start"],
        check=once["check"],
        hints=tuple(hints),
        solution=once["solution"],
        after=once["after"],
        wrong=tuple(
            WrongAnswer(check, sentence, f"{once['solution']}\n\n{code}")
            for check, sentence, code in wrong
        ),
    )


def _keys(name: str, head: str) -> dict[str, str]:
    keys = {}
    for line in head.splitlines():
        key, colon, value = line.partition(":")
        if not colon or key not in _KEYS:
            raise BadLesson(f"{name}: has {line!r} in its head; the keys are {', '.join(_KEYS)}")
        keys[key] = value.strip()
    for key in ("title", "idea"):
        if not keys.get(key):
            raise BadLesson(f"{name}: has no {key} in its head; write '{key}: ...'")
    return keys


def _laws(name: str, value: str) -> tuple[int, ...]:
    words = value.replace(",", " ").split()
    if not all(word.isdecimal() and 1 <= int(word) <= 8 for word in words):
        raise BadLesson(f"{name}: has law: {value!r}; name laws by number, as 'law: 2, 3'")
    return tuple(map(int, words))


def _wrong(name: str, words: list[str], text: str) -> tuple[str, str, str]:
    """The check, the sentence and the code of a fence ``python wrong CHECK``."""
    refused = _REFUSED.match(text)
    if words[-1] == "wrong" or refused is None:
        raise BadLesson(
            f"{name}: a wrong answer is a fence 'python wrong CHECK' whose first line is "
            "'# refused: SENTENCE' (further lines of the sentence begin with '#  ')"
        )
    lines = refused[0].removeprefix("# refused: ").splitlines()
    sentence = " ".join(line.removeprefix("# ").strip() for line in lines)
    return words[-1], sentence, text[refused.end() :]


def load(folder: Path) -> list[Lesson]:
    """The lessons in a folder, in the order of their names. Raises BadLesson, OSError."""
    if not folder.is_dir():
        raise BadLesson(f"{folder} is no folder; name one that holds lessons (*.md)")
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".md")
    if not paths:
        raise BadLesson(f"{folder} holds no lesson: a lesson is a file that ends in .md")
    return [parse(path.stem, path.read_text("utf-8")) for path in paths]
