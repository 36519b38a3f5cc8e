"""What a bank keeps about itself takes no more than it pays, on the running interpreter."""

from __future__ import annotations

import pytest

from pinfut.rpc import prices
from pinfut.rpc.lab.hostile.measure import MANY, truth
from tests.covered import covered


@pytest.mark.parametrize("name", MANY)
def test_what_is_kept_about_a_bank_takes_no_more_than_its_price(name: str) -> None:
    """Bank rule 13: a bank's own metadata is charged to it."""
    price = getattr(prices, name)
    if name == "TRANSFER":
        price += prices.RESERVATION
    worst = truth(MANY[name])
    covered(f"price of {name}", price=price, truth=worst)
    assert worst <= price, f"{name} is {price}, and one takes {worst} bytes"
