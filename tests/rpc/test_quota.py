"""Sessions with a quota of their own, and refilling for one request."""

from __future__ import annotations

import pytest

from pinfut.executor import sleep, spawn, yield_now
from pinfut.rpc import Balance, connect, method, serve, session_of, session_pages
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.funds import CAPS
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import (
    BankDead,
    BankError,
    DonationTooSmall,
    NestedShortage,
    OutOfPages,
    PayerExhausted,
    SafetyExceeded,
    SessionClosed,
    SessionDead,
)
from pinfut.rpc.kernel.sizes import pages_of
from pinfut.rpc.refill import retry_with_refill
from pinfut.rpc.session.charging import charge, keep
from pinfut.rpc.session.serving import current_session
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, far_of, quiet, run

LEAST = session_pages(slots=8, donated=True)


def test_a_session_that_cannot_be_paid_for_does_not_exist() -> None:
    """Bank rule 14: a session that cannot be paid for fails before it exists.
    Bank rule 15: "payer exhausted" and "donation too small" are two errors."""

    async def main(world: World) -> None:
        bank = world.bank(pages=LEAST + 3)
        async with world.served("desk", DeskServer()) as server:
            for missing in (1, LEAST):
                with pytest.raises(DonationTooSmall, match=f"donate {missing} pages") as small:
                    async with connect(
                        world.kernel, "desk", Desk, bank, slots=8, quota=LEAST - missing
                    ):
                        raise AssertionError("connected")
                assert small.value.short == missing
                assert not isinstance(small.value, PayerExhausted)
            with pytest.raises(DonationTooSmall, match="1 capabilities more"):
                async with connect(
                    world.kernel, "desk", Desk, bank, slots=8, quota=Balance(LEAST, CAPS - 1)
                ):
                    raise AssertionError("connected")
            with pytest.raises(PayerExhausted) as poor:
                async with connect(world.kernel, "desk", Desk, bank, slots=8, quota=LEAST + 4):
                    raise AssertionError("connected")
            assert (poor.value.bank, poor.value.short) == ("client", 1)
            assert not isinstance(poor.value, DonationTooSmall)
            assert (bank.pages_used, bank.caps_used) == (0, 0)
            await quiet()
            assert server.sessions == []
            # The session exists with exactly its quota; a first call then lacks memory.
            spec = SessionSpec(slots=8, ring=16_384, cell=1024, quota=Balance(LEAST, CAPS))
            end = world.kernel.connect(world.kernel.process("p"), "desk", bank, spec)
            assert bank.pages_used == LEAST
            await quiet()
            end.close()
            await quiet()
            assert bank.pages_used == 0

    run(main)


def test_closing_a_session_returns_its_donation_and_what_its_books_cost() -> None:
    """Bank rule 21: close returns the donation and the metadata cost.
    Bank rule 19: meanwhile nobody else can spend it."""

    async def main(world: World) -> None:
        bank = world.bank(pages=100)
        async with world.served("desk", DeskServer()):
            async with connect(world.kernel, "desk", Desk, bank, slots=8, quota=90) as desk:
                assert (bank.pages_used, bank.caps_used) == (90, 64)
                assert await desk.do(1) == 1
                with pytest.raises(OutOfPages):
                    bank.buy(11)
                bank.buy(10)
                # The session lives on what it was given, whoever eats the rest.
                assert len(await desk.data(4 * 4096)) == 4 * 4096
                assert bank.pages_used == 100
                bank.sell(10)
                channel = world.kernel.channel_of(session_of(desk).end)
                assert channel is not None
                session = channel.funds.bank
                assert session.funded
                with pytest.raises(OutOfPages, match=session.name):
                    await desk.data(100 * 4096)
            assert (bank.pages_used, bank.caps_used) == (0, 0)
            assert not session.alive
            # Without a donation there is nothing to destroy: each part has to come back by itself.
            async with connect(world.kernel, "desk", Desk, bank, slots=8) as desk:
                assert await desk.do(1) == 1
                assert bank.caps_used > 0
            assert (bank.pages_used, bank.caps_used) == (0, 0)

    run(main)


