"""What is kept for a client has a fixed type, is made at first use, and refuses re-entry;
a buffer that is swapped comes back, and a callback that is swapped is heard no more."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from pinfut.rpc import (
    Bank,
    EventBuffer,
    Interface,
    NestedShortage,
    OutOfPages,
    PinScope,
    SimKernel,
    Subscription,
    connect,
    method,
    prices,
    serve,
    subscribe,
)
from pinfut.rpc.bank.account import SessionAccount
from pinfut.rpc.bank.share import Share
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.memory.receive import ReceivePool
from pinfut.rpc.session.kept import ClientRef, Kept
from tests.rpc.world import World, only, quiet, run


class Watch(Interface, Protocol):
    @method
    async def watch(self, key: int) -> int: ...


class WatchServer(Watch):
    def __init__(self) -> None:
        self.made: list[Subscription] = []

    @method
    async def watch(self, key: int) -> int:
        self.made.append(subscribe(key))
        return key


def test_what_a_session_has_for_its_client_is_made_at_first_use_once_and_of_one_type() -> None:
    async def main(world: World) -> None:
        with EventBuffer(world.bank("buffer"), places=2) as events:
            async with (
                serve(world.kernel, "watch", WatchServer()) as vat,
                connect(world.kernel, "watch", Watch, world.bank(), events=events) as root,
            ):
                end: Any = only(vat).end
                pages = end.account.pages
                assert end._events is None, "nobody has asked for it"
                await root.watch(events.open())
                first = end.events()
                await root.watch(events.open())
                assert end.events() is first
                assert type(end.requests()) is type(end._into)
                # The lane for calls back is bought at first use, and once.
                assert end._out is None
                lane = end.submissions()
                assert end.account.pages > pages
                pages = end.account.pages
                assert end.submissions() is lane
                assert end.account.pages == pages

    run(main)


def test_a_scope_that_is_entered_already_is_refused_and_holds_what_it_held() -> None:
    kept = Kept(SessionAccount(Share(Bank("bank", 100, 100))))
    ref = ClientRef(kept, "thing", 10)
    scope = PinScope([ref])
    with scope:
        with pytest.raises(RuntimeError, match="entered already"), scope:
            raise AssertionError("entered twice")
        ref.drop()
        assert ref.get() == "thing", "the outer one holds it still"
        with PinScope([Region(Bank("other", 10, 10), 1)]):
            pass
    with pytest.raises(Exception, match="gone"):
        ref.get()
    # It ended, and may be entered again; a refusal does not count as entered.
    for _ in range(2):
        with pytest.raises(Exception, match="gone"), scope:
            pass


def test_a_buffer_that_is_swapped_gives_the_former_one_back_whole() -> None:
    kernel = SimKernel()
    here, there = (kernel.bank(name, pages=50) for name in ("receiver", "sender"))
    pool = ReceivePool(here)
    posted = Region(here, 1)
    pool.post(posted)
    packet = Region(there, 1)
    packet.buffer[:5] = b"hello"
    used = here.pages_used, there.pages_used
    assert len(pool.give([packet], [5])) == 1
    assert (here.pages_used, there.pages_used) == used
    # What was posted is the sender's now: unpinned, of its bank, and freed by it.
    assert (posted.bank, posted.pins, posted.pages) == (there, 0, 1)
    taken = pool.take()
    assert taken is not None
    assert (taken[0], taken[1], taken[0].bank) == (packet, 5, here)
    posted.free()
    packet.free()
    assert (here.pages_used, there.pages_used) == (0, 0)


def test_a_subscription_that_is_swapped_is_heard_no_more_or_is_not_swapped() -> None:
    """Bank rule 49: of the former callback nothing comes any more."""

    async def main(world: World) -> None:
        server, bank = WatchServer(), world.bank()
        with EventBuffer(world.bank("buffer"), places=2) as events:
            async with (
                serve(world.kernel, "watch", server) as vat,
                connect(world.kernel, "watch", Watch, bank, events=events) as root,
            ):
                key = events.open()
                await root.watch(key)
                former: Any = server.made[0]
                account = only(vat).end.account
                used = account.used
                # It is swapped whole or not at all: what cannot be paid leaves the former.
                take, price = account.take, prices.SUBSCRIPTION + prices.KEPT

                def refusing(count: int, why: str) -> None:
                    if count == price:
                        raise OutOfPages("refused by a test", "nobody", 1)
                    take(count, why)

                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(SessionAccount, "take", lambda _, *rest: refusing(*rest))
                    with pytest.raises(NestedShortage):
                        await root.watch(key)
                assert former.alive
                assert former.post(b"one")
                assert (await events.next()).state == b"one"
                await root.watch(key)
                assert account.used == used
                assert not former.alive
                assert former.post(b"of the former") is False
                events.arm(key)
                await quiet()
                assert events.take() is None
                assert server.made[1].post(b"two")
                assert (await events.next()).state == b"two"

    run(main)
