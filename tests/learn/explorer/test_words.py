"""Every step has a sentence, and its sign: in node, for every event of every trace."""

from __future__ import annotations

import re
from pathlib import Path

from tests.covered import covered, require
from tests.learn.explorer.in_node import in_node, needs_node
from tests.learn.explorer.traces import corpus

SCRIPT = """
import { modelOf } from "./model.js";
import { kindOf, Words } from "./words.js";
give(given.map((trace) => {
  const words = new Words(modelOf(trace));
  return trace.events.map((event, i) => [words.sentence(i), words.text(i), ...kindOf(event)]);
}));
"""


@needs_node
def test_every_step_has_a_sentence_without_its_marks_too(tmp_path: Path) -> None:
    traces = corpus()
    given = [{"header": trace.header, "events": trace.events} for trace in traces]
    signs: dict[str, set[str]] = {}
    kinds: dict[str, int] = {}
    for trace, told in zip(traces, in_node(tmp_path, SCRIPT, given), strict=True):
        names = dict(trace.tasks)
        for event, (html, text, sign, word) in zip(trace.events, told, strict=True):
            kinds[event["k"]] = kinds.get(event["k"], 0) + 1
            signs.setdefault(sign, set()).add(word)
            if event["k"] == "spawn":
                names[event["a"]] = event["n"]
            assert re.fullmatch(r"[A-Z_a-z‹].*", text, re.DOTALL), text
            if event["k"] not in ("law", "out"):  # these quote somebody else
                assert re.search(r"[.?)]$", text), text
            for wrong in ("undefined", "NaN", "[object", "null"):
                assert wrong not in text, f"{event}: {text}"
            assert html.count("<b") == html.count("</b>")
            # Whose step it is stands there by name.
            if event["k"] in ("park", "finish", "resume", "yield", "spawn", "wake", "cancel"):
                assert names[event["a"]] in text or "itself" in text, text
    assert all(len(words) == 1 for sign, words in signs.items()), "one sign, one meaning"
    require(covered("sentences", **kinds), "wake", "slot", "bank", "law", "sub", "io", "out")


@needs_node
def test_what_a_program_names_and_prints_is_text_and_no_markup(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>&\"'"
    events = [
        {"k": "spawn", "t": 0, "a": 1, "n": evil, "at": f"{evil}:1"},
        {"k": "poll", "t": 0, "a": 1, "f": 1, "n": evil, "at": f"{evil}:1"},
        {"k": "got", "t": 0, "a": 1, "f": 1, "r": "ready", "v": evil},
        {"k": "wake", "t": 0, "a": 1, "by": f"call {evil}"},
        {"k": "wake", "t": 0, "a": 1, "by": f"fd {evil}"},
        {"k": "wake", "t": 0, "a": 1, "by": evil},
        {"k": "line", "t": 0, "a": 1, "at": f"{evil}:1", "fn": evil},
        {"k": "out", "t": 0, "v": evil},
        {"k": "law", "t": 0, "law": evil, "v": evil, "text": evil},
        {"k": "report", "t": 0, "n": evil, "v": evil},
        {"k": "session", "t": 0, "n": evil, "N": 4, "pays": evil},
        {"k": "slot", "t": 0, "n": evil, "x": 1, "N": 4, "s": "sent", "m": evil, "on": 3, "z": 2},
        {"k": "serve", "t": 0, "n": evil, "x": evil, "m": evil, "z": 2},
        {"k": "bank", "t": 0, "n": evil, "dp": 1, "dc": 0, "why": evil, "p": 1, "L": 2},
        {"k": "flush", "t": 0, "n": evil, "z": 1},
        {"k": "finish", "t": 0, "a": 1, "how": "error", "v": evil},
        {"k": "timer", "t": 0, "x": evil, "s": "fired", "d": 1},
        {"k": "io", "t": 0, "fd": evil, "e": evil, "s": "fired"},
        {"k": "ran", "t": 0, "n": evil},
        {"k": evil, "t": 0},
    ]
    [told] = in_node(tmp_path, SCRIPT, [{"header": {}, "events": events}])
    assert len(told) == len(events)
    mark = re.compile(r"</?(b|i|em|code|small|strong|span)( [\w-]+=\"[\w:; -]*\")*>")
    for html, *_ in told:
        assert "<img" not in html
        assert "<" not in mark.sub("", html)
    # Where a number has to be, there is one.
    assert sum("<img" in text for _, text, *_ in told) == len(told) - 1


@needs_node
def test_a_line_of_another_file_than_the_program_is_told_with_its_file(tmp_path: Path) -> None:
    events = [
        {"k": "spawn", "t": 0, "a": 1, "n": "main"},
        {"k": "resume", "t": 0, "a": 1, "at": "lesson.py:3"},
        {"k": "resume", "t": 0, "a": 1, "at": "check.py:4"},
    ]
    header = {"sources": [{"name": "lesson.py", "text": ""}]}
    [[_, own, other]] = in_node(tmp_path, SCRIPT, [{"header": header, "events": events}])
    assert own[1].endswith("from line 3.")
    assert other[1].endswith("from line 4 of check.py.")


@needs_node
def test_a_run_of_asyncios_is_told_in_asyncios_words(tmp_path: Path) -> None:
    events = [
        {"k": "spawn", "t": 0, "a": 1, "n": "main"},
        {"k": "park", "t": 0, "a": 1, "tr": {"f": 0, "n": "Future"}},
        {"k": "wake", "t": 0, "a": 1, "m": 0, "by": "timer 1"},
    ]
    traces = [{"header": header, "events": events} for header in ({}, {"runner": "asyncio"})]
    ours, theirs = in_node(tmp_path, SCRIPT, traces)
    assert "Nobody polls it again" in ours[1][1]
    assert "among the callbacks" in theirs[1][1]
    assert "as a callback" in theirs[2][1]
