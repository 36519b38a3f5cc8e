"""Rule 43, of banks: at every remaining depth of the stack each operation is done, or refused with
nothing changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from pinfut.rpc import OutOfPages, SimKernel
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.bank import MAX_DEPTH, Bank
from pinfut.rpc.bank.handle import BankHandle, Rank
from pinfut.rpc.bank.owned import Owned
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.share import Share
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.bank.transfers import Transfers
from pinfut.rpc.memory.pages import Region, move_batch
from pinfut.rpc.memory.ring import RingWriter, ring_bytes
from pinfut.rpc.objects.interface import resolve
from pinfut.rpc.session.charging import PinScope
from pinfut.rpc.session.kept import ClientRef, Kept
from pinfut.rpc.wire.export_table import ExportTable
from pinfut.rpc.wire.exports import Bushel
from pinfut.rpc.wire.imports import Imports
from pinfut.slots import SlotTable
from tests.covered import covered, require
from tests.refused import refusing
from tests.rpc.services import Thing, ThingServer
from tests.stack import ROOMS, with_room

Operation = Callable[[], object]


class Tree:
    """A client's bank with banks below it, and accounts of them."""

    def __init__(self) -> None:
        kernel = SimKernel()
        self.top = kernel.bank("top", pages=1000)
        self.above = self.top.child("above", pages=500, caps=500)
        self.bank = self.above.child("bank", pages=200, caps=200)
        self.bank.buy(10, 3)
        self.funded = self.above.child("funded", pages=50, caps=50, funded=True)
        self.accounts: list[SessionAccount] = []
        self.others: list[Callable[[], object]] = []

    def account(self) -> SessionAccount:
        account = SessionAccount(Share(self.bank))
        self.accounts.append(account)
        return account

    def sell_spares(self) -> None:
        """Have accounts of which nothing is in use sell what they keep for the next charge."""
        for one in self.accounts:
            if not one.used and one.free_caps == one.caps:
                one.close()

    def books(self) -> list[object]:
        """All that could have changed."""
        seen: list[object] = [tables() for tables in self.others]
        for one in self.accounts:
            seen.append((one.pages, one.free, one.high, one.caps, one.free_caps))
        for bank in self._banks(self.top):
            names = [child.name for child in bank.children]
            limits = bank.page_limit, bank.cap_limit, bank.wanted
            seen.append((bank.name, bank.state, bank.pages_used, bank.caps_used, bank.own, limits))
            seen.append((names, bank.ledger.used, bank.ledger.pages, bank.share.pages))
            seen += [(id(one), one.pins, one.doomed) for one in _owned(bank)]
        return seen

    def _banks(self, bank: Bank) -> Iterator[Bank]:
        yield bank
        for child in bank.children:
            yield from self._banks(child)


def _owned(bank: Bank) -> Iterator[Owned]:
    for objects in (bank.objects, bank.doomed):
        one = objects.first
        while one is not None:
            yield one
            one = one._after


# ---- operations: each gets a tree ready, and gives what is tried ----


def buy(tree: Tree) -> Operation:
    return lambda: tree.bank.buy(5, 3)


def sell(tree: Tree) -> Operation:
    return lambda: tree.bank.sell(5, 2)


def child(tree: Tree) -> Operation:
    return lambda: tree.bank.child("child", pages=5)


def funded_child(tree: Tree) -> Operation:
    return lambda: tree.bank.child("child", pages=5, caps=5, funded=True)


def refill(tree: Tree) -> Operation:
    return lambda: tree.bank.refill(pages=5, caps=5)


def fund(tree: Tree) -> Operation:
    return lambda: tree.funded.refill(pages=5, caps=5)


def fund_less(tree: Tree) -> Operation:
    return lambda: tree.funded.refill(pages=-5, caps=-5)


def close(tree: Tree) -> Operation:
    return tree.bank.child("child", pages=5).close


def remove(tree: Tree) -> Operation:
    return tree.bank.remove


def close_the_last_below_many_removed(tree: Tree) -> Operation:
    banks = [tree.bank]
    while len(banks) < MAX_DEPTH - 3:
        banks.append(banks[-1].child("below", pages=100, caps=100))
    for bank in banks[1:-1]:
        bank.remove()
    return banks[-1].close


def begin_to_destroy(tree: Tree) -> Operation:
    return lambda: destroy(tree.bank)


def destroy_a_piece(tree: Tree) -> Operation:
    Region(tree.bank, 3)
    destroying = destroy(tree.bank)
    return lambda: destroying.step(1)


def destroy_the_last_piece(tree: Tree) -> Operation:
    destroying = destroy(tree.bank)
    while tree.bank.objects.first is not None:
        destroying.step(1)
    return lambda: destroying.step(1)


