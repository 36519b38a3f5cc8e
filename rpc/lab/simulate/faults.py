"""Faults: what goes wrong, each kind with how often it is drawn beside the others.

Some come at once, some a few steps later while tasks are between two steps, and some
inside of the next pin scope of a handler.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any, Final

from pinfut.executor import sleep
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.contract import SessionSpec
from pinfut.rpc.errors import BankError, SessionClosed
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.lab.simulate.plan import Op
from pinfut.rpc.lab.simulate.service import UNIT
from pinfut.rpc.lab.simulate.work import Doing, Kind, ends, name_of, steps_later
from pinfut.rpc.lab.simulate.world import SERVICES, Client, World
from pinfut.rpc.wire.frames import CALL_HEAD, RELEASE_FRAME, RETURN_HEAD, SENDER, SHORT, Cap

FAULTS: Final[dict[str, Kind]] = {}
"""All kinds of faults, by name."""


def fault(name: str, weight: int) -> Callable[[Doing], Doing]:
    """Enter a kind of fault."""

    def enter(do: Doing) -> Doing:
        FAULTS[name] = Kind(weight, do)
        return do

    return enter


def _some_time(world: World, op: Op, client: Client, happen: Callable[[], None]) -> None:
    """Now, inside the client's next pin scope at a server, or some steps later."""
    if op.c == 0:
        happen()
    elif op.c == 1:

        def in_turn() -> None:
            world.met("in a turn")
            happen()

        world.book.sprung[client.number] = in_turn
    else:
        world.run_aside(steps_later(op.b % 5, happen))


# ---- memory ----


@fault("refuse", 8)
def _refuse(world: World, op: Op, client: Client) -> None:
    """One of the next allocations is refused, whosever it is."""
    world.refusing = op.b % 6


@fault("cut", 4)
def _cut(world: World, op: Op, client: Client) -> None:
    """A bank's limit falls, below what is used as well."""

    def happen() -> None:
        client.bank.refill(-(op.a % 40), -(op.b % 20))

    _some_time(world, op, client, happen)


@fault("destroy", 1)
def _destroy(world: World, op: Op, client: Client) -> None:
    """The bank that pays for a session is destroyed."""

    def happen() -> None:
        root = client.roots.get(name_of(op))
        if root is not None:
            world.raze(root.bank)

    _some_time(world, op, client, happen)


# ---- processes ----


@fault("hang-up", 1)
def _hang_up(world: World, op: Op, client: Client) -> None:
    """The server ends a session."""

    def happen() -> None:
        root = client.roots.get(name_of(op))
        server = None if root is None else world.server_of(root, name_of(op))
        if server is not None:
            server.close(SessionClosed("the server hung up"))

    _some_time(world, op, client, happen)


@fault("crash-client", 1)
def _crash_client(world: World, op: Op, client: Client) -> None:
    _some_time(world, op, client, lambda: world.crash(client))


@fault("crash-server", 1)
def _crash_server(world: World, op: Op, client: Client) -> None:
    def happen() -> None:
        first, second = SERVICES if op.a & 1 else SERVICES[::-1]
        for name in (first, second) if op.b % 4 == 0 else (first,):
            world.servers[name].kill()
            world.start(name)

    # A handler cannot outlive its process, so not inside a pin scope.
    if op.c == 1:
        happen()
    else:
        _some_time(world, op, client, happen)


@fault("raise", 3)
def _raise(world: World, op: Op, client: Client) -> None:
    """A handler raises."""
    held = world.root(client, name_of(op)).held
    tag = client.tag()
    promise = held.proxy.fail(tag)
    held.sent.append(tag)
    world.begin(client, tag, ends(world, tag, promise, None, told=True))


# ---- signals and time ----


@fault("spurious", 3)
def _spurious(world: World, op: Op, client: Client) -> None:
    """Both sides are woken, and there is nothing."""
    for end in _ends_of(world, client, op):
        end.process.nudge(end.handle & 0xFFFF_FFFF)
    root = client.roots.get(name_of(op))
    if root is not None and root.events is not None:
        root.events.notification.signal(op.b % root.events.shape.places)
        root.events.notification.wake()


