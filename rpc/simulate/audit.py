"""Audit: what has to hold between any two operations, read from the structures themselves.

Nothing is asked of the code under test: sums are made again from what is owned.
"""

from __future__ import annotations

from collections.abc import Iterator

from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.bank import Bank
from pinfut.rpc.kernel.channel import CAPS, Channel
from pinfut.rpc.kernel.owned import Owned
from pinfut.rpc.kernel.pages import Region
from pinfut.rpc.kernel.purse import Purse
from pinfut.rpc.kernel.reservation import Reservation
from pinfut.rpc.session import Session
from pinfut.rpc.simulate.service import Broken
from pinfut.slots import FREE


def audit_banks(root: Bank) -> None:
    """Raises Broken unless each bank uses exactly what it owns and what those below use, and
    everything is owned once."""
    owners: dict[int, str] = {}
    left = [root]
    while left:
        bank = left.pop()
        pages, caps = bank.own
        owned_pages = owned_caps = 0
        for thing in _owned(bank):
            if owners.setdefault(id(thing), bank.name) != bank.name:
                raise Broken("one owner", f"{thing!r} is owned by {bank} and {owners[id(thing)]}")
            owned_pages += _pages(thing)
            owned_caps += _caps(thing)
        if (owned_pages, owned_caps) != (pages, caps):
            raise Broken(
                "owned is bought",
                f"{bank!r} bought {pages} pages and {caps} caps, and owns {owned_pages} and "
                f"{owned_caps}",
            )
        for child in bank._children.values():
            left.append(child)
            pages += child.page_limit if child.funded else child.pages_used
            caps += child.cap_limit if child.funded else child.caps_used
        if not bank._unfinished and (pages, caps) != (bank.pages_used, bank.caps_used):
            raise Broken("used is the sum", f"{bank!r}, and the sum is {pages} and {caps}")


def audit_session(session: Session) -> None:
    """Raises Broken unless what the session holds is charged, and its slots make sense."""
    questions = session.peer.questions
    taken = 0
    for index, slot in enumerate(questions._slots):
        taken += slot.state != FREE
        if slot.index != index or (slot.x >= 0 and slot.x % questions.capacity != index):
            raise Broken("no live id reused", f"{slot!r} stands at {index}")
    free = questions.free
    if taken + len(free) != questions.capacity or len(set(map(id, free))) != len(free):
        raise Broken("outbound below outstanding", f"{taken} taken and {len(free)} free slots")
    if session.lane is not None:
        places = session.lane.cells.free_small
        if len(set(places)) != len(places):
            raise Broken("one owner", f"a place for answers of {session.name} is free twice")
    end = session.end
    if not end.serving or session.error is not None:
        return
    purse = end.purse
    if not purse.alive or end.channel.freed:
        return
    held = prices.SESSION + end.channel.slots * prices.SLOT
    held += session.peer.exports.charged + session.peer.imports.charged
    held += sum(answer.charged for answer in session._server._running.values())
    if purse.used < held:
        raise Broken("charged covers held", f"{session.name} holds {held}, charged {purse.used}")


def _owned(bank: Bank) -> Iterator[Owned]:
    for things in (bank.objects, bank.doomed):
        thing = things.first
        while thing is not None:
            yield thing
            thing = thing._after


def _pages(thing: Owned) -> int:
    return thing.pages if isinstance(thing, Region | Purse | Reservation) else 0


def _caps(thing: Owned) -> int:
    if isinstance(thing, Channel):
        return 0 if thing.freed else CAPS
    return thing.caps if isinstance(thing, Purse | Reservation) else 0
