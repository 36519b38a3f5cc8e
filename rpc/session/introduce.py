"""Introductions: a capability of one server handed to another, which then calls it directly.

The client C holds an object at A and a session with B, and has B reach the object::

    C                        A                        B
    Provide(object, route) ─▶ keeps it for the route
            ◀── number, provision
    Take(route, number) ────────────────────────────▶
                             ◀──── Accept(number) ────  over the route, A and B alone
                              hands the object out ──▶
            ◀──────────────────────── B's own proxy, as B's object
    drops the provision ────▶ forgets it

The route is a channel between A and B that C has the kernel make, once for each pair of
C's sessions. Its pages, A's entries and B's calls are paid by the bank of C's session with
A, under a ceiling; what B holds is paid by the session with B. It ends with either.
The frames and their names are those of level 3 of Cap'n Proto's `rpc.capnp`."""

from __future__ import annotations

import copy
from typing import Any, Final, Protocol, TypeVar, final

from pinfut.executor.contract import Runner
from pinfut.rpc.contract import Endpoint, Route
from pinfut.rpc.errors import ForeignCapability, InterfaceMismatch, RpcError, UnknownObject
from pinfut.rpc.objects.capabilities import narrowed
from pinfut.rpc.objects.interface import Interface, interface_by_id, method, resolve
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import IMPORTED, Caller, Target, again
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.conversation import Introduced
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.exports import Facet

I = TypeVar("I", bound=Interface)  # noqa: E741

PAGES: Final = 64
"""The most pages that one route may take of the bank that pays for it."""


class Provision(Interface, Protocol, name="pinfut.provision"):
    """An object that is kept for somebody; the holder of this can take it back by letting go."""


class Introducing(Interface, Protocol, name="pinfut.introducing"):
    """What every side of a session does for introductions; one method for each frame."""

    @method
    async def provide(self, route: int) -> tuple[int, Provision]: ...
    @method
    async def accept(self, number: int) -> Interface: ...
    @method
    async def take(self, route: int, number: int, interface: int) -> Interface: ...


@final
class Provided(Provision):
    """Keeps a facet at A as long as C holds this, or until it is accepted."""

    def __init__(self, facet: Facet) -> None:
        self.facet = facet


@final
class Introducer(Introducing):
    """Handles one frame that came over `session`; `called` is what a Provide is for."""

    def __init__(self, session: Introduced, called: Facet | None, executor: Runner) -> None:
        self._session = session
        self._called = called
        self._executor = executor

    @method
    async def provide(self, route: int) -> tuple[int, Provision]:
        """A keeps an object for the one who asks for it over the route."""
        assert self._called is not None
        thing = self._called[0]
        if target_of(thing) is not None:
            raise ForeignCapability(
                f"{thing!r} is served elsewhere; only whose object it is can provide it"
            )
        provided = Provided(self._called)
        return self._session.guest(route).keep(provided), provided

    @method
    async def accept(self, number: int) -> Interface:
        """B asks for what was kept for it. It gets it once."""
        provided = self._session.accept(number)
        if provided is None:
            raise UnknownObject(f"nothing is provided as {number}: it was accepted or taken back")
        return narrowed(provided.facet, self._executor)  # type: ignore[no-any-return]

    @method
    async def take(self, route: int, number: int, interface: int) -> Interface:
        """B is told where an object is: it asks for it there, and answers with its proxy."""
        wanted = interface_by_id(interface)
        if wanted is None:
            raise InterfaceMismatch(
                f"the side that is introduced knows no interface of the id {interface:016x}"
            )
        out = self._session.guest(route).out
        direct = ask(out, frames.ACCEPT, giving(Introducing.accept, wanted), number)
        await direct
        return direct  # type: ignore[no-any-return]


resolve(Introducing)
resolve(Introducer)


def giving(one: Any, interface: Any) -> Method:
    """A method that gives an object, with the interface that is expected of it."""
    other = copy.copy(one)
    other.returns = interface
    return other  # type: ignore[no-any-return]


class Asking(Caller, Protocol):
    """A side of a session that can send other frames than calls."""

    end: Endpoint
    error: RpcError | None

    def call(
        self,
        holder: Any,
        target: Target,
        method: Method,
        args: tuple[Any, ...],
        kind: int = ...,
        /,
    ) -> Any:
        """Send a question of that kind."""


def ask(side: Asking, kind: int, one: Any, *args: int) -> Any:
    """Ask the other side itself, and none of its objects."""
    return side.call(None, Target(side, Introducing, IMPORTED, 0), one, args, kind)


@final
class Way:
    """A route between two servers, as the client that pays for it uses it."""

    __slots__ = ("route", "users")

    def __init__(self, route: Route) -> None:
        self.route = route
        # Introductions over it that are under way or done. With none it is not needed.
        self.users = 0


async def introduce(
    thing: I, to: Interface, *, pages: int = PAGES, slots: int = 16, ring: int = 4096
) -> I:
    """`thing`, of one session, as what may be passed over the session of `to`.

    The receiver calls it directly. What B holds of it ends when this is dropped and B has let go.
    `pages`, `slots`, `ring`: the sizes of the route, when it is the first introduction of the two.

    Raises OutOfPages, OutOfCaps (on either leg), ForeignCapability, InterfaceMismatch,
    SafetyExceeded, PeerDied, SessionClosed; then nobody holds anything of it."""
    thing = await thing
    source, receiver = target_of(thing), target_of(to)
    if source is None or source.own is not None:
        return thing  # an own object: it is handed out as it is
    if receiver is None:
        raise ForeignCapability(f"{to!r} is in this process; pass {thing!r} to it as it is")
    at: Any = source.caller
    there: Any = receiver.caller
    if at is there:
        return thing
    for side in (at, there):
        if side.owner is None or side.end.serving or side.end.via is not None:
            raise ForeignCapability(
                "only the client that opened and pays for both sessions introduces one server "
                f"to the other, and {side.name} is not such a session"
            )
        if side.end.process is not at.end.process:
            raise ForeignCapability(
                f"{thing!r} and {to!r} belong to two processes; connect both with one vat="
            )
        if side.error is not None:
            raise again(side.error)
    return await _introduce(at, there, source, thing, (pages, slots, ring))


async def _introduce(
    at: Asking, there: Asking, source: Target, thing: I, sizes: tuple[int, int, int]
) -> I:
    ways: dict[Endpoint, Way] = at.owner.ways
    way = ways.get(there.end)
    if way is None or not at.end.route_open(way.route):
        way = ways[there.end] = Way(at.end.introduce(there.end, *sizes))
    way.users += 1
    provision: Any = None
    try:
        provide: Any = Introducing.provide
        number, provision = await at.call(thing, source, provide, (way.route.far,), frames.PROVIDE)
        introduced: I = await ask(
            there,
            frames.TAKE,
            giving(Introducing.take, source.interface),
            way.route.near,
            number,
            source.interface._pinfut_id,
        )
    except BaseException:
        way.users -= 1
        if not way.users:
            # All or nothing: the way is given up with what should have gone it.
            at.end.withdraw(way.route)
            if ways.get(there.end) is way:
                del ways[there.end]
        raise
    finally:
        # Not with the traceback, which may be kept for long.
        del provision
    return introduced
