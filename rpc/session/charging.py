"""Charging: what a service keeps for a client is the client's, and goes with it.

::

    with charge(session):
        ref = keep(report, 2_000)       # the client pays 2,000 bytes for as long as it is kept
    ...
    with PinScope([ref, other]):    # what this piece of work touches, all there or SessionDead
        report = ref.get()              # reads come first, and may fail
        other.set(report.summary())     # then the writes, none of which fails

Where several things are touched, a `PinScope` holds them all, or is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol, TypeVar, final

from pinfut.rpc.errors import SafetyExceeded, SessionDead
from pinfut.rpc.session.conversation import Conversation
from pinfut.rpc.session.kept import ClientRef, Kept

T = TypeVar("T")

SAFETY: Final = 64
"""How many things one pin scope may touch, unless the server sets aside memory for more."""

_payer: ContextVar[Kept | None] = ContextVar("pinfut_payer", default=None)


@contextmanager
def charge(session: Conversation) -> Iterator[Kept]:
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
    """Keep something for the client that is charged here, which pays `size` bytes for it. Raises
    RuntimeError outside of a `charge` block, OutOfPages, and SessionDead."""
    kept = _payer.get()
    if kept is None:
        raise RuntimeError("nobody is charged here; write 'with charge(session):' around this")
    return ClientRef(kept, thing, size)


class Pinnable(Protocol):
    """What can be held where it is: a `ClientRef`, or memory of a bank."""

    def pin(self) -> None:
        """Hold it. Raises SessionDead."""

    def unpin(self) -> None:
        """Hold it no more."""


@final
class PinScope:
    """Everything that one piece of work touches, pinned together or not at all.

    ``with PinScope([ref, region], safety=64):`` holds each thing until the block ends: a client or
    a bank that goes meanwhile takes nothing from under it. The block must not await. A scope that
    would hold more than `safety` things is refused: that much memory the server has for its own
    safety, and no client can make it take more. Nor does one scope hold two pieces of work: it is
    entered again when it has ended, and RuntimeError before."""

    __slots__ = ("_entered", "_held", "_things")

    def __init__(self, things: Sequence[Pinnable], *, safety: int = SAFETY) -> None:
        if len(things) > safety:
            raise SafetyExceeded(
                f"this touches {len(things)} things, and the server has set memory aside for "
                f"{safety}: split the work, or serve with more"
            )
        self._things = things
        # Invariant: a stack of what is pinned, with the generation that it had; empty outside.
        self._held: list[tuple[Pinnable, int]] = []
        self._entered = False

    def __enter__(self) -> PinScope:
        if self._entered:
            raise RuntimeError("this pin scope is entered already; make another one inside")
        self._entered = True
        try:
            for thing in self._things:
                if getattr(thing, "doomed", False):
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
        self._entered = False
        while self._held:
            thing, generation = self._held.pop()
            assert getattr(thing, "generation", 0) == generation, "what was pinned has changed"
            thing.unpin()
