"""The rules of paying kernels that concern banks, one by one."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.executor import VirtualClock, run, spawn
from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE, Bank, SessionAccount
from pinfut.rpc.bank.freed import Freed, freed
from pinfut.rpc.bank.handle import BankHandle, Rank, bank_of, verify
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.share import Share
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.bank.transfers import Transfers, transfer
from pinfut.rpc.errors import (
    AlreadyArmed,
    BankDead,
    NotABank,
    NotReference,
    OutOfBytes,
    OutOfCaps,
    OutOfPages,
    QuotaInUse,
    Restricted,
    SessionDead,
)
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.memory.pages import Region, move_batch
from tests.bounded import exhaust, rounds
from tests.covered import covered, require


def tree() -> tuple[Bank, Bank, Bank]:
    """A machine, a client, and a bank of the client's."""
    root = Bank("root", 1000, 1000)
    client = root.child("client", pages=500, caps=500)
    return root, client, client.child("below", pages=100, caps=100)


# ---- allocation ----


def test_several_regions_are_handed_over_all_or_none() -> None:
    """Bank rule 3: allocating or freeing several objects is all-or-nothing."""
    root, client, _ = tree()
    poor = root.child("poor", pages=2)
    three = [Region(client, 1) for _ in range(3)]
    used = client.pages_used
    with pytest.raises(OutOfPages):
        move_batch(three, poor)
    assert (poor.pages_used, client.pages_used) == (0, used)
    assert all(region.bank is client for region in three)
    three[1].pin()
    poor.refill(1)
    with pytest.raises(Exception, match="in use"):
        move_batch(three, poor)
    assert (poor.pages_used, client.pages_used) == (0, used)
    three[1].unpin()
    move_batch(three, poor)
    assert (poor.pages_used, client.pages_used) == (3, used - 3)


def test_a_limit_below_usage_does_not_lose_what_a_refused_move_put_back() -> None:
    """Bank rule 3: also where the bank that gives could not buy it again."""
    _, client, below = tree()
    region = Region(client, 5)
    client.refill(pages=-1000)
    below.close()
    with pytest.raises(BankDead):
        move_batch([region], below)
    assert client.own.pages == 5


def test_only_the_bank_that_bought_pages_can_sell_them_and_every_capability_dies() -> None:
    """Bank rule 7: only the owning bank frees; freeing kills every cap."""
    root, client, below = tree()
    region = Region(below, 3)
    caps = [region.share() for _ in range(3)]
    for bank in (root, client, below):
        with pytest.raises(ValueError, match="bought 0"):
            bank.sell(3)
    below.buy(4)
    region.free()
    for cap in caps:
        with pytest.raises(SessionDead):
            cap.get()
    with pytest.raises(ValueError, match="bought 4"):
        below.sell(5)


def test_a_new_region_has_one_capability_and_so_has_one_that_was_handed_over() -> None:
    """Bank rule 8: a new object's cap is the only cap to it."""
    _, client, below = tree()
    region = Region(client, 1)
    assert region.sharers == 1
    caps = [region.share(), region.share()]
    assert region.sharers == 3
    caps[0].drop()
    caps[0].drop()
    assert region.sharers == 2
    region.move(below)
    assert region.sharers == 1
    caps[1].drop()  # of former pages: changes nothing
    assert region.sharers == 1


def test_memory_that_is_bought_again_shows_nothing_and_old_capabilities_stay_dead() -> None:
    """Bank rule 24: memory is reused only when no cap remains, and zeroed."""
    _, client, _ = tree()
    region = Region(client, 2)
    region.buffer[:] = b"s" * len(region.buffer)
    stale = region.buffer
    cap = region.share()
    region.free()
    again = Region(client, 2)
    assert not any(again.buffer)
    stale[:] = b"x" * len(stale)
    assert not any(again.buffer), "who kept a view writes into another's memory"
    assert not cap.alive


# ---- who may do what ----