def test_destroying_the_bank_of_a_session_ends_it_and_waits_for_both_sides() -> None:
    """A client cannot take back what a server uses: the pages return when it has let go."""

    async def main(world: World) -> None:
        cleaned: list[int] = []

        async def work(n: int) -> int:
            try:
                await sleep(100)
            finally:
                # The handler cleans up for a second; until then its memory is charged.
                await sleep(1)
                cleaned.append(bank.pages_used)
            return n

        async with world.served("desk", DeskServer(do=work)):
            bank = world.kernel.bank("doomed", pages=400)
            parent = world.kernel.root
            try:
                async with connect(world.kernel, "desk", Desk, bank, slots=8) as desk:
                    call = desk.do(1)
                    await quiet()
                    used = bank.pages_used
                    end = spawn(_destroy(bank))
                    await quiet()
                    assert not end.done
                    assert 0 < bank.pages_used <= used
                    with pytest.raises(SessionDead, match="destroyed"):
                        await call
                    with pytest.raises(SessionClosed):
                        await desk.do(2)
            finally:
                await end
            assert cleaned
            assert cleaned[0] > 0
            assert (bank.pages_used, bank.caps_used, bank.alive) == (0, 0, False)
            assert "doomed" not in parent._children
            with pytest.raises(BankDead):
                async with connect(world.kernel, "desk", Desk, bank, slots=8):
                    raise AssertionError("connected")

    async def _destroy(bank: object) -> None:
        await destroy(bank)  # type: ignore[arg-type]

    run(main)


def test_a_session_can_be_opened_with_a_handle_that_only_pays() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=100)
        handle = BankHandle(bank, Rank.USE)
        async with (
            world.served("desk", DeskServer()),
            connect(world.kernel, "desk", Desk, handle, slots=8) as desk,
        ):
            assert await desk.do(1) == 1
        handle.drop()

    run(main)


def test_a_session_above_the_servers_safety_memory_is_refused_before_it_exists() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        most = pages_of(8, 16_384)
        async with serve(world.kernel, "desk", DeskServer(), safety=most) as server:
            with pytest.raises(SafetyExceeded, match=f"to lock {most}: ask for fewer slots"):
                async with connect(world.kernel, "desk", Desk, bank, slots=64):
                    raise AssertionError("connected")
            assert (bank.pages_used, bank.caps_used, server.sessions) == (0, 0, [])
            async with connect(world.kernel, "desk", Desk, bank, slots=8) as desk:
                assert await desk.do(1) == 1

    run(main)


# ---- refilling ----


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_refused_request_is_refilled_for_and_succeeds_on_the_nth_attempt(needed: int) -> None:
    """Bank rule 16: upgrade and retry, bounded attempts."""

    async def main(world: World) -> None:
        bank = world.bank(pages=LEAST + 2)
        asked: list[tuple[int, int]] = []

        def refill(pages: int, caps: int) -> None:
            asked.append((pages, caps))
            bank.refill(pages if len(asked) == needed else 0)

        async with (
            world.served("desk", DeskServer()),
            connect(world.kernel, "desk", Desk, bank, slots=8) as desk,
        ):
            data = await retry_with_refill(
                lambda: desk.data(40_000), bank, refill=refill, attempts=needed + 1, quantum=3
            )
            assert len(data) == 40_000
            assert len(asked) == needed
            assert asked[0][0] >= 3

    run(main)


def test_a_request_that_is_never_paid_for_is_given_up_after_the_bound() -> None:
    """Bank rule 16: gives up after the bound."""

    async def main(world: World) -> None:
        bank = world.bank(pages=LEAST + 2)
        asked: list[int] = []
        async with (
            world.served("desk", DeskServer()),
            connect(world.kernel, "desk", Desk, bank, slots=8) as desk,
        ):
            before = bank.pages_used
            with pytest.raises(OutOfPages):
                await retry_with_refill(
                    lambda: desk.data(40_000),
                    bank,
                    refill=lambda pages, caps: asked.append(pages),
                    attempts=5,
                )
            assert len(asked) == 4
            assert bank.pages_used <= before + 1, "a ticket was left behind"
            with pytest.raises(ValueError, match="1 or more"):
                await retry_with_refill(lambda: desk.do(1), bank, attempts=0)

    run(main)


