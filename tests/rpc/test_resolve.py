"""A promise that was handed out before it came, and turns out to be the receiver's own object."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from typing import Any, Protocol, cast

import pytest

from pinfut.executor import current_executor, sleep
from pinfut.rpc import (
    ForeignCapability,
    Interface,
    PromiseLoop,
    RpcError,
    Session,
    SessionClosed,
    connect,
    method,
    prices,
    session_of,
)
from pinfut.rpc.contract import SENDER, Cap
from pinfut.rpc.errors import GarbageFrame
from pinfut.rpc.objects.promise import EMBARGOED, IMPORTED, OWN, RESOLVED, Target
from pinfut.rpc.objects.proxy import proxy, target_of
from pinfut.rpc.wire.frames import EXPORT, LOOPBACK, PROVIDE
from pinfut.sync import Event
from tests.covered import covered, require
from tests.kernels.copying import CopyKernel
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run

KERNELS: dict[str, Any] = {"sim": None, "copying": CopyKernel}


class Gate(DeskServer):
    """Gives what it is given, when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.open = Event()

    @method
    async def back(self, thing: Thing) -> Thing:
        await self.open.wait()
        return thing


class Board(Interface, Protocol):
    """What each side serves."""

    @method
    async def meet(self, board: Board) -> int: ...
    @method
    async def put(self, thing: Thing) -> int: ...
    @method
    async def put_both(self, thing: Thing, other: Interface) -> int: ...
    @method
    async def get(self, n: int) -> Thing: ...
    @method
    async def nap(self, seconds: float) -> float: ...


class BoardServer(Board):
    def __init__(self) -> None:
        self.other: Any = None
        self.things: list[Any] = []

    @method
    async def meet(self, board: Board) -> int:
        self.other = board
        return 0

    @method
    async def put(self, thing: Thing) -> int:
        self.things.append(thing)
        return len(self.things)

    @method
    async def put_both(self, thing: Thing, other: Interface) -> int:
        self.things += [thing, other]
        return len(self.things)

    @method
    async def get(self, n: int) -> Thing:
        return self.things[n]  # type: ignore[no-any-return]

    @method
    async def nap(self, seconds: float) -> float:
        await sleep(seconds)
        return seconds


async def turns(n: int) -> None:
    for _ in range(n):
        await sleep(0)


async def answers(calls: list[Any]) -> list[Any]:
    """What the calls give; nothing of them is kept."""
    given = [await call for call in calls]
    calls.clear()
    return given


def of(proxy: Any) -> Target:
    target = target_of(proxy)
    assert target is not None
    return target


class Side:
    """One side: its session, what it serves, and what the other one does."""

    def __init__(self, session: Session, board: BoardServer, far: Any) -> None:
        self.session, self.board, self.far = session, board, far

    def send(self, frame: bytes) -> None:
        self.session.out.send(frame)


@asynccontextmanager
async def pair(world: World, slots: int = 16, *, end: bool = True) -> AsyncIterator[list[Side]]:
    """A client and a server that have each other's board; `end`: whether both live to the end."""
    mine, theirs = BoardServer(), BoardServer()
    async with (
        world.served("service", theirs) as vat,
        connect(world.kernel, "service", Board, world.bank(pages=800), slots=slots) as far,
    ):
        await far.meet(mine)
        near = session_of(far)
        sides = [Side(near, mine, far), Side(only(vat), theirs, theirs.other)]
        yield sides
        for side in sides:
            assert not end or side.session.error is None
            side.board.things.clear()
            side.board.other = side.far = None
        await quiet()


class Handed:
    """`proxy` at `receiver`: of a promise that `giver` handed out, which comes when `gate` is open
    and is then `own`, the receiver's."""

    def __init__(self, giver: Side, receiver: Side) -> None:
        self.giver, self.receiver = giver, receiver
        self.own, self.gate = ThingServer("own"), Gate()
        self.proxy: Any = None
        self.promise: Any = None


@asynccontextmanager
async def handed(
    world: World, by: str, slots: int = 16, *, end: bool = True
) -> AsyncIterator[Handed]:
    """With the client or the server as the one who hands out a promise."""
    async with pair(world, slots, end=end) as sides:
        one = Handed(*sides) if by == "client" else Handed(*sides[::-1])
        one.receiver.board.things.append(one.own)
        one.promise = one.gate.back(await one.giver.far.get(0))
        assert await one.giver.far.put(one.promise) == 2
        one.proxy = one.receiver.board.things[1]
        assert of(one.proxy).state == IMPORTED
        yield one
        one.gate.open.set()
        await quiet()
        one.proxy = one.promise = None
        one.receiver.board.things.clear()
        await quiet()
        if end:
            assert not one.giver.session.out.resolving.handed
            assert len(one.receiver.session.peer.imports) == 1  # the other's board


