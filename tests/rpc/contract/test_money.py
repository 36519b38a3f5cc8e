"""Who pays, on every kernel: accounts, donations, tickets, refunds, nested banks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import Balance, Kernel, ServiceSpec, SessionSpec
from pinfut.rpc.credit import read_credit
from pinfut.rpc.errors import (
    DonationTooSmall,
    NotABank,
    OutOfCaps,
    OutOfPages,
    PayerExhausted,
    Restricted,
    SafetyExceeded,
    SessionClosed,
    SessionDead,
    UnknownService,
)
from tests.rpc.contract.pair import Pair, arrived, run

PAGE = 4096


def test_each_side_charges_an_account_of_its_own_and_the_client_pays_both(kernel: Kernel) -> None:
    pair = Pair(kernel)
    before = pair.used
    near, far = pair.near.account, pair.far.account
    tables = far.used
    assert near.used == 0 < tables
    near.take(3 * PAGE)
    far.take(5 * PAGE, "a handler")
    assert (near.used, far.used) == (3 * PAGE, tables + 5 * PAGE)
    assert pair.used[0] - before[0] in (7, 8)
    near.give(3 * PAGE)
    far.give(5 * PAGE)
    for account in (near, far):
        free = account.free
        account.take(free)
        assert account.free == 0
        account.give(free)
        account.take_cap()
        account.give_cap()
    pair.close()
    assert pair.used == (0, 0)


def test_a_charge_that_cannot_be_paid_changes_nothing(kernel: Kernel) -> None:
    pair = Pair(kernel)
    pair.bank.refill(pages=-pair.bank.balance.pages, caps=-pair.bank.balance.caps)
    for account in (pair.near.account, pair.far.account):
        free, used = account.free, account.used
        with pytest.raises(OutOfPages, match="a handler"):
            account.take(free + 1, "a handler")
        with pytest.raises(OutOfCaps):
            account.take_cap()
        assert (account.free, account.used) == (free, used)
    pair.close()


def test_a_session_that_cannot_be_opened_has_bought_nothing_and_nobody_waits(
    kernel: Kernel,
) -> None:
    pair = Pair(kernel, pages=40)
    safe = kernel.listen(kernel.process("safe"), "safe", ServiceSpec(safety=3))
    used = pair.used
    refused: list[tuple[type[Exception], str, object, SessionSpec]] = [
        (UnknownService, "its", pair.bank, SessionSpec()),
        (NotABank, "it", object(), SessionSpec()),
        (SafetyExceeded, "safe", pair.bank, SessionSpec()),
        (DonationTooSmall, "it", pair.bank, SessionSpec(quota=Balance(2, 64))),
        (PayerExhausted, "it", pair.bank, SessionSpec(quota=Balance(90, 64))),
    ]
    for error, name, payer, spec in refused:
        with pytest.raises(error):
            kernel.connect(pair.client, name, payer, spec)
        assert pair.used == used
    for short, error in (
        ({"caps": -pair.bank.balance.caps}, OutOfCaps),
        ({"pages": 5 - pair.bank.balance.pages}, OutOfPages),
    ):
        pair.bank.refill(**short)
        with pytest.raises(error):
            kernel.connect(pair.client, "it", pair.bank, SessionSpec())
        assert pair.used == used
        pair.bank.refill(**{what: -count for what, count in short.items()})
    assert pair.port.accept() == safe.accept() == []
    pair.close()


def test_a_donation_is_bought_at_once_and_is_all_that_the_session_has(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel, SessionSpec(slots=4, ring=4096, quota=Balance(30, 40)))
        assert pair.used == (30, 40)
        taken = 0
        with suppress(OutOfPages):
            for _ in range(30):
                pair.far.account.take(PAGE)
                taken += PAGE
        assert 0 < taken < 30 * PAGE
        assert pair.used == (30, 40)
        pair.far.account.give(taken)
        pair.close()
        await pair.near.wait_freed()
        assert pair.used == (0, 0)

    run(main)


def test_a_ticket_is_redeemed_once_and_goes_with_the_session(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        before = pair.used
        for x in (3, 4, 5):
            pair.near.keep_ticket(x, Reservation(pair.bank, 6))
        assert pair.used[0] >= before[0] + 18
        held = pair.used[0]
        assert pair.far.redeem(3)
        assert not pair.far.redeem(3)
        assert not pair.far.redeem(9)
        assert not pair.near.redeem(4), "it is the other side's question that is short"
        assert pair.used[0] <= held - 6
        kept = Reservation(pair.bank, 6)
        pair.near.keep_ticket(7, kept)
        pair.near.drop_ticket(7)
        pair.near.drop_ticket(7)
        assert not pair.far.redeem(7)
        kept.drop()
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def test_a_refund_is_within_what_the_client_allows_and_ends_once(kernel: Kernel) -> None:
    pair = Pair(kernel, SessionSpec(slots=4, ring=4096, refund=5))
    before = pair.used[0]
    one = pair.far.refund(3, "an index")
    assert pair.used[0] == before + 3
    with pytest.raises(OutOfPages, match="an index"):
        pair.far.refund(3, "an index")
    two = pair.far.refund(2, "more")
    assert pair.far.refunds(one)
    pair.far.end_refund(one)
    pair.far.end_refund(one)
    assert not pair.far.refunds(one)
    assert pair.used[0] == before + 2
    pair.close()
    assert pair.used == (0, 0)
    assert not pair.far.refunds(two)
    pair.far.end_refund(two)
    with pytest.raises(SessionClosed):
        pair.far.refund(1, "late")


def test_a_nested_bank_pays_from_the_client_s_and_only_so_much(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        before = pair.used
        payer = pair.far.nested(20, 10)
        other = pair.far.nested(1, 1)
        assert kernel.name_of(payer) == f"{pair.far.name}+1"
        assert payer.balance.pages <= 20
        payer.buy(8)
        with pytest.raises(OutOfPages):
            payer.buy(20)
        assert pair.used[0] >= before[0] + 8
        # It opens sessions, and cannot be made more than it is.
        kernel.listen(pair.server, "disk", ServiceSpec())
        nested = kernel.connect(pair.server, "disk", payer, SessionSpec(slots=1, ring=256))
        strong: Any = payer
        for wrong in ("refill", "destroy", "remove"):
            with pytest.raises(Restricted, match="handle"):
                getattr(strong, wrong)()
        with pytest.raises(NotABank):
            pair.far.end_nested(pair.bank)
        nested.close()
        payer.sell(8)
        kernel.kill(pair.server)
        pair.near.close()
        await pair.near.wait_freed()
        assert pair.used == (0, 0)
        del other

    run(main)


def test_the_end_of_a_nested_bank_gives_everything_back(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        before = pair.used
        for _ in range(3):
            payer = pair.far.nested(20, 10)
            payer.buy(4, 2)
            await pair.far.end_nested(payer)
            assert pair.used == before
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def test_a_session_that_is_over_ends_no_bank_of_others(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        ended = pair.far.nested(20, 10)
        await pair.far.end_nested(ended)
        other = BankHandle(pair.bank, Rank.USE)
        pair.close()
        await pair.near.wait_freed()
        for end in (pair.near, pair.far):
            with pytest.raises(NotABank):
                end.end_nested(other)
        assert pair.bank.alive
        await pair.far.end_nested(ended)

    run(main)


def test_what_a_dead_server_has_nested_goes_before_the_session_is_over(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        pair.far.nested(20, 10).buy(4, 2)
        kernel.kill(pair.server)
        await arrived()
        pair.near.close()
        await pair.near.wait_freed()
        assert pair.used == (0, 0)

    run(main)


def test_both_sides_hear_that_the_bank_is_being_destroyed_and_it_waits_for_them(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        await arrived()
        pair.client.take()
        pair.server.take()
        pair.near.submissions().reserve(1024)
        destroying = destroy(pair.bank)
        destroying.step()
        await arrived()
        for process, end in ((pair.client, pair.near), (pair.server, pair.far)):
            assert type(end.ending) is SessionDead
            assert process.take() == [end.handle & 0xFFFF_FFFF]
        assert pair.used[0] > 0
        assert not destroying.done
        pair.close()
        await destroying
        assert pair.used == (0, 0)

    run(main)


def test_what_the_client_takes_leaves_a_page_for_the_handler_of_its_call(kernel: Kernel) -> None:
    """Else calls could wait for a slot, be sent, and find nothing to run on."""
    pair = Pair(kernel)
    near, far = pair.near.account, pair.far.account
    pair.bank.refill(pages=pair.used[0] + 3 - pair.bank.page_limit)
    near.take(near.free + 2 * PAGE)
    assert pair.bank.balance.pages == 1
    with pytest.raises(OutOfPages):
        near.take(near.free + 1)
    assert pair.bank.balance.pages == 1
    far.take(far.free + PAGE)
    assert pair.bank.balance.pages == 0
    with pytest.raises(OutOfPages):
        far.take(far.free + 1)
    near.give(near.used)
    far.give(PAGE)
    near.take(PAGE)


def test_the_client_sees_what_its_bank_has_left_on_words_that_the_kernel_writes(
    kernel: Kernel,
) -> None:
    pair = Pair(kernel)
    used = pair.used[0]
    words = pair.near.credit()
    assert pair.used[0] == used + 1
    for take, count in ((pair.bank.buy, 3), (pair.far.account.take, 9 * PAGE)):
        take(count)
        credit = read_credit(words)
        assert credit is not None
        assert Balance(credit.pages, credit.caps) == pair.bank.balance
    assert words.readonly
    with pytest.raises(ValueError, match="the other side"):
        pair.far.credit()
    pair.far.account.give(9 * PAGE)
    pair.bank.sell(3)
    pair.close()
    assert pair.used == (0, 0)
    with pytest.raises(SessionClosed):
        pair.near.credit()


def test_a_charge_passes_to_another_session_of_the_bank_with_nothing_bought(kernel: Kernel) -> None:
    pair, other = Pair(kernel), kernel.bank("other", pages=50, caps=50)  # type: ignore[attr-defined]
    kernel.connect(pair.client, "it", pair.bank, SessionSpec(slots=4, ring=4096))
    kernel.connect(pair.client, "it", other, SessionSpec(slots=4, ring=4096))
    heir, stranger = pair.port.accept()
    left: Any = pair.far.account
    tables = left.used
    for count, caps in ((100, 1), (3 * PAGE, 0), (PAGE + 1, 20), (0, 0)):
        left.take(count)
        for _ in range(caps):
            left.take_cap()
    count, caps = left.used - tables, 21
    balance = pair.bank.balance
    pair.bank.buy(*balance)
    used, before = pair.used, heir.account.used
    with pytest.raises(ValueError, match="pass"):
        left.pass_on(stranger.account, count, caps)
    assert (left.used, stranger.account.used) == (tables + count, tables)
    left.pass_on(heir.account, count, caps)
    assert (left.used, heir.account.used) == (tables, before + count)
    assert pair.used == used
    pair.close()
    pair.bank.sell(*balance)
    heir.account.give(count)
    for _ in range(caps):
        heir.account.give_cap()
    with pytest.raises(ValueError, match="back"):
        heir.account.give(tables + 2 * PAGE)
    for end in (heir, stranger):
        end.close()
