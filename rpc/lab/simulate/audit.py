"""Audit: what has to hold between any two operations, read from the structures themselves.

Nothing is asked of the code under test: sums are made again from what is owned.
"""

from __future__ import annotations

import sys
from typing import Any, Final, cast

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.funds import CAPS
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.bank.share import Share
from pinfut.rpc.errors import ProtocolError
from pinfut.rpc.kernel.sim.channel import Channel
from pinfut.rpc.lab.simulate.broken import Broken
from pinfut.rpc.lab.simulate.world import SERVICES, World
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.session.session import Session
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
        for bank in _with_those_above(world.moved):
            _audit_bank(bank, set())
    world.moved.clear()
    for name in SERVICES:
        vat = world.servers[name]
        if vat._task.done:
            raise Broken("servers run on", f"{vat.process}: {vat._task.error()!r}")
        for session in vat.sessions:
            if _moved(world, session):
                audit_session(world, session)
    for client in world.clients:
        for name, root in client.roots.items():
            session = root.session
            if not _moved(world, session):
                continue
            audit_session(world, session)
            last = session.peer.questions._last
            if last < root.last:
                raise Broken("no live id reused", f"{last} comes after {root.last}")
            root.last = last
            if session.error is None:
                other = world.server_of(root, name)
                if other is not None:
                    _audit_running(session, other)


def _moved(world: World, session: Session) -> bool:
    """Whether a count of the session is another than when it was looked at last."""
    questions, account = session.peer.questions, session.end.account
    stamp = (
        questions._last,
        len(questions.free),
        account.free,
        account.used,
        session.error is None,
        len(_free_places(session)),
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
            if kind is Share:
                pages += thing.pages
                caps += thing.caps
            elif kind is Region:
                pages += thing.pages
            elif kind is Channel:
                if not thing.funds.released:
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
    if taken != len(questions):
        raise Broken("outbound below outstanding", f"{taken} taken and {len(free)} free slots")
    if session.out.waiting:
        world.met("a ring was full")
    if session.out.backlog.calls:
        world.met("slots were full")
    places = _free_places(session)
    if len(set(places)) != len(places):
        raise Broken("one owner", f"a place for answers of {session.name} is free twice")
    error = session.error
    if error is not None:
        if isinstance(error, ProtocolError) and session.name not in world.spoiled:
            raise Broken("honest sides keep to the protocol", f"{session.name}: {error}")
        return
    _audit_account(session)
    channel = world.kernel.channel_of(session.end)
    if channel is not None and not channel.doomed:
        share, account = channel.funds.share(session.end.serving), cast(Any, session.end.account)
        if share.alive and (share.pages, share.caps) != (account.pages, account.caps):
            raise Broken(
                "owned is bought",
                f"{share!r}, and the account of {session.name} knows of {account.pages} pages and "
                f"{account.caps} caps",
            )
    if session.end.serving and channel is not None and not channel.doomed:
        _audit_charged(session)
    if channel is not None:
        _audit_slots(world, session, channel)


def _free_places(session: Session) -> list[int]:
    submissions: Any = session.out.submissions if session.out.opened else None
    return [] if submissions is None else list(submissions.places)


def _audit_account(session: Session) -> None:
    account: Any = session.end.account
    if not (0 <= account.free <= account.pages * PAGE and 0 <= account.free_caps <= account.caps):
        raise Broken(
            "one owner",
            f"the account of {session.name} has {account.free} bytes and {account.free_caps} caps "
            f"of {account.pages} pages and {account.caps} caps",
        )


def _audit_charged(session: Session) -> None:
    end, peer = session.end, session.peer
    held = prices.SESSION
    held += peer.exports.charged + peer.imports.charged
    for answer in session._calls_in.running.all():
        # What a handler costs at least, whatever its answer says was charged: the bound that was
        # declared, or its task and the outermost of its frames.
        least = answer.served.frame
        if answer.served.declared_frame is None:
            least = min(least, prices.TASK + sys.getsizeof(answer.task._coro))
        held += max(answer.charged, least)
    if session._kept is not None:
        held += session._kept.bytes
    if end.account.used < held:
        raise Broken(
            "charged covers held", f"{session.name} holds {held} bytes, charged {end.account.used}"
        )


def _audit_slots(world: World, session: Session, channel: Channel) -> None:
    """What a side has written down for its slots is paid."""
    serving = session.end.serving
    tables = (session.peer.questions._slots, serving), (session.peer.answers, not serving)
    for table, lane in tables:
        if table and len(table) * prices.SLOT > channel.lanes[lane]._tables.pages * PAGE:
            raise Broken("charged covers held", f"{session.name} has {len(table)} slots unpaid")
    if session.out.opened:
        out = session.out.submissions
        before = world.sizes.get(session, (out.slots, out.capacity))
        world.sizes[session] = now = out.slots, out.capacity
        for old, new, what in zip(before, now, ("slots", "a ring"), strict=True):
            if new != old:
                world.met(f"{what} grew" if new > old else f"{what} shrank")


def _audit_running(client: Session, server: Session) -> None:
    """What runs at the server is outstanding at the client: its slot is not another's."""
    for answer in server._calls_in.running.all():
        slot = client.peer.questions.peek(answer.x)
        if slot is None:
            raise Broken(
                "outbound below outstanding",
                f"call {answer.x} of {server.name} runs, and its slot is free",
            )