SIDES = "client", "server"
BY = pytest.mark.parametrize("by", SIDES)
ON = pytest.mark.parametrize("kernel", KERNELS)


@BY
@ON
def test_calls_go_the_shorter_way_once_a_resolve_has_come(kernel: str, by: str) -> None:
    """Row 62: of five calls in a row one goes there and back, if it was made before; then none."""

    async def main(world: World) -> None:
        async with handed(world, by) as one:
            session, trips = one.receiver.session, []
            first = one.proxy.tell(0)
            one.gate.open.set()
            for n in range(1, 6):
                before = session.round_trips
                assert await (first if n == 1 else one.proxy.tell(n - 1)) == list(range(n))
                trips.append(session.round_trips - before)
            assert trips == [1, 0, 0, 0, 0]
            assert of(one.proxy).state == OWN
            assert await one.proxy is one.own
            # Who has it already can ask nobody to provide it.
            with pytest.raises(ForeignCapability, match="this process's own"):
                session.out.call(one.proxy, of(one.proxy), cast("Any", Thing.tell), (0,), PROVIDE)
            # It goes back as the receiver's own, and stays an import until it is dropped.
            assert await one.receiver.far.put(one.proxy) == 1
            assert one.receiver.session.peer.imports.holds(RESOLVED - of(one.proxy).id)

    run(main, kernel=KERNELS[kernel])


@BY
@ON
@pytest.mark.parametrize("slots", [2, 16])
def test_calls_begin_in_the_order_in_which_they_were_made(kernel: str, by: str, slots: int) -> None:
    """Every turn in which it comes, and every gap between four calls: on the longer way, behind the
    embargo, and on the shorter way."""
    met = {"around": 0, "waited": 0, "direct": 0}
    names = {IMPORTED: "around", EMBARGOED: "waited", OWN: "direct"}

    async def main(gaps: tuple[int, ...], when: int, world: World) -> None:
        async with handed(world, by, slots) as one:

            async def come() -> None:
                await turns(when)
                one.gate.open.set()

            coming = current_executor().spawn(come())
            calls: list[Any] = []
            for n, gap in enumerate((*gaps, 0)):
                met[names[of(one.proxy).state]] += 1
                calls.append(one.proxy.tell(n))
                await turns(gap)
            await coming
            for n, told in enumerate(await answers(calls)):
                assert n in told
            await quiet()
            assert of(one.proxy).state == OWN
            assert await one.proxy.tell(4) == list(range(5))

    for gaps, when in product(product((0, 1, 4), repeat=3), range(8)):
        run(partial(main, gaps, when), kernel=KERNELS[kernel])
    require(covered(f"resolves {kernel} {by} {slots}", **met), "around", "waited", "direct")


@BY
def test_calls_keep_their_order_whenever_signals_arrive(by: str) -> None:
    async def main(world: World) -> None:
        async with handed(world, by) as one:
            calls = []
            for n in range(12):
                calls.append(one.proxy.tell(n))
                if n == 3:
                    one.gate.open.set()
                await turns(n % 3)
            await answers(calls)
            assert one.own.told == list(range(12))

    for seed in range(40):
        run(main, seed=seed, arrival="drawn")


@BY
@ON
def test_what_waits_for_a_slot_of_who_passes_it_on_is_not_overtaken(kernel: str, by: str) -> None:
    """The Disembargo comes back behind calls that wait for a slot, and is paid while it waits."""

    async def main(world: World) -> None:
        async with handed(world, by, 4) as one:
            early = [one.proxy.tell(n) for n in range(2)]
            naps = [one.giver.far.nap(5) for _ in range(4)]
            one.gate.open.set()
            await sleep(1)
            assert of(one.proxy).state == EMBARGOED
            late = one.proxy.tell(2)
            await sleep(1)
            assert one.own.told == []
            assert len(one.giver.session.out.backlog.calls) == 3
            await answers(early)
            await late
            await answers(naps)
            del late
            assert one.own.told == [0, 1, 2]
            assert await one.proxy.tell(3) == [0, 1, 2, 3]

    run(main, kernel=KERNELS[kernel])


