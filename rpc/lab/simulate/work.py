"""Work: what clients do, each kind with how often it is drawn."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from pinfut.coroutine import yield_now
from pinfut.executor import sleep, timeout
from pinfut.rpc.errors import RpcError
from pinfut.rpc.lab.simulate.plan import Op
from pinfut.rpc.lab.simulate.service import NESTED, UNIT, NodeServer, value_of
from pinfut.rpc.lab.simulate.world import PATIENCE, SERVICES, Client, Held, World
from pinfut.rpc.session.introduce import introduce
from pinfut.rpc.session.session import Session

SIZES: Final = (0, 1, 20, 100, 100, 900, 1500, 3000, 9000)
"""Bytes that a read asks for."""

ENDLESS: Final = 1 << 40
"""Units that a handler takes which nobody waits out."""

MOST_HELD: Final = 16
"""Capabilities that a client holds at most."""

Doing = Callable[[World, Op, Client], None]


class Kind(NamedTuple):
    """A kind of operation: how often it is drawn, beside others, and what is done."""

    weight: int
    do: Doing


WORK: Final[dict[str, Kind]] = {}
"""All kinds of work, by name."""


def work(name: str, weight: int) -> Callable[[Doing], Doing]:
    """Enter a kind of work."""

    def enter(do: Doing) -> Doing:
        WORK[name] = Kind(weight, do)
        return do

    return enter


def name_of(op: Op) -> str:
    """The service that an operation is about."""
    return SERVICES[op.a & 1]


# ---- calls ----


@work("read", 20)
def _read(world: World, op: Op, client: Client) -> None:
    _call_read(world, op, client, world.root(client, name_of(op)).held)


@work("use", 8)
def _use(world: World, op: Op, client: Client) -> None:
    """Call an object that is held, which may be a promise still."""
    held = client.held[op.a % len(client.held)] if client.held else None
    _call_read(world, op, client, held or world.root(client, name_of(op)).held)


@work("deadline", 2)
def _deadline(world: World, op: Op, client: Client) -> None:
    held = world.root(client, name_of(op)).held
    _call_read(world, op, client, held, limit=op.b % 3 * UNIT)


def _call_read(
    world: World, op: Op, client: Client, held: Held, limit: float = PATIENCE, wait: float = 0.0
) -> None:
    tag, size = client.tag(), SIZES[op.b % len(SIZES)]
    promise = held.proxy.read(tag, size, op.b >> 8 & 3, op.c == 2)
    held.sent.append(tag)
    if op.c == 3 and limit == PATIENCE and not wait:
        world.open.add(tag)
        world.end(tag, "dropped")
        return
    world.begin(client, tag, ends(world, tag, promise, value_of(tag, size), limit, wait))


@work("endless", 1)
def _endless(world: World, op: Op, client: Client) -> None:
    """A call that would take forever, and is given up soon."""
    held = world.root(client, name_of(op)).held
    tag = client.tag()
    promise = held.proxy.read(tag, 8, ENDLESS, False)
    held.sent.append(tag)
    limit = (1 + op.b % 3) * UNIT
    world.begin(client, tag, ends(world, tag, promise, value_of(tag, 8), limit))


@work("slow", 2)
def _slow(world: World, op: Op, client: Client) -> None:
    """Take an answer long after it has come."""
    _call_read(world, op, client, world.root(client, name_of(op)).held, wait=20 * UNIT)


@work("chain", 6)
def _chain(world: World, op: Op, client: Client) -> None:
    """Calls on what earlier calls will give, all sent at once."""
    node = world.root(client, name_of(op)).held
    for _ in range(1 + op.b % 3):
        node = _child(world, op, client, node)
        world.met("pipelined")
    tag, size = client.tag(), SIZES[op.b % len(SIZES)]
    promise = node.proxy.read(tag, size, 0, False)
    node.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, value_of(tag, size)))


def _child(world: World, op: Op, client: Client, node: Held) -> Held:
    tag = client.tag()
    child = Held(node.session, node.proxy.child(tag, op.b >> 8 & 3))
    node.sent.append(tag)
    world.sent.append(child.sent)
    return child


@work("store", 3)
def _store(world: World, op: Op, client: Client) -> None:
    """Have something kept, and used in a pin scope."""
    held = world.root(client, name_of(op)).held
    tag = client.tag()
    promise = held.proxy.store(tag, op.b % 3000, bytes(op.a % 150))
    held.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, tag))


@work("share", 3)
def _share(world: World, op: Op, client: Client) -> None:
    """Subscribe to what the server stores once for all, or end a subscription."""
    held = world.root(client, name_of(op)).held
    tag = client.tag()
    promise = held.proxy.share(tag, op.b)
    held.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, tag))


@work("nest", 2)
def _nest(world: World, op: Op, client: Client) -> None:
    """A call whose handler calls a server, another or its own, on behalf of its caller."""
    held = world.root(client, name_of(op)).held
    tag = client.tag()
    promise = held.proxy.nest(tag, SERVICES[op.b & 1])
    held.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, value_of(tag + NESTED, 8), told=True))


# ---- capabilities ----


@work("hold", 4)
def _hold(world: World, op: Op, client: Client) -> None:
    if len(client.held) < MOST_HELD:
        client.held.append(_child(world, op, client, world.root(client, name_of(op)).held))


@work("same", 3)
def _same(world: World, op: Op, client: Client) -> None:
    """Have an object that is held handed out once more, and sometimes call it at once."""
    held = client.held[op.a % len(client.held)] if client.held else None
    held = held or world.root(client, name_of(op)).held
    tag = client.tag()
    again = Held(held.session, held.proxy.same(tag))
    held.sent.append(tag)
    world.sent.append(again.sent)
    if op.b % 3 == 0:
        tag, again_sent = client.tag(), again.sent
        promise = again.proxy.read(tag, 8, 0, False)
        again_sent.append(tag)
        world.begin(client, tag, ends(world, tag, promise, value_of(tag, 8)))
    elif len(client.held) < MOST_HELD:
        client.held.append(again)


@work("several", 2)
def _several(world: World, op: Op, client: Client) -> None:
    """Have objects in a list, one of them twice."""
    held = client.held[op.a % len(client.held)] if client.held else None
    held = held or world.root(client, name_of(op)).held
    tag = client.tag()
    promise = held.proxy.several(tag)
    held.sent.append(tag)
    world.begin(client, tag, _take_several(world, tag, client, held.session, promise))


async def _take_several(
    world: World, tag: int, client: Client, session: Session, promise: Any
) -> None:
    try:
        first, again, last = await promise
    except (CancelledError, RpcError) as error:
        world.ended_by(tag, error)
        return
    if first is not again or first is last:
        world.book.breaks("a value is its caller's", f"call {tag} got others than it should")
    for proxy in (first, last):
        if len(client.held) < MOST_HELD:
            client.held.append(Held(session, proxy))
            world.sent.append(client.held[-1].sent)
    world.end(tag, "value")


@work("drop", 4)
def _drop(world: World, op: Op, client: Client) -> None:
    if client.held:
        client.held.pop(op.a % len(client.held))
        world.met("dropped")


@work("visit", 3)
def _visit(world: World, op: Op, client: Client) -> None:
    """Pass a promise of the other side's as an argument."""
    held = world.root(client, name_of(op)).held
    given = _child(world, op, client, held)
    _call_visit(world, client, held, given.proxy)


