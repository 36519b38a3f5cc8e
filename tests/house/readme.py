"""The code blocks of README.md, and what the page says that they print."""

import re
from dataclasses import dataclass

from tests.house.imports import ROOT

# A block that begins with one of these is run.
RUNNABLE = ("# runnable", "# service.py")

_BLOCK = re.compile(r"^```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```[ ]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    code: str
    # The line of README.md that the code begins on.
    line: int
    # None if the page does not say.
    expected_output: str | None

    @property
    def is_service(self) -> bool:
        return "# service.py" in self.code.splitlines()


def runnable_blocks(page: str | None = None, starts: tuple[str, ...] = RUNNABLE) -> list[Block]:
    """The ```python blocks that begin with one of `starts`, comments.

    A ```text block after one is its output. Between the two may stand blank lines
    and lines that end in a colon ("It prints:").
    """
    if page is None:
        path = ROOT / "README.md"
        if not path.exists():
            return []
        page = path.read_text("utf-8")
    blocks = list(_BLOCK.finditer(page))
    found: list[Block] = []
    for at, block in enumerate(blocks):
        code = block["text"]
        if block["kind"] != "python" or not code.startswith(starts):
            continue
        expected = None
        if at + 1 < len(blocks) and blocks[at + 1]["kind"] == "text":
            between = page[block.end() : blocks[at + 1].start()].splitlines()
            if all(not line.strip() or line.rstrip().endswith(":") for line in between):
                expected = blocks[at + 1]["text"]
        found.append(Block(code, page.count("\n", 0, block.start()) + 2, expected))
    return found
