"""The page on threats: its figures are those of the code, and who holds each is there."""

from __future__ import annotations

import re
from pathlib import Path
from sys import getsizeof

import pytest

from pinfut.executor.asyncgens import OVER
from pinfut.executor.timers import MIN_DEAD
from pinfut.rpc import contract, names
from pinfut.rpc.kernel.stream import endpoint, kernel
from pinfut.rpc.lab.hostile import SCENARIOS
from pinfut.rpc.lab.hostile.stage import BESIDE, LONGER, UNCHARGED
from pinfut.rpc.objects import weight
from pinfut.rpc.objects.expansion import shortest
from pinfut.rpc.session import calls_in, kept
from pinfut.rpc.session.charging import SAFETY
from tests.hostile.test_slope import EACH, LEFT

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")

LETTERS = next(n for n in range(1000) if getsizeof("n" * (n + 1)) > names.MOST)

FIGURES = {
    "one message": contract.MESSAGE,
    "of one with": shortest(contract.MESSAGE),
    "bytes that its arguments": calls_in.UNPAID,
    "things in it": weight.MOST,
    "levels in which": weight.DEEPEST,
    "letters": LETTERS,
    "bytes that a session": UNCHARGED,
    "sessions": contract.SESSIONS,
    "slots": contract.SLOTS,
    "seconds": contract.GRACE,
    "things": SAFETY,
    "tables": LEFT,
    "the table": EACH["subscriptions"],
    "timers": 2 * MIN_DEAD,
    "numbers": OVER,
    "frames": kept._STACK,
    "how much longer": LONGER,
    "in the rest": BESIDE,
    "answers over": endpoint.PUSH,
    "connections": kernel.STRANGERS,
    "seconds that each": kernel.GREETING,
}


def rows() -> list[list[str]]:
    """The rows of the table of constants: what, at most, set by, held by."""
    table = TEXT.partition("## The server's own constants")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_each_constant_of_the_page_is_that_of_the_code() -> None:
    assert len(rows()) == len(FIGURES)
    for (what, most, _, _), (begins, value) in zip(rows(), FIGURES.items(), strict=True):
        assert what.startswith(begins)
        assert int(most.replace(",", "").removesuffix(" times")) == value, what


def test_who_holds_a_constant_is_there() -> None:
    names = {one.name for one in SCENARIOS}
    for what, _, setting, holder in rows():
        found = re.fullmatch(r"`(pinfut (hostile|slopes)(?: --only '(.+)')?|tests/\S+)`", holder)
        assert found is not None, what
        if found[2] is None:
            assert (ROOT / found[1]).is_file(), what
        assert found[3] is None or found[3] in names, what
        if setting:
            assert re.fullmatch(r"`serve\(\w+=\)`", setting), what


@pytest.mark.parametrize("page", ["README.md", "docs/README.md"])
def test_the_promise_leads_to_the_page(page: str) -> None:
    assert "threats.md)" in (ROOT / page).read_text(encoding="utf-8")
