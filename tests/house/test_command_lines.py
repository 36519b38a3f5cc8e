"""What is written about the command: each line parses, and nobody writes it in another way."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import chain

import pytest

from pinfut.command.main import SUBCOMMANDS, make_parser
from tests.house.imports import BESIDE, FLOORS, ROOT, sources

PAGES = sorted(
    [*ROOT.glob("*.md"), *chain(*(ROOT.glob(f"{f}/**/*.md") for f in ("docs", *BESIDE)))]
)
MODULES = [path for _, path in sources({**FLOORS, **BESIDE})]

BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:\$ )?(pinfut [^\n]*)$", re.MULTILINE)
QUOTED = re.compile(r"`(pinfut\s[^`]+)`")

# Modules of the floors are not run: there is one command.
MODULE_RUN = re.compile(r"-m[\"',\s]+pinfut\.")


def command_lines(page: str) -> Iterator[str]:
    """The command lines of a page, without comments, and without what they are piped to: those in
    its blocks, perhaps after a prompt, and those that a sentence quotes."""
    blocks = "".join(BLOCK.findall(page))
    for line in LINE.findall(blocks) + QUOTED.findall(BLOCK.sub("", page)):
        words = shlex.split(line, comments=True)
        yield shlex.join(words[: words.index("|")] if "|" in words else words)


def wrong(line: str) -> str | None:
    """What the command says against a line; None for one that it takes."""
    words = shlex.split(line)[1:]
    try:
        make_parser(words).parse_args(words)
    except SystemExit as ended:
        return f"{line}: exit {ended.code}" if ended.code else None
    return None


def test_each_command_line_of_the_pages_parses_and_each_subcommand_has_one() -> None:
    lines = {line for path in PAGES for line in command_lines(path.read_text("utf-8"))}
    assert [told for line in sorted(lines) if (told := wrong(line))] == []
    assert {line.split()[1] for line in lines} >= SUBCOMMANDS.keys()


def test_no_text_of_the_tree_runs_a_module_of_the_floors() -> None:
    texts = [*PAGES, *MODULES, ROOT / "Makefile", ROOT / "pyproject.toml"]
    found = {
        path.relative_to(ROOT).as_posix(): run.group()
        for path in texts
        if (run := MODULE_RUN.search(path.read_text("utf-8")))
    }
    assert found == {}
    assert len(PAGES) >= 20
    assert len(MODULES) >= 300
    mains = [path for _, path in sources(FLOORS) if "__main__" in path.read_text("utf-8")]
    assert mains == [ROOT / "pinfut" / "__main__.py"]


PAGE = """
pinfut is a runtime.
Say `pinfut info` or `pinfut
rules --json -`, as `import pinfut` does not.

```sh
$ pinfut hostile --only 'stale ids' | head  # a comment
pinfut laws
  pinfut/ is a folder
```
"""


def test_command_lines_are_found_in_sentences_and_in_blocks() -> None:
    assert [*command_lines(PAGE)] == [
        "pinfut hostile --only 'stale ids'",
        "pinfut laws",
        "pinfut info",
        "pinfut rules --json -",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "pinfut",
        "pinfut law",
        "pinfut layout",
        "pinfut rules --seed 1",
        "pinfut prices --only BREAD",
    ],
)
def test_a_planted_line_that_does_not_parse_is_caught(line: str) -> None:
    assert wrong(line)


def test_a_planted_module_run_is_caught() -> None:
    for text in ("-m\n" + "pinfut.rpc.kernel rules", '"-m", "pinfut' + '.unboxed"'):
        assert MODULE_RUN.search(text)
    assert not MODULE_RUN.search("python -m pinfut rules")