def make_a_region(tree: Tree) -> Operation:
    return lambda: Region(tree.bank, 3)


def free_a_region(tree: Tree) -> Operation:
    return Region(tree.bank, 3).free


def cut_a_region(tree: Tree) -> Operation:
    region = Region(tree.bank, 3)
    return lambda: region.extract(1, 1)


def move_regions(tree: Tree) -> Operation:
    regions = [Region(tree.bank, 3), Region(tree.funded, 2)]
    return lambda: move_batch(regions, tree.above)


def map_a_region(tree: Tree) -> Operation:
    region = Region(tree.bank, 3)
    tree.others.append(lambda: region.mappings)
    return lambda: region.map(tree.above)


def unmap_a_region(tree: Tree) -> Operation:
    region = Region(tree.bank, 3)
    tree.others.append(lambda: region.mappings)
    return region.map(tree.above).unmap


def unpin_a_doomed_region(tree: Tree) -> Operation:
    region = Region(tree.bank, 3)
    region.pin()
    destroying = destroy(tree.bank)
    while destroying.step():
        pass
    return region.unpin


def hold_a_region(tree: Tree) -> Operation:
    region = Region(tree.bank, 3)
    tree.others.append(lambda: sum(one.count for one in (region.holds or {}).values()))
    return lambda: region.hold(tree.above)


def release_a_hold(tree: Tree) -> Operation:
    hold = Region(tree.bank, 3).hold(tree.above)
    tree.others.append(lambda: hold.count)
    return hold.release


def make_a_handle(tree: Tree) -> Operation:
    return lambda: BankHandle(tree.bank, Rank.USE)


def drop_a_handle(tree: Tree) -> Operation:
    return BankHandle(tree.bank, Rank.USE).drop


def buy_through_a_handle(tree: Tree) -> Operation:
    handle = BankHandle(tree.bank, Rank.USE)
    return lambda: handle.buy(5)


def reserve(tree: Tree) -> Operation:
    return lambda: Reservation(tree.bank, 3, 2)


def drop_a_reservation(tree: Tree) -> Operation:
    return Reservation(tree.bank, 3, 2).drop


def queue_a_transfer(tree: Tree) -> Operation:
    transfers = Transfers(tree.above)
    tree.others.append(lambda: len(transfers))
    return lambda: transfers.add(tree.funded, 3, 2)


def flush_a_transfer(tree: Tree) -> Operation:
    transfers = Transfers(tree.above)
    transfers.add(tree.funded, 3, 2)
    tree.others.append(lambda: len(transfers))
    return transfers.flush


def take(tree: Tree) -> Operation:
    account = tree.account()
    return lambda: account.take(5000)


def take_of_what_is_there(tree: Tree) -> Operation:
    account = tree.account()
    account.take(100)
    return lambda: account.take(100)


def give(tree: Tree) -> Operation:
    account = tree.account()
    account.take(50_000)
    return lambda: account.give(40_000)


def take_a_cap(tree: Tree) -> Operation:
    return tree.account().take_cap


def give_a_cap(tree: Tree) -> Operation:
    account = tree.account()
    for _ in range(32):
        account.take_cap()
    for _ in range(31):
        account.give_cap()
    return account.give_cap


def close_an_account(tree: Tree) -> Operation:
    account = tree.account()
    account.take(5000)
    account.give(5000)
    return account.close


def bushel_of(tree: Tree) -> Bushel:
    resolve(ThingServer)
    bushel = Bushel(tree.account())
    tree.others.append(lambda: sorted((n, e.uses, e.holds) for n, e in bushel._uses.items()))
    tree.others.append(lambda: (sorted(bushel.things), len(bushel.table.entries)))
    return bushel


def hand_out(tree: Tree) -> Operation:
    bushel, thing = bushel_of(tree), ThingServer("t")
    return lambda: bushel.grant(thing, Thing)


def hand_out_again(tree: Tree) -> Operation:
    bushel, thing = bushel_of(tree), ThingServer("t")
    bushel.grant(thing, Thing)
    return lambda: bushel.grant(thing, Thing)


def release(tree: Tree) -> Operation:
    bushel = bushel_of(tree)
    number = bushel.grant(ThingServer("t"), Thing)
    return lambda: bushel.release(number, 1)


def leave_a_table(tree: Tree) -> Operation:
    """The one who paid for what the other has, too."""
    table, thing = ExportTable(), ThingServer("t")
    resolve(ThingServer)
    left, stays = (Bushel(tree.account(), table) for _ in range(2))
    number = left.grant(thing, Thing)
    stays.grant(thing, Thing)
    left.release(number, 1)
    tree.others.append(lambda: ([*table.payers], table.charged, table.account is stays._account))
    return lambda: table.leave(left._account)


