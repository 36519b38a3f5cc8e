"""What a client sees of its bank without a call."""

from __future__ import annotations

import pytest

from pinfut.rpc import PAGE, Balance, OutOfPages, connect, prices, session_of
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, far_of, quiet, run


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


def test_a_bushel_says_which_bank_pays_for_it_and_that_one_does_from_beginning_to_end() -> None:
    """Row 46: of two clients of one server, and of one who gave his session a bank of its own."""

    async def main(world: World) -> None:
        alice, bob = world.bank("alice"), world.bank("bob")
        async with (
            world.served("desk", DeskServer()) as server,
            connect(world.kernel, "desk", Desk, alice) as hers,
            connect(world.kernel, "desk", Desk, bob, quota=100) as his,
        ):
            tables = [session.peer.exports for session in server.sessions]
            names = [table.bank for table in tables]
            assert names == ["alice", session_of(his).name], "his session has one of its own"
            assert session_of(hers).peer.exports.bank is None, "what she serves is hers"
            for table in tables:
                with pytest.raises(AttributeError):
                    table.bank = "somebody else's"  # type: ignore[misc]
            for desk, pays, table in ((hers, alice, tables[0]), (his, bob.children[0], tables[1])):
                account = server.sessions[tables.index(table)].end.account
                others = alice.pages_used + bob.children[0].pages_used - pays.pages_used
                used, charged, pages = account.used, table.charged, pays.pages_used
                things = [await desk.make(str(n)) for n in range(40)]
                await quiet()
                price = table.charged - charged
                assert price == 40 * (prices.EXPORT + prices.OBJECT)
                assert account.used - used == price, "what is charged is in this account"
                assert pays.pages_used - pages >= price // PAGE, "and its pages of this bank"
                assert alice.pages_used + bob.children[0].pages_used - pays.pages_used == others
                for thing in things:
                    thing.release()
                await quiet()
                assert (table.charged, account.used) == (charged, used)
            assert [table.bank for table in tables] == names

    run(main)
