"""Kept: what a service keeps for a client, paid by it, and gone with its session.

A `ClientRef` is the only way to what is kept: after the end of the session nothing is reachable
through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast, final

from pinfut.rpc import prices
from pinfut.rpc.contract import Account
from pinfut.rpc.errors import SessionDead, StillPinned
from pinfut.rpc.session.purse import Purse
from pinfut.stack import require_stack

T = TypeVar("T")

_STACK: Final = 64  # Frames that the end of a session takes at most


@final
class Kept:
    """What one session has had kept for it; it goes when the session has let go."""

    __slots__ = ("_account", "_paid", "_purse", "_then", "alive", "bytes", "discarded", "refs")

    def __init__(self, account: Account, purse: Purse | None = None) -> None:
        self._account = account
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
        self._account.take(count, "what a service keeps for its client")
        self._count(count)

    def give(self, count: int) -> None:
        """Refund it."""
        if self._paid:
            self._account.give(count)
        self._count(-count)

    def _count(self, change: int) -> None:
        self.bytes += change
        if self._purse is not None:
            self._purse.apart += change

    def close(self, then: Callable[[], None] | None) -> bool:
        """The session has ended: everything goes that no pin scope holds, and the rest with its
        scope; then `then` is called. True when all has gone at once. `then` is None when this
        process is dead and the kernel has taken the account."""
        self.alive = False
        self._paid = then is not None
        for ref in list(self.refs):
            ref.revoke()
        if self.refs:
            self._then = then
        return not self.refs

    def forget(self, ref: ClientRef[Any]) -> None:
        """One thing is kept no longer, and its charge was refunded."""
        del self.refs[ref]
        then = self._then
        if then is not None and not self.refs:
            self._then = None
            then()


@final
class ClientRef(Generic[T]):
    """Something that is kept for a client and paid by it: there, or SessionDead, never garbage.
    States: kept ─drop, or the session ends─▶ gone; while a pin scope holds it, after that."""

    __slots__ = ("__weakref__", "_charged", "_kept", "_pins", "_thing", "alive")

    def __init__(self, kept: Kept, thing: T, size: int) -> None:
        self._kept = kept
        self._charged = 0
        # Invariant: None once it is neither alive nor held by a pin scope.
        self._thing: T | None = thing
        self._pins = 0
        # Whether it can still be read; a pin scope that holds it may, until it ends.
        self.alive = True
        self.resize(size)
        kept.refs[self] = None

    def get(self) -> T:
        """What is kept. Raises SessionDead once the session has ended or it was dropped."""
        if not self.alive and not self._pins:
            raise SessionDead("what was kept for this client is gone with its session")
        return cast(T, self._thing)

    def set(self, thing: T) -> bool:
        """Keep something else of at most the same size in its place. Never fails: after the end
        of the session it is discarded and counted, and this gives False."""
        if not self.alive:
            self._kept.discarded += 1
            return False
        self._thing = thing
        return True

    def resize(self, size: int) -> None:
        """Pay for so many bytes from now on. Raises OutOfPages and ValueError, and nothing has
        changed; and StillPinned while a pin scope holds it, since it counts on what was paid."""
        if size < 0:
            raise ValueError(f"a size is 0 bytes or more, not {size}")
        if self._pins:
            raise StillPinned("a pin scope holds this; resize it before or after")
        if not self.alive:
            raise SessionDead("what was kept for this client is gone with its session")
        change = size + prices.KEPT - self._charged
        if change > 0:
            self._kept.take(change)
        else:
            self._kept.give(-change)
        self._charged += change

    def drop(self) -> None:
        """Keep it no longer; its charge is refunded, once, when no pin scope holds it."""
        if self.alive:
            self.revoke()

    def revoke(self) -> None:
        """It ends, now or with the pin scope that holds it."""
        if self._pins:
            self.alive = False
        else:
            self._go()

    def pin(self) -> None:
        """A pin scope holds it. Raises SessionDead."""
        if not self.alive:
            raise SessionDead("what was kept for this client is gone with its session")
        self._pins += 1

    def unpin(self) -> None:
        """The scope is over."""
        if not self.alive and self._pins == 1:
            # With it the session may be over, too.
            require_stack(_STACK)
            self._go()
        self._pins -= 1

    def _go(self) -> None:
        # Refunded first, which may fail.
        self._kept.give(self._charged)
        self.alive = False
        self._thing = None
        self._charged = 0
        self._kept.forget(self)