@work("give", 2)
def _give(world: World, op: Op, client: Client) -> None:
    """Pass an object of one's own as an argument."""
    _call_visit(world, client, world.root(client, name_of(op)).held, NodeServer(world.book))


def _call_visit(world: World, client: Client, held: Held, given: Any) -> None:
    tag = client.tag()
    promise = held.proxy.visit(tag, given)
    held.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, tag))


@work("introduce", 2)
def _introduce(world: World, op: Op, client: Client) -> None:
    """Hand an object of one service to the other, which is a third party."""
    near = world.root(client, "a").held
    far = world.root(client, "b").held
    if op.a & 1:
        near, far = far, near
    tag = client.tag()
    world.begin(client, tag, _introduced(world, tag, client, near, far))


async def _introduced(world: World, tag: int, client: Client, given: Held, to: Held) -> None:
    try:
        at_other = await introduce(given.proxy, to.proxy)
        mark = client.tag()
        promise = to.proxy.visit(mark, at_other)
        to.sent.append(mark)
        if await promise != mark:
            world.book.breaks("a value is its caller's", f"call {mark} got another's")
    except (CancelledError, RpcError) as error:
        # The server that is visited may find the other one gone.
        world.ended_by(tag, error, told=True)
    else:
        world.met("introduced")
        world.end(tag, "value")


# ---- events ----


@work("watch", 2)
def _watch(world: World, op: Op, client: Client) -> None:
    """Subscribe to a source."""
    root = world.root(client, name_of(op))
    if root.events is None:
        return
    try:
        key = root.events.open()
    except ValueError:
        return  # all places are in use
    root.armed[key] += 1
    tag = client.tag()
    promise = root.held.proxy.watch(tag, key)
    root.held.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, tag))


@work("post", 4)
def _post(world: World, op: Op, client: Client) -> None:
    """The servers have news, several at once sometimes."""
    for _ in range(1 + op.b % 4):
        world.post()


@work("hush", 1)
def _hush(world: World, op: Op, client: Client) -> None:
    """A source ends."""
    world.hush(op.b)


# ---- the rest ----


@work("let", 12)
def _let(world: World, op: Op, client: Client) -> None:
    """Let some time pass; see `simulate`."""


@work("refill", 4)
def _refill(world: World, op: Op, client: Client) -> None:
    client.bank.refill(op.a % 60, op.b % 40)


@work("trim", 2)
def _trim(world: World, op: Op, client: Client) -> None:
    """Make the memory for answers smaller while calls are on their way."""
    root = client.roots.get(name_of(op))
    if root is not None:
        root.session.trim()


@work("cancel", 3)
def _cancel(world: World, op: Op, client: Client) -> None:
    """Cancel a call, wherever it waits, now or some steps later."""
    client.tasks = [one for one in client.tasks if one[0] in world.open]
    if client.tasks:
        tag, task = client.tasks[op.a % len(client.tasks)]

        def give_up() -> None:
            if tag in world.open and task.cancel():
                world.met("cancelled")

        if op.b % 4:
            world.run_aside(steps_later(op.b % 4, give_up))
        else:
            give_up()


async def steps_later(steps: int, happen: Callable[[], None]) -> None:
    """Have something happen after so many turns."""
    for _ in range(steps):
        await yield_now()
    happen()


@work("leave", 1)
def _leave(world: World, op: Op, client: Client) -> None:
    world.leave(client, name_of(op))


async def ends(
    world: World,
    tag: int,
    promise: Any,
    expected: object,
    limit: float = PATIENCE,
    wait: float = 0.0,
    told: bool = False,
) -> None:
    """Await a call, and note how it ended. `told`: its handler may raise what is its own."""
    try:
        if wait:
            await sleep(wait)
        if limit < PATIENCE:
            with timeout(limit):
                value = await promise
        else:
            value = await promise
    except TimeoutError:
        world.end(tag, "too late")
    except (CancelledError, RpcError) as error:
        world.ended_by(tag, error, told)
    else:
        if value != expected:
            world.book.breaks("a value is its caller's", f"call {tag} got {value!r:.60}")
        world.end(tag, "value")