def test_no_remove_keeps_an_attacker_from_giving_its_memory_to_a_parent() -> None:
    """Bank rule 6: no_remove forbids gifting storage to a parent."""
    root, client, _ = tree()
    attacker = client.child("attacker", pages=50, no_remove=True)
    Region(attacker, 40)
    with pytest.raises(Restricted, match="no_remove"):
        attacker.remove()
    handle = BankHandle(client, Rank.DESTROY, no_remove=True)
    with pytest.raises(Restricted, match="may not remove"):
        handle.remove()
    made = handle.child("made", pages=5)
    with pytest.raises(Restricted, match="no_remove"):
        made.remove()
    own = client.own
    end = destroy(attacker)
    exhaust(end.step, "the bank is destroyed")
    assert client.own == own
    assert attacker.name not in [bank.name for bank in (client, root)]


def test_a_kernel_tells_its_banks_from_every_fake() -> None:
    """Bank rule 9: verify tells a real bank from a fake."""
    kernel = SimKernel()
    real = kernel.bank("real", pages=100)
    below = real.child("below", pages=10)
    handle = BankHandle(below, Rank.USE)
    for thing in (kernel.root, real, below, handle):
        assert kernel.verify(thing)

    class Fake:
        """Says of itself what it likes."""

        name = "real"
        alive = True
        balance = (1 << 40, 1 << 40)

        def buy(self, *args: Any, **kwargs: Any) -> None: ...
        def is_below(self, root: Bank) -> bool:
            return True

    forged = object.__new__(Bank)
    forged.name, forged._above, forged.state = "real", kernel.root, 0
    other = SimKernel().bank("real", pages=1)
    fakes: list[object] = [Fake(), forged, other, Bank("rich", 1 << 40, 1), None, "real"]
    for fake in fakes:
        assert not kernel.verify(fake)
        with pytest.raises(NotABank, match="make one with"):
            bank_of(kernel.root, fake)
    handle.drop()
    assert not kernel.verify(handle)
    below.close()
    assert not kernel.verify(below)


RANKS = "chains of reductions"


def test_a_handle_can_only_be_made_weaker() -> None:
    """Bank rule 10: restrictions only accumulate (buy/sell < read < write limit < destroy)."""
    follow_reductions()
    require(covered(RANKS), "refused", "weaker", "stronger_refused", "allowed")


@given(
    first=st.sampled_from(list(Rank)),
    chain=st.lists(st.tuples(st.sampled_from(list(Rank)), st.booleans()), max_size=5),
)
def follow_reductions(first: Rank, chain: list[tuple[Rank, bool]]) -> None:
    below = tree()[2]
    handle, no_remove = BankHandle(below, first), False
    for rank, restrict in chain:
        if rank > handle.rank:
            with pytest.raises(Restricted, match=rank.name):
                handle.reduce(rank)
            covered(RANKS, stronger_refused=1)
            continue
        weaker = handle.reduce(rank, no_remove=restrict)
        no_remove = no_remove or restrict
        assert weaker is not handle
        assert weaker.no_remove == no_remove, "a restriction was lost"
        handle = weaker
    uses: list[tuple[Rank, Any]] = [
        (Rank.USE, lambda: handle.buy(1)),
        (Rank.USE, lambda: handle.sell(1)),
        (Rank.READ, lambda: handle.balance),
        (Rank.READ, lambda: (handle.pages_used, handle.caps_used)),
        (Rank.LIMIT, lambda: handle.refill(1)),
        (Rank.DESTROY, lambda: handle.destroy()),
    ]
    for rank, use in uses:
        if rank <= handle.rank:
            use()
            covered(RANKS, allowed=1)
        else:
            with pytest.raises(Restricted, match=rank.name):
                use()
            covered(RANKS, refused=1)
    covered(RANKS, weaker=int(handle.rank < first))
    assert (below.state != 0) == (handle.rank == Rank.DESTROY), "one bank, whatever the handle"


