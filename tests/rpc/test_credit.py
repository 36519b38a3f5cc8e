"""What a client sees of its bank without a call."""

from __future__ import annotations

import pytest

from pinfut.rpc import Balance, OutOfPages, connect, session_of
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, far_of, run


def test_a_client_reads_what_its_bank_has_left_without_a_call_and_only_the_bank_decides() -> None:
    """Row 15: after each call the page says what the bank says, and looking asks nobody."""

    async def main(world: World) -> None:
        bank = world.bank(pages=60)
        async with world.session(Desk, DeskServer(), bank=bank, slots=8) as desk:
            session = session_of(desk)
            used = bank.pages_used
            assert session.left() is not None
            assert bank.pages_used == used + 1, "the page is the bank's own"
            seqs: set[int] = set()
            for make in (1, 5, 9, 40):
                things = [await desk.make(str(n)) for n in range(make)]
                before = world.kernel.transitions.copy()
                left = session.left()
                assert world.kernel.transitions == before
                assert left is not None
                assert Balance(left.pages, left.caps) == bank.balance
                seqs.add(left.seq)
                for thing in things:
                    thing.release()
            assert len(seqs) > 2, "nothing has changed between the looks"
            # Between looking and buying somebody else bought: the page promises nothing.
            left = session.left()
            assert left is not None
            bank.buy(1)
            with pytest.raises(OutOfPages):
                bank.buy(left.pages)
            bank.sell(1)
            with pytest.raises(ValueError, match="paid by the other side"):
                far_of(session, world.kernel).credit()
            async with connect(world.kernel, "service", Desk, bank, slots=8) as again:
                assert session_of(again).left() == session.left(), "one page for one bank"

    run(main)