@fault("again", 3)
def _again(world: World, op: Op, client: Client) -> None:
    """Signals come more than once."""
    for end in _ends_of(world, client, op):
        for _ in range(1 + op.b % 3):
            world.signal_idly(end)


@fault("delay", 4)
def _delay(world: World, op: Op, client: Client) -> None:
    """The next signals come late, and so in another order."""
    world.delaying = 1 + op.a % 6
    world.delay = op.b % 5


@fault("partial", 3)
def _partial(world: World, op: Op, client: Client) -> None:
    """What is written so far is made visible before the turn has ended."""
    for name in client.roots:
        client.roots[name].session.out.flush()


@fault("jump", 2)
def _jump(world: World, op: Op, client: Client) -> None:
    """The clock jumps."""
    world.clock.advance(op.a % 8 * UNIT)


# ---- hostile bytes ----


@fault("corrupt", 1)
def _corrupt(world: World, op: Op, client: Client) -> None:
    """A count in shared memory is written over: of a ring or of its completions."""
    ends_ = _ends_of(world, client, op)
    if not ends_:
        return
    end = ends_[0]
    channel = world.kernel.channel_of(end)
    assert channel is not None
    world.spoiled.add(end.name)
    lane = channel.lanes[0]
    at = 0 if op.c == 3 else 8 * (1 + lane.slots) + 8 * (op.b & 1)
    lane.memories[0][at : at + 8] = (op.a << 20 | 5).to_bytes(8, "little")
    world.signal_idly(ends_[0])


@fault("garbage", 2)
def _garbage(world: World, op: Op, client: Client) -> None:
    """A peer that writes what it likes, and leaves some time later."""
    client.sessions += 1
    bank = client.bank.child(f"session {client.sessions}", pages=1000)
    process = world.kernel.process("garbage")
    try:
        end = world.kernel.connect(process, name_of(op), bank, SessionSpec(slots=2, ring=1024))
    except BaseException:
        bank.close()
        raise
    world.spoiled.add(end.name)
    rng = random.Random(op.a << 16 | op.b)
    submissions = end.submissions()
    for _ in range(1 + op.c):
        frame, caps = _frame(rng)
        if caps < 10:
            # Its own, whatever it calls them; of more, and where it cannot pay, it only says so.
            with suppress(BankError):
                end.hand_over([Cap(SENDER, n, n) for n in range(caps)])
        submissions.submit(frame)
    end.publish()
    world.run_aside(_close_later(end, bank))


_FRAMES: Final[tuple[tuple[tuple[int, ...], Struct], ...]] = (
    ((1, 6, 7, 8, 9), CALL_HEAD),
    ((2,), RETURN_HEAD),
    ((3, 5), SHORT),
    ((4,), RELEASE_FRAME),
)


def _frame(rng: random.Random) -> tuple[bytes, int]:
    """A frame that is well-formed in its length, and often in its kind; and how many capabilities
    it says that it has."""
    kinds, head = rng.choice(_FRAMES)
    body = rng.randbytes(rng.choice((0, 0, 3, 17, 40)))
    fields = head.unpack(bytes(head.size))
    numbers = [rng.choice((0, 0, 1, 1, 2, 5, 255)) for _ in fields]
    numbers[0] = head.size + len(body)
    numbers[1] = rng.choice(kinds) if rng.random() < 0.9 else rng.randrange(256)
    return head.pack(*numbers) + body, numbers[-1] if head is CALL_HEAD else 0


async def _close_later(end: SimEndpoint, bank: Bank) -> None:
    await sleep(3 * UNIT)
    end.close()
    await end.wait_freed()
    bank.close()


def _ends_of(world: World, client: Client, op: Op) -> list[SimEndpoint]:
    """Both ends of the client's session, the ones that nobody has let go of."""
    root = client.roots.get(name_of(op))
    if root is None:
        return []
    here: Any = root.session.end
    there = world.kernel.peer_of(here)
    return [one for one in (here, there) if one is not None and not one.released]
