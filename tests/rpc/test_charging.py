"""What a service keeps for its clients: who pays, what a turn holds, and what is left."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.executor import sleep, spawn
from pinfut.rpc import connect, method, serve, session_of, session_pages
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.handle import BankHandle
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import (
    NestedShortage,
    OutOfPages,
    PeerDied,
    SafetyExceeded,
    SessionDead,
    StillPinned,
)
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.session.charging import PinScope, charge, keep, payer
from pinfut.rpc.session.kept import ClientRef
from pinfut.rpc.session.serving import current_session, nested
from pinfut.rpc.session.shared import SharedState
from pinfut.rpc.vat import Vat
from tests.bounded import exhaust
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, only, path_of, quiet, run


class Big:
    """Something that can be weakly referred to."""


def test_what_is_kept_is_charged_and_nothing_of_it_is_reachable_after_the_end() -> None:
    """Objects carry their owner; after close nothing owned by the session is reachable."""

    async def main(world: World) -> None:
        bank = world.bank()
        refs: list[ClientRef[Big]] = []
        weak: list[weakref.ref[Big]] = []

        async with world.served("desk", DeskServer()) as server:
            async with connect(world.kernel, "desk", Desk, bank) as desk:
                session = only(server)
                used = session.end.account.used
                with pytest.raises(RuntimeError, match="with charge"):
                    keep(Big(), 1)
                with charge(session) as kept:
                    assert payer() is kept
                    for _ in range(50):
                        thing = Big()
                        weak.append(weakref.ref(thing))
                        refs.append(keep(thing, 3000))
                        del thing
                assert payer() is None
                assert session.end.account.used >= used + 50 * 3000
                assert bank.pages_used * PAGE >= 50 * 3000
                before = session.end.account.used
                refs[0].drop()
                refs[0].drop()
                assert session.end.account.used < before - 2999
                with pytest.raises(SessionDead):
                    refs[0].get()
                assert refs[1].get() is weak[1]()
                assert await desk.do(1) == 1
            await quiet()
            gc.collect()
            assert all(one() is None for one in weak), "something of the session is reachable"
            for ref in refs:
                with pytest.raises(SessionDead):
                    ref.get()
            with pytest.raises(SessionDead), charge(session):
                pass
            # A write in the commit phase never fails: it is discarded, and counted.
            assert [ref.set(Big()) for ref in refs] == [False] * 50
            assert kept.discarded == 50
            assert kept.bytes == 0

    run(main)


def test_what_cannot_be_paid_is_not_kept() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=60)
        async with (
            world.served("desk", DeskServer()) as server,
            connect(world.kernel, "desk", Desk, bank) as desk,
        ):
            kept = only(server).kept()
            with charge(only(server)), pytest.raises(OutOfPages):
                keep(b"", 60 * PAGE)
            assert (kept.bytes, len(kept.refs)) == (0, 0)
            with charge(only(server)):
                ref = keep(b"", 10)
            with pytest.raises(OutOfPages):
                ref.resize(60 * PAGE)
            ref.resize(2 * PAGE)
            ref.resize(1)
            with PinScope([ref]), pytest.raises(StillPinned):
                ref.resize(5)
            assert await desk.do(1) == 1

    run(main)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_process_that_dies_leaves_the_bank_whole_whatever_was_kept(who: str) -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with serve(world.kernel, "desk", DeskServer()) as server:
            client = Vat(world.kernel, "c")
            session = client.connect("desk", bank, SessionSpec(8, 16_384, 1024))
            await session.bootstrap(Desk)
            with charge(only(server)):
                refs = [keep(Big(), 5000) for _ in range(9)]
            (client if who == "client" else server).kill()
            await quiet()
            await session.wait_closed()
            assert (bank.pages_used, bank.caps_used) == (0, 0)
            for ref in refs:
                with pytest.raises(SessionDead):
                    ref.get()
            if who == "client":
                await client.close()

    run(main)


def test_a_server_that_dies_while_it_winds_up_refunds_nothing_twice() -> None:
    """The client has let go already, so the kernel takes the account at the server's death."""

    async def main(world: World) -> None:
        async def work(n: int) -> int:
            try:
                await sleep(100)
            finally:
                await sleep(20)
            return n

        bank = world.bank()
        async with serve(world.kernel, "desk", DeskServer(do=work)) as server:
            vat = Vat(world.kernel, "c")
            session = vat.connect("desk", bank, SessionSpec(8, 16_384, 1024))
            desk = await session.bootstrap(Desk)
            call = desk.do(1)
            await quiet()
            with charge(only(server)):
                ref = keep(Big(), 5000)
            session.close(SessionDead("a test"))
            await quiet()
            assert bank.pages_used > 0
            server.kill()
            await quiet()
            assert (bank.pages_used, bank.caps_used) == (0, 0)
            with pytest.raises(SessionDead):
                ref.get()
            with pytest.raises(SessionDead):
                await call
            await vat.close()

    run(main)