def imports_of(tree: Tree) -> Imports:
    imports = Imports(tree.account())
    tree.others.append(lambda: len(imports))
    return imports


def receive_an_import(tree: Tree) -> Operation:
    imports = imports_of(tree)
    return lambda: imports.receive(7)


def kept_of(tree: Tree) -> Kept:
    kept = Kept(tree.account())

    def state() -> object:
        return kept.bytes, [(one.alive, one._thing, one._charged, one._pins) for one in kept.refs]

    tree.others.append(state)
    return kept


def keep_a_thing(tree: Tree) -> Operation:
    kept = kept_of(tree)
    return lambda: ClientRef(kept, "thing", 5000)


def keep_more(tree: Tree) -> Operation:
    ref = ClientRef(kept_of(tree), "thing", 10)
    return lambda: ref.resize(9000)


def keep_less(tree: Tree) -> Operation:
    ref = ClientRef(kept_of(tree), "thing", 20_000)
    return lambda: ref.resize(10)


def keep_no_longer(tree: Tree) -> Operation:
    return ClientRef(kept_of(tree), "thing", 20_000).drop


def hold_for_a_turn(tree: Tree) -> Operation:
    kept = kept_of(tree)
    refs = [ClientRef(kept, "one", 10), ClientRef(kept, "other", 10)]
    return PinScope(refs).__enter__


def submit_a_frame(tree: Tree) -> Operation:
    writer = RingWriter(memoryview(bytearray(ring_bytes(64))))
    tree.others.append(lambda: writer.tail)
    return lambda: writer.submit(bytes(16))


def take_a_slot(tree: Tree) -> Operation:
    table: SlotTable[int] = SlotTable(4)
    tree.others.append(lambda: len(table))
    return table.acquire


def free_a_slot(tree: Tree) -> Operation:
    table: SlotTable[int] = SlotTable(4)
    slot = table.acquire()
    tree.others.append(lambda: (len(table), slot.state))
    return lambda: table.release(slot)


OPERATIONS = (
    *(buy, sell, child, funded_child, refill, fund, fund_less, close, remove),
    *(close_the_last_below_many_removed, begin_to_destroy, destroy_a_piece),
    *(destroy_the_last_piece, make_a_region, free_a_region, cut_a_region, move_regions),
    *(map_a_region, unmap_a_region, unpin_a_doomed_region, hold_a_region, release_a_hold),
    *(make_a_handle, drop_a_handle),
    *(buy_through_a_handle, reserve, drop_a_reservation, queue_a_transfer, flush_a_transfer),
    *(take, take_of_what_is_there, give, take_a_cap, give_a_cap, close_an_account),
    *(hand_out, hand_out_again, release, leave_a_table, receive_an_import),
    *(keep_a_thing, keep_more, keep_less, keep_no_longer, hold_for_a_turn),
    *(submit_a_frame, take_a_slot, free_a_slot),
)


@pytest.mark.parametrize("prepare", OPERATIONS, ids=lambda one: one.__name__)
def test_an_operation_without_stack_changes_nothing(prepare: Callable[[Tree], Operation]) -> None:
    """Bank rule 43: with 1 to 60 frames left."""
    counts: Counter[str] = Counter()
    changed = 0
    for room in ROOMS:
        tree = Tree()
        operation = prepare(tree)
        before = tree.books()
        try:
            kept = with_room(room, operation)
        except RecursionError:
            assert tree.books() == before, f"with {room} frames left"
            counts["refused"] += 1
            kept = operation()  # and is done where there is more
        else:
            counts["done"] += 1
        changed += tree.books() != before
        del kept
    # What needs no frame at all is done in every room.
    require(covered("operations of banks at every depth", **counts), "done")
    assert changed == len(ROOMS), "an operation that changes nothing shows nothing"


@pytest.mark.parametrize("prepare", OPERATIONS, ids=lambda one: one.__name__)
def test_an_operation_of_which_a_charge_is_refused_changes_nothing(
    prepare: Callable[[Tree], Operation],
) -> None:
    """Each charge that it makes is refused in turn, until it makes no more."""
    for nth in range(20):
        tree = Tree()
        operation = prepare(tree)
        before = tree.books()
        with refusing(nth) as charges:
            try:
                kept = operation()
            except OutOfPages:
                tree.sell_spares()
                assert tree.books() == before, f"charge {nth} was refused"
            else:
                break
            finally:
                covered("charges that were refused", charges=charges.refused)
    else:
        raise AssertionError("an operation makes more charges than that")
    assert nth == charges.made
    del kept
