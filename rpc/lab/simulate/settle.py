"""Settle: the faults stop; everything ends, everybody is served, and every bank is whole."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Final

from pinfut.executor import sleep, timeout
from pinfut.rpc.errors import RpcError
from pinfut.rpc.lab.simulate.audit import audit
from pinfut.rpc.lab.simulate.broken import Broken
from pinfut.rpc.lab.simulate.service import UNIT, value_of
from pinfut.rpc.lab.simulate.world import PATIENCE, SERVICES, Client, World

REST: Final = 20 * UNIT
"""Simulated seconds in which what is on its way has come, and what was dropped is told."""


async def settle(world: World) -> None:
    """Raises Broken unless everything ends within `PATIENCE`, and is whole."""
    world.note("the faults stop")
    world.refusing = -1
    world.delaying = 0
    world.book.sprung.clear()
    for client in world.clients:
        client.bank.refill(1000, 1000)
    try:
        with timeout(PATIENCE):
            await _calls_end(world)
            await _events_come(world)
            await _released(world)
            for client in world.clients:
                for name in SERVICES:
                    await _serve_once(world, client, name)
                for name in SERVICES:
                    world.leave(client, name)
            for task in world.aside:
                await task
            world.aside.clear()
            await sleep(REST)
    except TimeoutError:
        raise Broken("everything ends", f"open: {sorted(world.open)[:5]}") from None
    audit(world, whole=True)
    _whole(world)


async def _calls_end(world: World) -> None:
    for client in world.clients:
        for tag, task in client.tasks:
            try:
                await task
            except CancelledError:
                if not task.done:
                    raise  # patience is at an end
                # Cancelled before its first step, so it has noted nothing.
                if tag in world.open:
                    world.end(tag, "cancelled")
        client.tasks.clear()


async def _events_come(world: World) -> None:
    """Who has asked for an event, and has not seen the newest, sees it."""
    await sleep(REST)
    for client in world.clients:
        for name, root in client.roots.items():
            server = world.server_of(root, name)
            if root.session.error is not None or server is None or root.events is None:
                continue
            for subscription in server.subscriptions.values():
                key = next(
                    (one.key for one in world.book.watched if one.subscription is subscription), -1
                )
                if root.armed[key] > root.delivered[key] and root.seen[key] < subscription.posted:
                    raise Broken(
                        "no wakeup lost",
                        f"{root.session.name} has seen {root.seen[key]} of {subscription.posted} "
                        f"at source {key}, and waits for more",
                    )
                world.met("newest event seen")
            for one in world.book.ended:
                if (
                    one.subscription.session is server
                    and root.armed[one.key] > root.delivered[one.key]
                ):
                    raise Broken(
                        "exactly one last",
                        f"{root.session.name} still waits at source {one.key}, which has ended",
                    )


async def _released(world: World) -> None:
    """Nobody holds anything any more: servers keep their roots and nothing else."""
    for client in world.clients:
        client.held.clear()
    await sleep(REST)
    for client in world.clients:
        for name, root in client.roots.items():
            server = world.server_of(root, name)
            if server is not None and len(server.peer.exports) > 1:
                kept = len(server.peer.exports)
                raise Broken("what is released goes", f"{server.name} keeps {kept} objects")


async def _serve_once(world: World, client: Client, name: str) -> None:
    """Over a session that is new, a call is answered."""
    world.leave(client, name)
    tag = client.tag()
    try:
        value = await world.root(client, name).held.proxy.read(tag, 20, 0, False)
    except RpcError as error:
        raise Broken("servers run on", f"{name} serves nobody: {error}") from error
    if value != value_of(tag, 20):
        raise Broken("a value is its caller's", f"call {tag} got {value!r}")


def _whole(world: World) -> None:
    """The end: nothing open, nothing kept, all in order."""
    if world.open:
        raise Broken("each call ends once", f"{sorted(world.open)} never ended")
    order = world.book.order.items()
    place = {tag: (node, at) for node, tags in order for at, tag in enumerate(tags)}
    for sent in world.sent:
        arrived = [place[tag] for tag in sent if tag in place]
        if arrived != sorted(arrived) or len({node for node, _ in arrived}) > 1:
            raise Broken("E-order", f"sent {sent}, arrived {arrived}")
    for vat in world.servers.values():
        if vat.sessions:
            raise Broken("everything ends", f"{vat.process} keeps {vat.sessions}")
    for client in world.clients:
        if client.bank.pages_used or client.bank.caps_used:
            raise Broken("banks are whole", f"{client.bank!r}, with {client.bank.children}")