# ---- turns ----


def test_a_turn_holds_all_that_it_touches_or_nothing() -> None:
    """A client cannot take back what a server uses: destroy during a turn waits for the pins."""
    root = Bank("root", 100, 100)
    bank = root.child("client", pages=50)
    regions = [Region(bank, 2) for _ in range(3)]
    with PinScope(regions):
        for region in regions:
            for act in (
                region.free,
                lambda r=region: r.extract(0, 1),
                lambda r=region: r.move(root),
            ):
                with pytest.raises(StillPinned):
                    act()
        end = destroy(bank)
        exhaust(end.step, "the bank is destroyed")
        assert not end.done
        regions[0].buffer[0] = 1
        assert bank.pages_used == 6
        # A second turn does not begin on what is going, and lets go of what it had.
        other = Region(root, 1)
        with pytest.raises(SessionDead), PinScope([other, regions[1]]):
            pass
        assert (regions[1].pins, other.pins) == (1, 0)
        other.free()
    assert end.done
    assert root.pages_used == 0


def test_a_turn_is_bounded_by_the_servers_own_safety_memory() -> None:
    bank = Bank("root", 100, 100)
    regions = [Region(bank, 1) for _ in range(5)]
    with pytest.raises(SafetyExceeded, match=r"5 things.*aside for 4"), PinScope(regions, safety=4):
        pass
    assert [r.pins for r in regions] == [0] * 5
    with PinScope(regions[:4] + regions[:1], safety=5):
        assert regions[0].pins == 2
    assert [r.pins for r in regions] == [0] * 5


def test_a_session_that_ends_in_the_midst_of_a_turn_takes_nothing_from_under_it() -> None:
    """get() may fail, set() in the commit phase never does; the charge stays for the turn."""

    async def main(world: World) -> None:
        bank = world.bank()
        async with (
            world.served("desk", DeskServer()) as server,
            connect(world.kernel, "desk", Desk, bank),
        ):
            session = only(server)
            with charge(session):
                one, other = keep([1], 100), keep([2], 100)
            kept = session.kept()
            with PinScope([one, other]):
                assert one.get() == [1]
                session.close(SessionDead("a test"))
                assert session.closed
                # Still there for the turn that began before, and still paid for.
                assert one.get() == [1]
                assert kept.bytes > 200
                assert other.set([3]) is False
                assert kept.discarded == 1
                assert bank.pages_used > 0
            assert kept.bytes == 0
            with pytest.raises(SessionDead):
                one.get()
            with pytest.raises(SessionDead), PinScope([one]):
                pass
        assert bank.pages_used == 0

    run(main)


# ---- shared state ----

SHARED = "shared state"
steps = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "join", "leave", "leave", "end"]), st.integers(0, 3)
    ),
    min_size=6,
    max_size=20,
)


def test_shared_state_is_stored_once_and_each_subscriber_pays_for_all_of_it() -> None:
    """Row 9 and trap T23. A leaver changes nobody's charge, and what is charged is never below
    what is stored, which is made when the first comes and not again before the last has gone."""
    share()
    require(
        covered(SHARED),
        "left_beside_others",
        "ended_beside_others",
        "joined_beside_others",
        "left_last",
        "made_again",
    )


