"""Shared state: stored once, and paid in full by everybody who subscribes to it.

If the price were shared, those who stay would pay more when somebody leaves. Here nobody's charge
depends on who else is there; the server, which stores it once, is paid as often as it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, final

from pinfut.rpc.errors import SessionDead
from pinfut.rpc.session.charging import charge, keep
from pinfut.rpc.session.conversation import Conversation
from pinfut.rpc.session.kept import ClientRef

T = TypeVar("T")


@final
class SharedState(Generic[T]):
    """A value of `size` bytes that is made when the first subscribes, and dropped when the last
    has gone; between these it is there once."""

    __slots__ = ("_make", "_refs", "size")

    def __init__(self, make: Callable[[], T], size: int) -> None:
        self._make = make
        self.size = size
        # One for each subscriber, which pays for it; those that are over until the next look.
        # Nothing but these holds the value, so that it goes with the last of them.
        self._refs: dict[ClientRef[T], None] = {}

    @property
    def subscribers(self) -> int:
        """How many pay for it now."""
        self._sweep()
        return len(self._refs)

    @property
    def stored(self) -> bool:
        """Whether the value is kept at all."""
        return self.subscribers > 0

    def subscribe(self, session: Conversation) -> ClientRef[T]:
        """The client of `session` pays for all of it from now on, until the ref is dropped or
        the session ends. Raises OutOfPages and SessionDead; then nothing was made."""
        self._sweep()
        with charge(session):
            ref: ClientRef[Any] = keep(self, self.size)
        try:
            ref.set(next(iter(self._refs)).get() if self._refs else self._make())
        except BaseException:
            ref.drop()
            raise
        self._refs[ref] = None
        return ref

    def leave(self, ref: ClientRef[T]) -> None:
        """One subscriber goes; the others pay what they paid."""
        ref.drop()
        self._sweep()

    def value(self, ref: ClientRef[T]) -> T:
        """The value, for a subscriber. Raises SessionDead for one that is gone."""
        if ref not in self._refs:
            raise SessionDead("this subscription is over")
        return ref.get()

    def _sweep(self) -> None:
        for ref in [one for one in self._refs if not one.alive]:
            del self._refs[ref]