@given(limit=st.integers(0, 6))
def test_what_a_bank_keeps_about_itself_comes_out_of_its_limit(limit: int) -> None:
    """Bank rule 13: a bank's own metadata is charged to it."""
    _, client, _ = tree()
    if not limit:
        with pytest.raises(OutOfPages, match="the bank itself"):
            client.child("none", pages=0)
        return
    used = client.pages_used
    bank = client.child("some", pages=limit)
    assert client.pages_used == used + 1
    for _ in range(limit - 1):
        Region(bank, 1)
    with pytest.raises(OutOfPages):
        Region(bank, 1)


def test_handles_and_tickets_are_paid_by_the_bank_that_they_are_of() -> None:
    """Bank rule 13: also what is kept about it later."""
    _, client, _ = tree()
    used = client.pages_used
    handles = [BankHandle(client, Rank.USE) for _ in range(3 * PAGE // prices.HANDLE)]
    assert client.pages_used >= used + 3
    for handle in handles:
        handle.drop()
        handle.drop()
    assert client.pages_used == used
    client.refill(pages=-1000)
    for make in (lambda: BankHandle(client, Rank.USE), lambda: Reservation(client, 0)):
        with pytest.raises(OutOfPages):
            make()
    assert client.pages_used == used


def test_a_handle_that_is_gone_leaves_nothing_in_the_table_of_its_kernel() -> None:
    """Nobody but its holder can name the bank by it: no other number stands for one."""
    _, client, _ = tree()
    table = client.machine.handles
    first, second = BankHandle(client, Rank.USE), BankHandle(client, Rank.DESTROY)
    assert len(table) == 2
    first.drop()
    assert (first.peek(), second.peek()) == (None, client)
    del second
    assert len(table) == 0
    third = BankHandle(client, Rank.USE)
    assert first.peek() is None, "a number was given out again"
    with pytest.raises(Restricted, match="dropped"):
        first.buy(1)
    third.drop()


def test_who_is_asked_to_give_memory_back_may_refuse() -> None:
    """Bank rule 23: a yield request is a friendly request, not revocation."""
    _, client, below = tree()
    spare, needed = Region(below, 10), Region(below, 20)
    needed.buffer[0] = 7
    before = (below.page_limit, below.pages_used, client.pages_used, below.balance)
    below.ask_back(10)
    client.ask_back(1 << 20)
    # Whoever does nothing keeps everything, and can go on buying.
    assert (below.page_limit, below.pages_used, client.pages_used, below.balance) == before
    assert needed.buffer[0] == 7
    below.buy(3)
    below.sell(3)
    assert below.wanted == 7
    spare.free()
    assert below.wanted == 0
    assert client.wanted == before[2] - 13
    assert needed.share().alive
    with pytest.raises(ValueError, match="0 pages or more"):
        below.ask_back(-1)


# ---- moving quota ----


def test_a_transfer_that_fails_at_any_step_leaves_every_sum_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bank rule 17: a quota transfer is transactional."""
    failed = 0
    for amount in (5, -5):
        for at in range(8):
            root, client, _ = tree()
            account = client.child("account", pages=20, caps=20, funded=True)

            def sums(*banks: Bank) -> list[tuple[int, ...]]:
                return [(b.page_limit, b.cap_limit, b.pages_used, b.caps_used) for b in banks]

            before = sums(root, client, account)
            steps = iter(range(100))

            def fail(method: Any, at: int = at, steps: Any = steps) -> Any:
                def failing(*args: Any) -> Any:
                    if next(steps) == at:
                        raise MemoryError("a fault that was planted")
                    return method(*args)

                return failing

            with monkeypatch.context() as faults:
                for name in ("_require_payable", "_require_alive", "_debit", "_lack", "_move"):
                    faults.setattr(Bank, name, fail(getattr(Bank, name)))
                try:
                    account.refill(amount, amount)
                except MemoryError:
                    failed += 1
                    assert sums(root, client, account) == before
                    continue
            after = sums(root, client, account)
            assert after[1][2] == before[1][2] + amount, "the payer's sum"
            assert after[2][0] == before[2][0] + amount, "the account's sum"
    assert failed >= 6


def test_only_what_is_unused_leaves_an_account() -> None:
    """Bank rule 18: only unused quota leaves an account."""
    _, client, _ = tree()
    account = client.child("account", pages=20, caps=20, funded=True)
    account.buy(12, 5)
    free = account.balance
    with pytest.raises(QuotaInUse) as refused:
        transfer(account, client, pages=free.pages + 3)
    assert refused.value.short == 3
    with pytest.raises(QuotaInUse):
        transfer(account, client, caps=free.caps + 1)
    assert account.balance == free
    transfer(account, client, *free)
    assert account.balance == (0, 0)


def test_what_was_donated_cannot_be_spent_elsewhere_and_returns() -> None:
    """Bank rule 19: a session's donation can never be spent elsewhere, so it can return at
    close."""
    root, client, _ = tree()
    used = client.pages_used
    account = client.child("account", pages=20, caps=20, funded=True)
    assert client.pages_used == used + 20
    # The payer has it no more, and nobody below the account adds to it.
    client.refill(pages=client.pages_used - client.page_limit)
    with pytest.raises(OutOfPages):
        client.buy(1)
    account.buy(5)
    server = root.child("server", pages=0, caps=0)
    with pytest.raises(NotReference):
        transfer(account, server, pages=1)
    account.sell(5)
    account.close()
    assert client.pages_used == used


def test_transfers_between_siblings_are_refused() -> None:
    """Bank rule 20: transfers go only to and from the reference account."""
    root, client, below = tree()
    one = client.child("one", pages=20, funded=True, caps=9)
    other = client.child("other", pages=20, funded=True, caps=9)
    deeper = one.child("deeper", pages=5, funded=True, caps=1)
    pairs = [(one, other), (deeper, client), (client, deeper), (root, one), (below, client)]
    for start, end in pairs:
        before = [(b.page_limit, b.pages_used) for b in (root, client, one, other, deeper)]
        with pytest.raises(NotReference):
            transfer(start, end, pages=1)
        assert before == [(b.page_limit, b.pages_used) for b in (root, client, one, other, deeper)]
    transfer(one, client, pages=1)
    transfer(client, other, pages=1)
    transfer(one, deeper, pages=1)
    assert (one.page_limit, other.page_limit, deeper.page_limit) == (19, 21, 6)


def test_capabilities_are_a_second_quota() -> None:
    """Bank rule 22: caps are a second quota."""
    _, client, _ = tree()
    bank = client.child("bank", pages=90, caps=2)
    bank.buy(caps=2)
    with pytest.raises(OutOfCaps):
        bank.buy(1, 1)
    assert bank.own == (1, 2)
    bank.buy(80)


def test_bytes_pages_and_capabilities_run_out_with_an_error_each() -> None:
    """An account has a ceiling, a bank its pages and its capabilities."""
    _, client, _ = tree()
    account = SessionAccount(Share(client), ceiling=2 * PAGE)
    account.take(2 * PAGE - 10)
    with pytest.raises(OutOfBytes, match="10 bytes left of 8192") as refused:
        account.take(30, "a thing")
    assert refused.value.short == 20
    assert account.used == 2 * PAGE - 10
    account.take(10)
    account.give(PAGE)
    account.take(PAGE)
    client.refill(pages=-1000)
    with pytest.raises(OutOfPages):
        SessionAccount(Share(client)).take(1)
    with pytest.raises(OutOfBytes):
        account.take(1)
    with pytest.raises(ValueError, match="multiple"):
        SessionAccount(Share(client), ceiling=100)


# ---- the end ----


def test_ten_thousand_objects_are_destroyed_in_bounded_steps_with_right_answers_between() -> None:
    """Bank rule 25: revoking is preemptible.
    Bank rule 4: destroy reclaims every object and sub-bank."""
    root = Bank("root", 1 << 20, 1 << 20)
    client = root.child("client", pages=1 << 19, caps=1 << 19)
    draw = random.Random(4)
    banks, regions, shares = [client], [], []
    for number in range(300):
        above = draw.choice(banks[-40:])
        depth = above.path.count("/")
        parent = above if depth < 12 else client
        banks.append(parent.child(f"b{number}", pages=1 << 18, caps=1 << 18))
    for _ in range(10_000):
        bank = draw.choice(banks)
        if draw.random() < 0.05:
            account = SessionAccount(share := Share(bank))
            account.take(draw.randrange(1, 9000))
            account.take_cap()
            shares.append(share)
        else:
            regions.append((region := Region(bank, 1), region.share()))
    other = root.child("other", pages=100)
    other.buy(7)
    total = len(regions) + len(shares) + 2 * len(banks)
    end, steps, worst = destroy(client), 0, 0
    for _ in rounds("the bank is destroyed"):
        before = root.pages_used
        more = end.step(50)
        steps += 1
        worst = max(worst, before - root.pages_used)
        alive = sum(cap.alive for _, cap in regions)
        held = sum(share.pages for share in shares)
        # What is left is what is still there; nothing can be bought meanwhile; others may.
        books = sum(b.share.pages for b in banks)
        assert root.pages_used == 7 + alive + held + books
        with pytest.raises(BankDead):
            draw.choice(banks).buy(1)
        other.buy(1)
        other.sell(1)
        if not more:
            break
    # An account of 9,000 bytes is the most that one piece gives back.
    assert worst <= 50 * 3
    assert total / 50 <= steps <= 2 * total / 50, "each piece takes one object back"
    assert end.done
    assert (root.pages_used, root.caps_used) == (7, 0)
    assert not any(cap.alive for _, cap in regions)
    assert not any(bank.alive for bank in banks)
    assert client.name not in root._children


def test_a_destroy_that_was_given_up_is_finished_by_the_next_one_above() -> None:
    """Bank rule 25: nobody can leave a tree half destroyed for good."""
    root, client, below = tree()
    for _ in range(10):
        Region(below, 1)
    destroy(below).step(4)  # and never again
    used = root.pages_used
    assert 0 < used < 12
    end = destroy(client)
    exhaust(end.step, "the bank is destroyed")
    assert end.done
    assert root.pages_used == 0


def test_a_destroy_waits_for_what_is_in_use_and_for_nothing_else() -> None:
    """Bank rule 25: pins defer, and the count stays true until the last is over."""

    async def main() -> None:
        root, client, below = tree()
        region, other = Region(below, 3), Region(below, 2)
        region.pin()
        task = spawn(_end(client))
        await settled()
        assert other.pages == 0
        assert root.pages_used == 3
        assert not task.done
        region.buffer[0] = 1  # still there for whoever uses it
        region.unpin()
        assert root.pages_used == 0
        await task

    run(main(), clock=VirtualClock())


async def _end(bank: Bank) -> None:
    await destroy(bank, step=2)


async def settled() -> None:
    from pinfut.executor import yield_now

    for _ in range(30):
        await yield_now()


# ---- being told ----


def test_who_waits_for_pages_is_told_once_and_not_too_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 8: one bit for each bank, which tells once until whoever waits has looked; arming looks
    again; what an ancestor lacks is waited for there."""
    told: Counter[str] = Counter()
    wake = Freed.wake

    def counted(wait: Freed) -> None:
        told[wait._bank.name] += 1
        wake(wait)

    monkeypatch.setattr(Freed, "wake", counted)

    async def main() -> None:
        root, client, below = tree()
        client.refill(pages=client.pages_used - client.page_limit + 4)
        client.buy(4)
        order: list[str] = []

        async def wait(bank: Bank, pages: int, name: str) -> None:
            await freed(bank, pages)
            order.append(name)

        with pytest.raises(OutOfPages):
            # The wait itself has to be paid.
            await freed(client, 1)
        client.refill(pages=1)
        first = spawn(wait(client, 3, "client"))
        await settled()
        assert not first.done
        with pytest.raises(AlreadyArmed):
            await freed(client, 1)
        waits_below = spawn(wait(below, 2, "below"))
        await settled()
        names = client.name, below.name
        assert not told
        client.sell(1)
        await settled()
        assert order == []
        assert [told[name] for name in names] == [1, 1]
        # Pages that come back twice before anybody has looked are told once.
        for _ in range(2):
            client.buy(1)
            client.sell(1)
        assert [told[name] for name in names] == [2, 2]
        await settled()
        assert order == []
        client.sell(1)
        await settled()
        assert order == ["below"], "what came back to the bank above is enough"
        client.sell(1)
        await settled()
        assert order == ["below", "client"]
        assert [told[name] for name in names] == [4, 3], "who has got it is told no more"
        root_only = client.page_limit
        waits_again = spawn(wait(client, 4, "again"))
        await settled()
        client.refill(pages=5)
        await settled()
        assert order == ["below", "client", "again"], "a higher limit is told too"
        await waits_again
        assert client.armed is None
        assert below.armed is None
        assert client.page_limit == root_only + 5
        await freed(client, 1)  # there is some: at once
        doomed = spawn(wait(below, 10_000, "never"))
        await settled()
        await destroy(client)
        with pytest.raises(BankDead):
            await doomed
        await first
        await waits_below
        assert root.pages_used == 0

    run(main(), clock=VirtualClock())


def test_a_cancelled_wait_for_pages_leaves_nothing_behind() -> None:
    async def main() -> None:
        _, client, below = tree()
        for bank in (below, client):
            used, kept = client.pages_used, bank.ledger.used
            task = spawn(_wait(bank))
            await settled()
            assert bank.armed is not None
            assert bank.ledger.used > kept, "a wait that nobody pays for"
            task.cancel()
            await settled()
            assert bank.armed is None
            assert (client.pages_used, bank.ledger.used) == (used, kept)

    async def _wait(bank: Bank) -> None:
        await freed(bank, 1000)

    run(main(), clock=VirtualClock())


# ---- the queue of transfers ----


def test_transfers_in_a_queue_are_reserved_and_flushed_by_anyone_in_order() -> None:
    """Entries are reserved when queued; a flush is idempotent, bounded and keeps the order."""
    _, client, _ = tree()
    one = client.child("one", pages=5, caps=5, funded=True)
    two = client.child("two", pages=5, caps=5, funded=True)
    queue = Transfers(client)
    used = client.pages_used
    for number in range(20):
        queue.add(one if number % 2 else two, pages=number, caps=1)
    total = sum(range(20))
    assert client.pages_used >= used + total, "what is queued is reserved at once"
    kept = client.pages_used
    limits: list[tuple[int, int]] = []
    while len(queue):
        done = queue.flush(3)
        assert 1 <= done <= 3
        limits.append((one.page_limit, two.page_limit))
    assert queue.flush() == 0
    assert queue.flush() == 0
    assert limits[0] == (5 + 1, 5 + 0 + 2), "out of order, or more than asked"
    assert (one.page_limit, two.page_limit) == (5 + 100, 5 + 90)
    assert (one.cap_limit, two.cap_limit) == (15, 15)
    # Nothing was created: what left the queue is in the accounts; the entries are refunded.
    assert client.pages_used == used + total
    assert kept - client.pages_used == 20 * (prices.TRANSFER + prices.RESERVATION) // PAGE + 1
    with pytest.raises(NotReference):
        queue.add(client, pages=1)
    with pytest.raises(OutOfPages):
        queue.add(one, pages=10_000)


def test_a_transfer_to_a_bank_that_died_meanwhile_goes_back() -> None:
    _, client, _ = tree()
    one = client.child("one", pages=5, caps=5, funded=True)
    queue = Transfers(client)
    used = client.pages_used
    queue.add(one, pages=50)
    one.close()
    assert queue.flush() == 1
    assert client.pages_used == used - 5
    queue.add(client.child("two", pages=5, caps=5, funded=True), pages=50)
    end = destroy(client)
    exhaust(end.step, "the bank is destroyed")
    assert end.done
    assert len(queue) == 0
    assert queue.flush() == 0


def test_verify_is_a_function_of_the_tree() -> None:
    root, client, _ = tree()
    assert verify(root, client)
    assert not verify(client, root)