@settings(max_examples=40)
@given(steps=steps)
def share(steps: list[tuple[str, int]]) -> None:
    async def main(world: World) -> None:
        made: list[Big] = []

        def make() -> Big:
            made.append(Big())
            return made[-1]

        counts: Counter[str] = Counter()
        shared = SharedState(make, 10_000)
        async with world.served("desk", DeskServer()) as server:
            clients: list[Any] = []
            for number in range(4):
                connection = connect(world.kernel, "desk", Desk, world.bank(f"c{number}"))
                clients.append((connection, await connection.__aenter__()))
            by_name = {s.name.partition(">")[0]: s for s in server.sessions}
            sessions = [by_name[f"c{n}"] for n in range(4)]
            refs: dict[int, list[ClientRef[Any]]] = {n: [] for n in range(4)}
            over: set[int] = set()
            begun = 0
            for step, n in [("join", 0), ("join", 1), *steps]:
                if step == "leave":  # one of those who subscribe
                    there = [m for m in refs if refs[m]] or [n]
                    n = there[n % len(there)]
                others = sum(len(refs[m]) for m in refs if m != n)
                charged = [s.end.account.used for s in sessions]
                if step == "join" and n not in over and len(refs[n]) < 5:
                    begun += not any(refs.values())
                    counts["joined_beside_others"] += others > 0
                    ref = shared.subscribe(sessions[n])
                    refs[n].append(ref)
                    assert shared.value(ref) is made[-1]
                    assert sessions[n].end.account.used >= charged[n] + 10_000
                elif step == "leave" and refs[n]:
                    shared.leave(refs[n].pop())
                    counts["left_beside_others"] += others > 0
                    counts["left_last"] += not any(refs.values())
                elif step == "end" and n not in over:
                    over.add(n)
                    await clients[n][0].__aexit__(None, None, None)
                    refs[n].clear()
                    counts["ended_beside_others"] += others > 0
                for m, session in enumerate(sessions):
                    if m != n and m not in over:
                        assert session.end.account.used == charged[m], "somebody else's charge"
                live = sum(map(len, refs.values()))
                assert shared.subscribers == live
                assert shared.stored == (live > 0)
                assert len(made) == begun, "stored once, however many come"
                for held in refs.values():
                    assert all(shared.value(ref) is made[-1] for ref in held)
                paid = sum(s.kept().bytes for m, s in enumerate(sessions) if m not in over)
                assert paid >= 10_000 * live
            counts["made_again"] += len(made) > 1
            for n, (connection, _) in enumerate(clients):
                if n not in over:
                    await connection.__aexit__(None, None, None)
            assert not shared.stored
        covered(SHARED, **counts)

    run(main)


def test_shared_state_goes_with_the_last_who_pays_for_it_in_whatever_order_they_leave() -> None:
    """Bank rule 52: the last is charged for all of it, and at its end the value is gone, before
    anybody looks at the shared state again."""

    async def main(world: World) -> None:
        async with world.served("desk", DeskServer()) as server:
            for order in permutations(range(3)):
                shared = SharedState(Big, 10_000)
                clients: list[Any] = []
                for number in range(3):
                    bank = world.bank(f"{order}{number}")
                    clients.append(connect(world.kernel, "desk", Desk, bank))
                    await clients[-1].__aenter__()
                sessions = server.sessions[-3:]
                refs = [shared.subscribe(one) for one in sessions]
                value = weakref.ref(shared.value(refs[0]))
                paid = [one.kept().bytes for one in sessions]
                left = set(order)
                for who in order:
                    assert value() is not None
                    left.remove(who)
                    if (who + order[0]) % 2:
                        shared.leave(refs[who])
                        covered("ways to leave", left=1)
                    else:
                        await clients[who].__aexit__(None, None, None)
                        await quiet()
                        covered("ways to leave", ended=1)
                    for n in left:
                        assert shared.value(refs[n]) is value()
                        assert sessions[n].kept().bytes == paid[n] >= 10_000
                assert value() is None, "it is there and nobody pays"
                for n, client in enumerate(clients):
                    if (n + order[0]) % 2:
                        await client.__aexit__(None, None, None)

    run(main)
    require(covered("ways to leave"), "left", "ended")