@ON
def test_two_promises_that_lead_through_each_other_keep_the_order(kernel: str) -> None:
    """The server's promise is one of the client's, and that an object of the server's: each side
    tells the other, whichever comes first, and no Disembargo overtakes what stands in a line."""
    met = {"around": 0, "waited": 0, "direct": 0}
    names = {IMPORTED: "around", EMBARGOED: "waited", OWN: "direct"}

    async def main(at: tuple[int, ...], world: World) -> None:
        own, gates = ThingServer("own"), (Gate(), Gate())
        async with pair(world) as (client, server):
            server.board.things.append(own)
            await client.far.put(gates[0].back(await client.far.get(0)))
            await server.far.put(gates[1].back(server.board.things[1]))
            proxy = client.board.things[0]

            async def come(gate: Gate, when: int) -> None:
                await turns(when)
                gate.open.set()

            coming = [current_executor().spawn(come(*one)) for one in zip(gates, at, strict=True)]
            calls = []
            for n in range(10):
                met[names[of(proxy).state]] += 1
                calls.append(proxy.tell(n))
                await turns(n % 3)
            for one in (*coming, *calls):
                await one
            assert own.told == list(range(10))
            await quiet()
            before = client.session.round_trips, server.session.round_trips
            await proxy.tell(10)
            after = client.session.round_trips, server.session.round_trips
            assert (before[0] + 1, before[1]) == after, "one way there, and nothing passed on"
            del proxy

    for at in product(range(14), repeat=2):
        run(partial(main, at), kernel=KERNELS[kernel])
    require(covered(f"resolves that cross, {kernel}", **met), *met)


@ON
@pytest.mark.parametrize("later", range(-4, 5))
def test_promises_on_two_sides_that_give_each_other_fail(kernel: str, later: int) -> None:
    """They would pass calls on to each other for ever."""

    async def main(world: World) -> None:
        gates = Gate(), Gate()
        async with pair(world) as (client, server):
            boxes: tuple[list[Any], list[Any]] = ([], [])

            class Box(DeskServer):
                @method
                async def kept(self, n: int) -> Thing:
                    await gates[n].open.wait()
                    return boxes[n][0]  # type: ignore[no-any-return]

            ours, theirs = Box().kept(0), Box().kept(1)
            await client.far.put(ours)
            await server.far.put(theirs)
            boxes[0].append(client.board.things[0])
            boxes[1].append(server.board.things[0])
            gates[later > 0].open.set()
            await turns(abs(later))
            gates[later <= 0].open.set()
            await quiet()
            for one in (ours, theirs, boxes[0][0], boxes[1][0]):
                with pytest.raises(PromiseLoop):
                    await one.tell(1)
            assert await client.far.nap(0) == 0
            for box in boxes:
                box.clear()

    run(main, kernel=KERNELS[kernel])


def test_promises_of_one_process_that_give_each_other_fail() -> None:
    box: list[Any] = []

    class Box(DeskServer):
        @method
        async def kept(self, n: int) -> Thing:
            await turns(n)
            return box[n % 2]  # type: ignore[no-any-return]

    async def main(world: World) -> None:
        box.extend([Box().kept(3), Box().kept(4)])
        await sleep(1)
        for one in box:
            with pytest.raises(PromiseLoop, match="a promise of Thing gives itself"):
                await one.tell(1)
        box.clear()

    run(main)


@BY
@ON
def test_nothing_is_kept_of_a_promise_that_is_released_before_it_comes(
    kernel: str, by: str
) -> None:
    async def main(world: World) -> None:
        async with handed(world, by) as one:
            resolving, target = one.giver.session.out.resolving, of(one.promise)
            (kept,) = resolving.handed.values()
            assert kept in (target.waiting or {})
            before = one.giver.session.end.account.used
            one.proxy.release()
            await quiet()
            assert not resolving.handed
            assert kept not in (target.waiting or {})
            if by == "server":
                paid = before - one.giver.session.end.account.used
                assert paid == prices.EXPORT + prices.PASSED
            del kept
            one.receiver.board.things.append(None)

    run(main, kernel=KERNELS[kernel])


@BY
def test_a_promise_that_is_handed_out_again_and_again_is_kept_once(by: str) -> None:
    async def main(world: World) -> None:
        async with handed(world, by) as one:
            resolving = one.giver.session.out.resolving
            for _ in range(20):
                await one.giver.far.put_both(one.promise, one.promise)
                del one.receiver.board.things[2:]
                await quiet()
            assert len(resolving.handed) <= 2
            watched = one.giver.session.peer.exports._watched
            assert watched is not None
            assert len(watched[id(one.promise)]) <= 2

    run(main)


@BY
@pytest.mark.parametrize("early", range(6))
def test_a_resolve_that_crosses_the_release_is_passed_over(by: str, early: int) -> None:
    async def main(world: World) -> None:
        async with handed(world, by) as one:
            one.gate.open.set()
            await turns(early)
            one.proxy.release()
            await quiet()
            assert one.own.told == []

    run(main)