@pytest.mark.parametrize("late", ["own bank", "kept", "handed out", "frame"])
def test_a_request_whose_handler_began_is_not_made_again(late: str) -> None:
    """Trap T17: a retry does nothing twice. Whatever lacks after the handler has begun is told,
    with `begun`, and nothing was refilled for it."""

    async def main(world: World) -> None:
        bank = world.bank(pages=LEAST + 40)
        own = world.bank("server", pages=3)
        began: list[int] = []
        spent: list[int] = []

        class PromisedCapability(DeskServer):
            @method(frame=64)
            async def do(self, n: int) -> int:
                began.append(n)
                if late == "own bank":
                    own.buy(n)
                elif late == "kept":
                    with charge(current_session()):
                        keep(b"", n * 4096)
                elif late == "frame":
                    pages, account = bank.available.pages, current_session().end.account
                    bank.buy(pages)
                    taken = account.free
                    account.take(taken)
                    try:
                        await sleep(1)  # when it first waits, what it holds is looked at
                    finally:
                        account.give(taken)
                        bank.sell(pages)
                return n

            @method
            async def make(self, name: str, seconds: float = 0.0) -> Thing:
                began.append(1)
                account = current_session().end.account
                assert isinstance(account, SessionAccount)
                for _ in range(account.free_caps):
                    account.take_cap()
                    spent.append(1)
                assert not account.free_caps
                bank.refill(caps=-bank.balance.caps)
                return ThingServer(name)

        async with (
            world.served("desk", PromisedCapability()),
            connect(world.kernel, "desk", Desk, bank, slots=8) as desk,
        ):
            asked: list[int] = []

            async def request() -> object:
                return await (desk.make("t") if late == "handed out" else desk.do(500))

            limits = bank.page_limit, bank.cap_limit
            with pytest.raises(BankError) as lack:
                await retry_with_refill(
                    request, bank, refill=lambda pages, caps: asked.append(pages + caps)
                )
            assert lack.value.begun
            assert len(began) == 1, "an effect was repeated"
            assert asked == []
            nested = isinstance(lack.value, NestedShortage)
            assert nested == (late in ("own bank", "kept"))
            assert lack.value.bank == ("server" if late == "own bank" else "client")
            assert bank.page_limit == limits[0]
            bank.refill(caps=limits[1] - bank.cap_limit)
            for _ in spent:
                far_of(session_of(desk), world.kernel).account.give_cap()

    run(main)


def test_no_other_request_eats_what_was_refilled_for_one() -> None:
    """Bank rule 16: the retry carries a reservation. A greedy neighbour takes all there is in
    every turn, also while the call is on its way to the server."""

    async def main(world: World) -> None:
        bank = world.bank(pages=600)
        started: list[int] = []
        eaten: list[int] = []

        async def work(n: int) -> int:
            started.append(n)
            return n

        async def eat() -> None:
            for _ in range(200):
                eaten.append(bank.available.pages)
                bank.buy(eaten[-1])
                await yield_now()

        async with (
            world.served("desk", DeskServer(do=work)),
            connect(world.kernel, "desk", Desk, bank, slots=64) as desk,
        ):
            assert await desk.do(0) == 0
            # The account of the serving side has nothing to spare for a handler.
            account = far_of(session_of(desk), world.kernel).account
            taken = account.free
            account.take(taken)
            hungry = spawn(eat())
            await yield_now()
            try:
                with pytest.raises(OutOfPages):
                    await desk.do(5)
                assert await retry_with_refill(lambda: desk.do(7), bank, attempts=2) == 7
                assert started == [0, 7], "an effect happened twice, or not at all"
                assert sum(eaten) > 0
            finally:
                hungry.cancel()
                await quiet()
                account.give(taken)
                bank.sell(sum(eaten))

    run(main)


def test_a_reservation_is_nobody_elses() -> None:
    from pinfut.rpc.bank.bank import Bank

    bank = Bank("root", 100, 10).child("bank", pages=10)
    ticket = Reservation(bank, 6)
    with pytest.raises(OutOfPages):
        bank.buy(4)
    with ticket.spend():
        bank.buy(5)
    assert ticket.pages == 1
    with pytest.raises(OutOfPages):
        bank.buy(4)
    ticket.drop()
    ticket.drop()
    assert bank.pages_used == 5