# ---- nested calls ----


class MiddleServer(DeskServer):
    """Serves what it asks another server for, with the caller's memory."""

    def __init__(self, world: World, pages: int) -> None:
        super().__init__()
        self.world = world
        self.pages = pages
        self.paths: list[str] = []
        self.banks: list[Any] = []

    @method(answer=lambda n, seconds: n + 64)
    async def data(self, n: int, seconds: float = 0.0) -> bytes:
        async with nested(pages=self.pages) as bank:
            self.banks.append(bank)
            assert isinstance(bank, BankHandle)
            self.paths.append(bank.bank().path)
            async with connect(self.world.kernel, "back", Desk, bank, slots=8) as back:
                value: bytes = await back.data(n, seconds)
                return value


def test_what_a_nested_server_holds_counts_against_the_first_payer() -> None:
    """Bank rule 42: what a nested server holds counts against the first payer; returns never
    wait for credit."""

    async def main(world: World) -> None:
        bank = world.bank(pages=300)
        middle = MiddleServer(world, 60)
        back = DeskServer()
        async with (
            world.served("back", back) as last,
            world.served("middle", middle),
            connect(world.kernel, "middle", Desk, bank, slots=8) as desk,
        ):
            others = world.kernel.root.pages_used - bank.pages_used
            before = bank.pages_used
            call = spawn(_take(desk.data(5000, 10.0)))
            await quiet()
            assert bank.pages_used >= before + 14, "the nested session is not the caller's to pay"
            assert world.kernel.root.pages_used - bank.pages_used == others
            assert middle.paths[0].startswith("machine/client/client>middle#1"), "the root payer"
            assert path_of(only(last), world.kernel) == middle.paths[0]
            # The return finds its memory reserved, also when nothing is left anywhere.
            rest = bank.available.pages
            bank.buy(rest)
            await sleep(20)
            assert await call == bytes([5000 % 251]) * 5000
            bank.sell(rest)
            assert bank.pages_used <= before + 4

    run(main)


def test_a_nested_call_spends_no_more_than_its_ceiling() -> None:
    """Bank rule 42: a middle server cannot overspend the first payer."""

    async def main(world: World) -> None:
        bank = world.bank(pages=3000)
        middle = MiddleServer(world, 30)
        async with (
            world.served("back", DeskServer()),
            world.served("middle", middle),
            connect(world.kernel, "middle", Desk, bank, slots=8) as desk,
        ):
            used = bank.pages_used
            with pytest.raises(NestedShortage, match=r"middle#1\+1") as lack:
                await desk.data(40 * PAGE, 0.0)
            # Told from the caller's own shortage by its class, and whose it is by its name.
            assert lack.value.bank is not None
            assert lack.value.bank.endswith("middle#1+1")
            assert (lack.value.kind, lack.value.begun) == (OutOfPages, True)
            await quiet()
            # The answer's own memory is kept for the next large answer.
            assert bank.pages_used <= used + 42
            assert len(await desk.data(5 * PAGE, 0.0)) == 5 * PAGE
            # The handle is too weak for anything but paying, and dead after the block.
            handle = middle.banks[0]
            with pytest.raises(Exception, match="stronger"):
                handle.refill(5)
            with pytest.raises(Exception, match="destroyed"):
                handle.buy(1)

    run(main)


def test_who_has_nothing_left_cannot_have_others_called() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=session_pages(slots=8) + 6)
        middle = MiddleServer(world, 30)
        async with (
            world.served("back", DeskServer()) as last,
            world.served("middle", middle),
            connect(world.kernel, "middle", Desk, bank, slots=8) as desk,
        ):
            with pytest.raises(NestedShortage) as lack:
                await desk.data(100, 0.0)
            assert lack.value.bank == "client", "the caller's own bank, met by its handler"
            assert last.sessions == []

    run(main)


