"""Refunds that a client agreed to when it opened the session: moved once, capped, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc import OutOfPages, SessionClosed, Vat, connect, session_of
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.bank.funds import SessionFunds
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import Balance, SessionSpec
from pinfut.rpc.session.prepayment import CLOSED, OWN, REFUNDED, Prepayment
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, only, quiet, run

REFUND = st.tuples(st.just("refund"), st.integers(0, 9))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.integers(1, 6)),
        REFUND,
        REFUND,
        st.tuples(st.just("close"), st.integers(0, 9)),
        st.tuples(st.just("limit"), st.integers(-30, 10)),
    ),
    min_size=10,
    max_size=40,
)


class End:
    """An endpoint of a session with these funds."""

    def __init__(self, funds: SessionFunds) -> None:
        self.refund = funds.refund
        self.end_refund = funds.end_refund
        self.funds = funds

    def refunds(self, number: int, /) -> bool:
        return number in self.funds.refunds


@given(STEPS, st.integers(0, 12))
def move_charges(steps: list[tuple[str, int]], allowed: int) -> None:
    root = Bank("machine", 1000, 1000)
    client, server = root.child("client", pages=40), root.child("server", pages=30)
    spec = SessionSpec(slots=2, refund=allowed)
    funds = SessionFunds(client, "a session", spec, Balance(4, 2))
    end: Any = End(funds)
    base = client.pages_used
    prepayments: list[Prepayment] = []
    states: list[str] = []
    counts = {"refunded": 0, "above": 0, "poor": 0, "twice": 0, "bought": 0, "closed": 0}

    def paid(state: str) -> int:
        pairs = zip(prepayments, states, strict=True)
        return sum(one.pages for one, now in pairs if now == state)

    for what, n in steps:
        if what == "buy":
            try:
                prepayments.append(Prepayment(end, server, n, "a bushel"))
                states.append(OWN)
                counts["bought"] += 1
            except OutOfPages:
                assert server.balance.pages < n
        elif what == "limit":
            client.refill(pages=n)
        elif prepayments:
            n %= len(prepayments)
            one = prepayments[n]
            if what == "close":
                one.close()
                counts["closed"] += states[n] != CLOSED
                states[n] = CLOSED
            else:
                fits = paid(REFUNDED) + one.pages <= allowed
                pays = one.pages <= client.balance.pages
                if states[n] != OWN:
                    assert not one.refund()
                    counts["twice"] += 1
                elif fits and pays:
                    assert one.refund()
                    states[n] = REFUNDED
                    counts["refunded"] += 1
                else:
                    with pytest.raises(OutOfPages, match="client"):
                        one.refund()
                    counts["poor" if fits else "above"] += 1
        assert [one.state for one in prepayments] == states
        assert server.pages_used == paid(OWN)
        assert client.pages_used == base + paid(REFUNDED)
        assert sum(funds.refunds.values()) == paid(REFUNDED) <= allowed
    funds.release()
    assert [one.state for one in prepayments] == [
        CLOSED if state == REFUNDED else state for state in states
    ]
    assert client.pages_used == 0
    assert server.pages_used == paid(OWN)
    for one, state in zip(prepayments, states, strict=True):
        if state == OWN:
            with pytest.raises(SessionClosed):
                one.refund()
        one.close()
        one.close()
    assert root.pages_used == 0
    covered("refunds", **counts)


def test_a_charge_stands_on_one_bank_and_moves_at_most_once() -> None:
    """Checklist rows 24 and 53, trap T5: against lists of who pays for what. Refund, close and
    the end of the session cross in every order."""
    move_charges()
    require(covered("refunds"), "refunded", "above", "poor", "twice", "bought", "closed")


def test_a_server_is_refunded_within_what_the_client_allowed() -> None:
    async def main(world: World) -> None:
        own, bank = world.bank("server"), world.bank()
        async with world.served("service", DeskServer()) as vat:
            async with connect(world.kernel, "service", Desk, bank, refund=5) as desk:
                session = only(vat)
                used = bank.pages_used
                one = session.prepay(own, 4)
                two = session.prepay(own, 2, "its second bushel")
                assert (own.pages_used, bank.pages_used) == (6, used)
                assert one.refund()
                assert (own.pages_used, bank.pages_used) == (2, used + 4)
                with pytest.raises(OutOfPages, match="its second bushel"):
                    two.refund()
                one.close()
                assert two.refund()
                assert (own.pages_used, bank.pages_used) == (0, used + 2)
                with pytest.raises(ValueError, match="paid by this side"):
                    session_of(desk).prepay(own, 1)
                with pytest.raises(ValueError, match="1 page or more"):
                    session.prepay(own, 0)
            # The session has ended: what was refunded is the client's again.
            assert bank.pages_used == 0
            two.close()
        wrong: Any
        for wrong in (-1, 1.5, True):
            with pytest.raises(ValueError, match="refund is"):
                connect(world.kernel, "service", Desk, bank, refund=wrong)

    run(main)


def test_a_client_that_allows_nothing_and_one_that_dies_pay_nothing() -> None:
    async def main(world: World) -> None:
        own = world.bank("server")
        async with world.served("service", DeskServer()) as vat:
            client = Vat(world.kernel, "client")
            opened = connect(world.kernel, "service", Desk, world.bank(), vat=client, refund=3)
            await opened.__aenter__()
            session = only(vat)
            refunded, kept = session.prepay(own, 3), session.prepay(own, 1)
            assert refunded.refund()
            client.kill()
            await quiet()
            with pytest.raises(SessionClosed):
                kept.refund()
            assert own.pages_used == 1
            refunded.close()
            kept.close()
            async with connect(world.kernel, "service", Desk, world.bank("other")):
                none = only(vat).prepay(own, 1)
                with pytest.raises(OutOfPages, match="0 of 0 pages"):
                    none.refund()
                none.close()
            await client.close()

    run(main)


def test_a_client_does_not_pay_for_what_went_with_the_bank_of_its_server() -> None:
    root = Bank("machine", 1000, 1000)
    client, server = root.child("client", pages=40), root.child("server", pages=30)
    funds = SessionFunds(client, "a session", SessionSpec(slots=2, refund=9), Balance(4, 2))
    one: Any = Prepayment(End(funds), server, 5, "an index")  # type: ignore[arg-type]
    before = client.pages_used
    destroying = destroy(server)
    while destroying.step():
        pass
    assert server.pages_used == 0
    with pytest.raises(ValueError, match="server"):
        one.refund()
    assert client.pages_used == before
    assert not funds.refunds
