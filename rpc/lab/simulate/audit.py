"""Audit: what has to hold between any two operations, read from the structures themselves.

Nothing is asked of the code under test: sums are made again from what is owned.
"""

from __future__ import annotations

from typing import Any, Final

from pinfut.rpc.errors import ProtocolError
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.bank import PAGE, Bank
from pinfut.rpc.kernel.channel import CAPS, Channel
from pinfut.rpc.kernel.pages import Region
from pinfut.rpc.kernel.purse import Purse
from pinfut.rpc.kernel.reservation import Reservation
from pinfut.rpc.lab.simulate.broken import Broken
from pinfut.rpc.lab.simulate.world import SERVICES, World
from pinfut.rpc.session import Session
from pinfut.slots import FREE

WHOLE: Final = 16
"""Every so many operations everything is looked at, also what seems to be as it was."""


def audit(world: World, whole: bool = False) -> None:
    """Raises Broken unless everything holds that has to hold between two operations.

    Looked at are the banks in which something was bought or sold since the last time with all
    banks above, and the sessions of which a count has moved; now and then, and for `whole`, all.
    """
    if world.book.broken is not None:
        raise world.book.broken
    early = world.early_signal()
    if early is not None:
        raise Broken("publish, then signal", str(early))
    world.audits += 1
    if whole or not world.audits % WHOLE:
        world.stamps.clear()
        _audit_all_banks(world.kernel.root)
    else:
        for bank in _with_those_above(world.changed):
            _audit_bank(bank, set())
    world.changed.clear()
    for name in SERVICES:
        vat = world.servers[name]
        if vat._task.done:
            raise Broken("servers run on", f"{vat.process}: {vat._task.error()!r}")
        for session in vat._sessions.values():
            if _moved(world, session):
                audit_session(world, session)
    for client in world.clients:
        for name, root in client.roots.items():
            session = root.session
            if not _moved(world, session):
                continue
            audit_session(world, session)
            last = session.questions._last
            if last < root.last:
                raise Broken("no live id reused", f"{last} comes after {root.last}")
            root.last = last
            if session.error is None:
                other = world.server_of(root, name)
                if other is not None:
                    _audit_running(session, other)


def _moved(world: World, session: Session) -> bool:
    """Whether a count of the session is another than when it was looked at last."""
    questions, purse, lane = session.questions, session.end.channel.purse, session.lane
    stamp = (
        questions._last,
        len(questions.free),
        purse.free,
        purse.pages,
        session.error is None,
        -1 if lane is None else len(lane.cells.free_small),
    )
    if world.stamps.get(session) == stamp:
        return False
    world.stamps[session] = stamp
    return True


def _with_those_above(banks: dict[Bank, None]) -> dict[Bank, None]:
    """In an order that addresses have no say in: the first that breaks is part of the history."""
    above = dict(banks)
    for bank in banks:
        up = bank._above
        while up is not None and up not in above:
            above[up] = None
            up = up._above
    return above


def _audit_all_banks(root: Bank) -> None:
    seen: set[int] = set()
    left = [root]
    while left:
        bank = left.pop()
        _audit_bank(bank, seen)
        left += bank._children.values()


def _audit_bank(bank: Bank, seen: set[int]) -> None:
    """Raises Broken unless the bank uses exactly what it owns and what those below use, and owns
    nothing twice, nor what is in `seen`."""
    pages = caps = 0
    first: Any
    for first in (bank.objects.first, bank.doomed.first):
        thing = first
        while thing is not None:
            if id(thing) in seen:
                raise Broken("one owner", f"{thing!r} of {bank!r} is owned twice")
            seen.add(id(thing))
            kind = type(thing)
            if kind is Purse:
                _audit_purse(thing)
                pages += thing.pages
                caps += thing.caps
            elif kind is Region:
                pages += thing.pages
            elif kind is Channel:
                if not thing.freed:
                    caps += CAPS
            elif kind is Reservation:
                pages += thing.pages
                caps += thing.caps
            thing = thing._after
    if pages != bank._own_pages or caps != bank._own_caps:
        raise Broken(
            "owned is bought",
            f"{bank!r} bought {bank.own}, and owns {pages} pages and {caps} caps",
        )
    for child in bank._children.values():
        if child.funded:
            pages += child.page_limit
            caps += child.cap_limit
        else:
            pages += child.pages_used
            caps += child.caps_used
    if (pages != bank.pages_used or caps != bank.caps_used) and not bank._unfinished:
        raise Broken("used is the sum", f"{bank!r}, and the sum is {pages} and {caps}")


def _audit_purse(purse: Purse) -> None:
    if not (0 <= purse.free <= purse.pages * PAGE and 0 <= purse.free_caps <= purse.caps):
        raise Broken("one owner", f"{purse!r} has {purse.free} bytes and {purse.free_caps} caps")


def audit_session(world: World, session: Session) -> None:
    """Raises Broken unless what the session holds is charged, and its slots make sense."""
    questions = session.peer.questions
    capacity, free = questions.capacity, questions.free
    taken = 0
    for index, slot in enumerate(questions._slots):
        if slot.state != FREE:
            taken += 1
        if slot.x >= 0 and slot.x % capacity != index:
            raise Broken("no live id reused", f"{slot!r} stands at {index}")
    if taken + len(free) != capacity:
        raise Broken("outbound below outstanding", f"{taken} taken and {len(free)} free slots")
    if session._outbox:
        world.met("a ring was full")
    if session.backlog.calls:
        world.met("slots were full")
    lane = session.lane
    if lane is not None:
        places = lane.cells.free_small
        if len(set(places)) != len(places):
            raise Broken("one owner", f"a place for answers of {session.name} is free twice")
    error = session.error
    if error is not None:
        if isinstance(error, ProtocolError) and session.end not in world.spoiled:
            raise Broken("honest sides keep to the protocol", f"{session.name}: {error}")
        return
    end = session.end
    if end.serving and end.purse.alive and not end.channel.freed:
        _audit_charged(session)


def _audit_charged(session: Session) -> None:
    end, peer = session.end, session.peer
    held = prices.SESSION + end.channel.slots * prices.SLOT
    held += peer.exports.charged + peer.imports.charged
    for answer in session._server._running.values():
        # What a handler costs at least, whatever its answer says was charged.
        held += max(answer.charged, answer.served.frame)
    if session._kept is not None:
        held += session._kept.bytes
    if end.purse.used < held:
        raise Broken(
            "charged covers held", f"{session.name} holds {held} bytes, charged {end.purse.used}"
        )


def _audit_running(client: Session, server: Session) -> None:
    """What runs at the server is outstanding at the client: its slot is not another's."""
    for answer in server._server._running.values():
        slot = client.questions._slots[answer.x % client.questions.capacity]
        if slot.x != answer.x or slot.state == FREE:
            raise Broken(
                "outbound below outstanding",
                f"call {answer.x} of {server.name} runs, and its slot is {slot!r}",
            )