def test_a_cancelled_nested_call_gives_everything_back() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=300)
        middle = MiddleServer(world, 60)
        async with (
            world.served("back", DeskServer()) as last,
            world.served("middle", middle),
            connect(world.kernel, "middle", Desk, bank, slots=8) as desk,
        ):
            before = bank.pages_used
            call = desk.data(500, 1e6)
            await quiet()
            assert bank.pages_used > before + 9
            call.drop()
            await sleep(1)
            assert bank.pages_used <= before + 2
            assert last.sessions == []

    run(main)


def test_outside_of_a_handler_there_is_no_caller_to_pay() -> None:
    with pytest.raises(RuntimeError, match="no call is being served"):
        current_session()


async def _take(promise: Any) -> Any:
    return await promise


def test_a_handler_knows_the_session_that_it_serves() -> None:
    async def main(world: World) -> None:
        seen: list[str] = []

        async def work(n: int) -> int:
            seen.append(current_session().name)
            await sleep(1)
            seen.append(current_session().name)
            return n

        async with (
            world.served("desk", DeskServer(do=work)),
            connect(world.kernel, "desk", Desk, world.bank("a")) as one,
            connect(world.kernel, "desk", Desk, world.bank("b")) as other,
        ):
            calls = [one.do(1), other.do(2)]
            for call in calls:
                await call
            assert sorted(seen) == sorted([session_of(one).name, session_of(other).name] * 2)
        with pytest.raises(RuntimeError):
            current_session()

    run(main)


def test_a_charge_follows_the_size_down_to_the_page_and_nothing_is_a_size() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with (
            world.served("desk", DeskServer()) as server,
            connect(world.kernel, "desk", Desk, bank),
        ):
            session = only(server)
            with charge(session):
                ref = keep([1], 0)
                for refused in (lambda: keep([1], -1), lambda: ref.resize(-1)):
                    with pytest.raises(ValueError, match="0 bytes or more"):
                        refused()
            least, pages = session.kept().bytes, bank.pages_used
            ref.resize(20 * PAGE)
            assert session.kept().bytes == least + 20 * PAGE
            assert bank.pages_used >= pages + 20
            ref.resize(PAGE)
            assert bank.pages_used <= pages + 2, "what was given back is still bought"
            ref.resize(0)
            assert session.kept().bytes == least
            ref.drop()
            assert session.kept().bytes == 0

    run(main)


def test_nothing_can_be_kept_and_is_there_as_long_as_anything_else() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("desk", DeskServer()) as server,
            connect(world.kernel, "desk", Desk, world.bank()),
        ):
            with charge(only(server)):
                ref = keep(None, 100)
            assert ref.get() is None
            with PinScope([ref]):
                ref.drop()
                assert ref.get() is None
            with pytest.raises(SessionDead):
                ref.get()

    run(main)


def test_a_session_is_released_with_the_last_thing_that_a_turn_holds() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with (
            world.served("desk", DeskServer()) as server,
            connect(world.kernel, "desk", Desk, bank),
        ):
            session = only(server)
            with charge(session):
                one, other = keep([1], 100), keep([2], 100)
            with PinScope([one]):
                with PinScope([other]):
                    session.close(SessionDead("a test"))
                assert other not in session.kept().refs
                assert session in server.sessions, "let go while a turn holds what it pays for"
                assert one.get() == [1]
            await session.wait_released()
            assert session not in server.sessions

    run(main)


def test_what_a_nested_server_held_for_one_that_died_is_given_back_by_who_waits_for_the_end() -> (
    None
):
    async def main(world: World) -> None:
        bank = world.bank(pages=300)
        async with world.served("back", DeskServer()):
            middle = MiddleServer(world, 60)
            async with serve(world.kernel, "middle", middle) as vat:
                connection = connect(world.kernel, "middle", Desk, bank, slots=8)
                desk = await connection.__aenter__()
                call = spawn(_take(desk.data(5000, 10.0)))
                await quiet()
                below = middle.banks[0].bank()
                assert below.alive
                vat.kill()
                with pytest.raises(PeerDied):
                    await call
                await connection.__aexit__(None, None, None)
                assert not below.alive
                assert bank.pages_used == 0
            await quiet()

    run(main)
