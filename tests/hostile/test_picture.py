"""The picture on the page is what the code draws, and what it shows is what happened."""

from __future__ import annotations

from pathlib import Path

from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.lab.hostile.picture import WIDTH, draw, picture

PAGE = Path(__file__).resolve().parents[2] / "docs" / "paying.md"


def test_the_picture_of_the_page_is_the_one_that_a_run_draws() -> None:
    assert f"```\n{picture()}\n```" in PAGE.read_text(encoding="utf-8")


def test_a_bank_is_drawn_with_those_below_it_and_as_full_as_it_is() -> None:
    kernel = SimKernel(pages=100)
    bank = kernel.bank("a", pages=30)
    bank.buy(15)
    bank.child("below", pages=8).buy(7)
    kernel.bank("empty", pages=0)
    machine, first, below, empty = draw(kernel.root).splitlines()
    # Each with its books: a page of the bank below, and what stands above it.
    assert machine.split()[:4] == ["machine", "23", "of", "100"]
    assert first.startswith("  a ")
    assert first.count("#") == -(-23 * WIDTH // 30)
    assert below.startswith("    below ")
    assert below.count("#") == WIDTH
    assert empty.startswith("  empty ")
    assert "#" not in empty
