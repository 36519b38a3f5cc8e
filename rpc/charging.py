"""Charging: what a service keeps for a client is the client's, and goes with it.

::

    with charge(session):
        ref = keep(report, 2_000)       # the client pays 2,000 bytes for as long as it is kept
    ...
    with Turn([ref, other]) as turn:    # what this piece of work touches, all there or SessionDead
        report = ref.get()              # reads come first, and may fail
        other.set(report.summary())     # then the writes, none of which fails

A `ClientRef` is the only way to what is kept: after the end of the session nothing is reachable
through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar, final

from pinfut.rpc.errors import Pinned, SafetyExceeded, SessionDead
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.bank import Purse
from pinfut.rpc.kernel.owned import Owned
from pinfut.rpc.session import Session

T = TypeVar("T")

SAFETY: Final = 64
"""How many things one turn may touch, unless the server sets aside memory for more."""

_payer: ContextVar[Kept | None] = ContextVar("pinfut_payer", default=None)


@final
class Kept:
    """What one session has had kept for it; it goes when the session has let go."""

    __slots__ = ("_paid", "_purse", "_then", "alive", "bytes", "discarded", "refs")

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._paid = True
        self._then: Callable[[], None] | None = None
        self.alive = True
        # Invariant: the sum of the charges of the refs, each by its owner here.
        self.bytes = 0
        self.refs: dict[ClientRef[Any], None] = {}
        # Writes that came after the end: they change nothing, and are counted.
        self.discarded = 0

    def take(self, count: int) -> None:
        """Charge so much to the session. Raises OutOfPages and SessionDead."""
        if not self.alive:
            raise SessionDead("the session that should pay has ended")
        self._purse.take(count, "what a service keeps for its client")
        self.bytes += count

    def give(self, count: int) -> None:
        """Refund it."""
        self.bytes -= count
        if self._paid:
            self._purse.give(count)

    def close(self, then: Callable[[], None] | None) -> bool:
        """The session has ended: everything goes that no turn uses, and the rest with its turn;
        then `then` is called. True when all has gone at once. `then` is None when this process is
        dead and the kernel has taken the purse."""
        self.alive = False
        self._paid = then is not None
        for ref in list(self.refs):
            ref.revoke()
        if self.refs:
            self._then = then
        return not self.refs

    def forget(self, ref: ClientRef[Any], charged: int) -> None:
        """One thing is kept no longer."""
        del self.refs[ref]
        self.give(charged)
        then = self._then
        if then is not None and not self.refs:
            self._then = None
            then()


@final
class ClientRef(Generic[T]):
    """Something that is kept for a client and paid by it: there, or SessionDead, never garbage.

    States: kept ─drop, or the session ends─▶ gone; while a turn holds it, after the turn.
    """

    __slots__ = ("__weakref__", "_charged", "_kept", "_pins", "_thing", "alive")

    def __init__(self, kept: Kept, thing: T, size: int) -> None:
        if size < 0:
            raise ValueError(f"a size is 0 bytes or more, not {size}")
        kept.take(size + prices.KEPT)
        self._kept = kept
        self._charged = size + prices.KEPT
        # Invariant: None once it is neither alive nor held by a turn.
        self._thing: T | None = thing
        self._pins = 0
        # Whether it can still be read; a turn that holds it may, until it ends.
        self.alive = True
        kept.refs[self] = None

    def get(self) -> T:
        """What is kept. Raises SessionDead once the session has ended or it was dropped."""
        if self._thing is None:
            raise SessionDead("what was kept for this client is gone with its session")
        return self._thing

    def set(self, thing: T) -> bool:
        """Keep something else of at most the same size in its place. Never fails: after the end
        of the session it is discarded and counted, and this gives False."""
        if not self.alive:
            self._kept.discarded += 1
            return False
        self._thing = thing
        return True

    def resize(self, size: int) -> None:
        """Pay for so many bytes from now on. Raises OutOfPages, and nothing has changed; and
        Pinned while a turn holds it, since it counts on what was paid."""
        if self._pins:
            raise Pinned("a turn holds this; resize it before or after")
        if not self.alive:
            raise SessionDead("what was kept for this client is gone with its session")
        change = size + prices.KEPT - self._charged
        if change > 0:
            self._kept.take(change)
        else:
            self._kept.give(-change)
        self._charged += change

    def drop(self) -> None:
        """Keep it no longer; its charge is refunded, once, when no turn holds it."""
        if self.alive:
            self.revoke()

    def revoke(self) -> None:
        """It ends, now or with the turn that holds it."""
        self.alive = False
        if not self._pins:
            self._go()

    def pin(self) -> None:
        """A turn holds it. Raises SessionDead."""
        if not self.alive:
            raise SessionDead("what was kept for this client is gone with its session")
        self._pins += 1

    def unpin(self) -> None:
        """The turn is over."""
        self._pins -= 1
        if not self._pins and not self.alive:
            self._go()

    def _go(self) -> None:
        if self in self._kept.refs:
            self._thing = None
            charged, self._charged = self._charged, 0
            self._kept.forget(self, charged)


@contextmanager
def charge(session: Session) -> Iterator[Kept]:
    """Inside the block, `keep` charges the client of `session`. Raises SessionDead."""
    kept = session.kept()
    if not kept.alive:
        raise SessionDead(f"session {session.name} has ended")
    token = _payer.set(kept)
    try:
        yield kept
    finally:
        _payer.reset(token)


def payer() -> Kept | None:
    """Who pays for what is allocated here; None outside of every `charge` block: the server."""
    return _payer.get()


def keep(thing: T, size: int) -> ClientRef[T]:
    """Keep something for the client that is charged here, which pays `size` bytes for it.

    Raises RuntimeError outside of a `charge` block, OutOfPages, and SessionDead.
    """
    kept = _payer.get()
    if kept is None:
        raise RuntimeError("nobody is charged here; write 'with charge(session):' around this")
    return ClientRef(kept, thing, size)


@final
class Turn:
    """Everything that one piece of work touches, pinned together or not at all.

    ``with Turn([ref, region], safety=64):`` holds each thing until the block ends: a client or
    a bank that goes meanwhile takes nothing from under it. The block must not await. A turn that
    would hold more than `safety` things is refused: that much memory the server has for its own
    safety, and no client can make it take more.
    """

    __slots__ = ("_held", "_things")

    def __init__(self, things: Sequence[ClientRef[Any] | Owned], *, safety: int = SAFETY) -> None:
        if len(things) > safety:
            raise SafetyExceeded(
                f"this touches {len(things)} things, and the server has set memory aside for "
                f"{safety}: split the work, or serve with more"
            )
        self._things = things
        # Invariant: a stack of what is pinned, with the generation that it had; empty outside.
        self._held: list[tuple[ClientRef[Any] | Owned, int]] = []

    def __enter__(self) -> Turn:
        try:
            for thing in self._things:
                if isinstance(thing, Owned) and thing.doomed:
                    raise SessionDead(f"{thing!r} is going with its bank")
                thing.pin()
                self._held.append((thing, getattr(thing, "generation", 0)))
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._release()

    def _release(self) -> None:
        while self._held:
            thing, generation = self._held.pop()
            assert getattr(thing, "generation", 0) == generation, "what was pinned has changed"
            thing.unpin()