@BY
def test_an_import_that_is_held_as_two_interfaces_stays_on_the_longer_way(by: str) -> None:
    """Calls by one of them would overtake those by the other."""

    async def main(world: World) -> None:
        async with handed(world, by) as one:
            number = of(one.proxy).id
            cap = Cap(SENDER, number, Thing._pinfut_id)
            one.giver.session.peer.exports.grant(one.promise, Thing)
            second = Target(one.receiver.session.out, Thing, IMPORTED)
            one.receiver.session.out.capabilities.bind(second, cap)
            other = proxy(second)
            one.gate.open.set()
            await quiet()
            assert (of(one.proxy).state, second.state) == (IMPORTED, IMPORTED)
            assert await one.proxy.tell(1) == [1]
            assert await other.tell(2) == [1, 2]
            del other, second

    run(main)


@BY
@pytest.mark.parametrize(
    "what",
    [
        *("twice", "no export", "another interface", "unasked", "unasked twice"),
        *("lifted unasked", "of nothing"),
    ],
)
def test_what_no_honest_peer_says_of_a_promise_ends_the_session_and_no_other(
    by: str, what: str
) -> None:
    harmless = what in ("lifted unasked", "of nothing")

    async def main(world: World) -> None:
        desk_server = DeskServer()
        async with world.session(Desk, desk_server, name="other", bank=world.bank("o")) as other:
            async with handed(world, by, end=harmless) as one:
                giver, receiver = one.giver, one.receiver
                number, peer = of(one.proxy).id, giver.session.peer
                export = receiver.session.peer.exports.grant(one.own, Thing)
                match what:
                    case "twice":
                        giver.send(peer.resolve(number, export))
                        giver.send(peer.resolve(number, export))
                    case "no export":
                        giver.send(peer.resolve(number, 1 << 33))
                    case "another interface":
                        wrong = receiver.session.peer.exports.grant(DeskServer(), Desk)
                        giver.send(peer.resolve(number, wrong))
                    case "unasked":
                        receiver.send(peer.disembargo(number, EXPORT))
                    case "unasked twice":
                        one.gate.open.set()
                        await one.proxy.tell(1)
                        receiver.send(peer.disembargo(number, EXPORT))
                        receiver.send(peer.disembargo(number, EXPORT))
                    case "lifted unasked":
                        giver.send(peer.disembargo(number, EXPORT | LOOPBACK))
                        giver.send(peer.disembargo(number + 7, EXPORT | LOOPBACK))
                    case _:
                        giver.send(peer.resolve(number + 7, export))
                await quiet()
                victim = giver if "unasked" in what and not harmless else receiver
                assert isinstance(victim.session.error, GarbageFrame) is not harmless
                assert await other.do(3) == 3
                if harmless:
                    receiver.session.peer.exports.release(export, 1)
                    assert of(one.proxy).state == IMPORTED
            assert await other.do(4) == 4

    run(main)


@BY
@ON
@pytest.mark.parametrize("who", ["receiver", "giver"])
def test_the_end_of_a_session_in_the_midst_lets_what_waits_go_on(
    kernel: str, by: str, who: str
) -> None:
    """Calls behind the embargo are for an object that is here, and are made; those on the longer
    way were made or fail; each once, in order, and everything is given back."""
    met = {"made": 0, "failed": 0, "waited": 0}

    async def main(gaps: tuple[int, ...], world: World) -> None:
        async with handed(world, by, end=False) as one:
            one.gate.open.set()
            calls = []
            for n in range(4):
                calls.append((of(one.proxy).state, one.proxy.tell(n)))
                await turns(gaps[n])
            (one.receiver if who == "receiver" else one.giver).session.close(
                SessionClosed("in the midst")
            )
            for state, call in calls:
                try:
                    await call
                    met["made"] += 1
                except RpcError:
                    assert state == IMPORTED
                    met["failed"] += 1
                met["waited"] += state == EMBARGOED
            assert one.own.told == sorted(set(one.own.told))

    def told(record: logging.LogRecord) -> bool:
        # What was to be passed on as the session ended has a caller no more.
        return not record.getMessage().startswith("'_later' failed")

    logger = logging.getLogger("pinfut.executor")
    logger.addFilter(told)
    try:
        for gaps, late in product(((0, 0, 0), (2, 0, 0), (4, 1, 0), (6, 0, 1)), range(5)):
            run(partial(main, (*gaps, late)), kernel=KERNELS[kernel])
    finally:
        logger.removeFilter(told)
    require(covered(f"resolves cut short, {kernel} {by} {who}", **met), *met)
