"""Resolving: what promises turn out to be that were handed out before they came.

Calls on such a promise go to who handed it out, which passes them on. If it turns out to be an
object of the receiver's, a Resolve tells that side, and its proxy calls the object directly: behind
an embargo, while a Disembargo follows the calls that were made before."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast, final

from pinfut.executor.task import INTERNAL
from pinfut.laws import TakenTwice
from pinfut.rpc.errors import GarbageFrame, InterfaceMismatch, ProtocolError, UnknownObject
from pinfut.rpc.objects.capabilities import Capabilities
from pinfut.rpc.objects.local import spawn_later
from pinfut.rpc.objects.promise import EMBARGOED, IMPORTED, OWN, RESOLVED, Target
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.backlog import Backlog
from pinfut.rpc.session.sending import Sending
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import Peer


@final
class _Handed:
    """A promise that was handed out before it came; a waker of what it waits for."""

    __slots__ = ("interface", "number", "on", "resolving", "said", "thing")

    def __init__(self, resolving: Resolving, thing: Any, interface: Any) -> None:
        self.resolving = resolving
        self.thing = thing
        self.interface = interface
        self.number = -1  # as which it is handed out
        self.on: Target | None = None  # what it waits for
        self.said = False  # whether a Resolve was sent that no Disembargo has answered

    def wake(self) -> None:
        self.resolving.look(self)

    def gone(self) -> None:
        """The other side holds it no more."""
        self.resolving.handed.pop((id(self.thing), self.interface), None)
        if self.on is not None and self.on.waiting is not None:
            self.on.waiting.pop(self, None)


@final
class Resolving:
    """The promises that one side handed out too early, and the imports that were some."""

    __slots__ = ("_backlog", "_capabilities", "_peer", "_sending", "handed")

    def __init__(
        self, sending: Sending, peer: Peer, capabilities: Capabilities, backlog: Backlog
    ) -> None:
        self._sending = sending
        self._peer = peer
        self._capabilities = capabilities
        capabilities.on_promise = self.hand_out
        self._backlog = backlog
        # By id and interface: what is handed out and had not come then.
        self.handed: dict[tuple[int, Any], _Handed] = {}

    # ---- what this side hands out ----

    def hand_out(self, thing: Any, number: int) -> None:
        """A promise was handed out that has not come."""
        exports = self._peer.exports
        interface = exports.things[number][2]
        one = self.handed.get((id(thing), interface))
        if one is None:
            one = self.handed[id(thing), interface] = _Handed(self, thing, interface)
            exports.watch(thing, one.gone)
            self.look(one)
        one.number = number

    def look(self, one: _Handed) -> None:
        """Wait for what a promise gives, and what that gives if it is one; then, if it is the other
        side's own object, say so."""
        thing, side = one.thing, self._sending
        while (target := target_of(thing)) is not None and target.state == OWN:
            thing = target.own
        one.on = target
        if target is None or side.error is not None:
            return
        if target.state <= EMBARGOED:
            if target.waiting is None:
                target.waiting = {}
            target.waiting[one] = one
        elif (
            target.state == IMPORTED
            and target.caller is cast(Any, side)
            and issubclass(target.interface, one.interface)
            and one.number in self._peer.exports.things
        ):
            one.said = True
            with suppress(ProtocolError):  # which ends the session by itself
                side.send(self._peer.resolve(one.number, target.id))

    def echo(self, number: int, frame: bytes) -> None:
        """A Disembargo has come for export `number`: send it back behind what was called on that.
        Raises GarbageFrame."""
        facet = self._peer.exports.things.get(number)
        one = None if facet is None else self.handed.get((id(facet[0]), facet[2]))
        if one is None or one.number != number or not one.said:
            raise GarbageFrame(f"a Disembargo for object {number:#x}, of which nothing was said")
        one.said = False
        thing = one.thing
        while (target := target_of(thing)) is not None:
            if target.line:
                later = self._echo_later(thing, frame)
                self._sending.executor.spawn(later, owner=INTERNAL)
                return
            thing = target.own
        self._backlog.follow(frame)

    async def _echo_later(self, thing: Any, frame: bytes) -> None:
        """Stand behind what was called, in one line after the other."""
        with suppress(TakenTwice):  # it was let go of, and nothing is passed on
            while (target := target_of(thing)) is not None:
                executor = self._sending.executor
                thing = await spawn_later(executor, thing, None, ()) if target.line else target.own
        if self._sending.error is None:
            self._backlog.follow(frame)

    # ---- what this side holds ----

    def resolve(self, number: int, export: int) -> None:
        """Import `number` is this side's object `export`. Raises GarbageFrame."""
        peer, sending = self._peer, self._sending
        proxy = peer.imports.sole(number)
        if proxy is None:
            return  # it crossed the Release, or nobody can say what would overtake what
        target: Target = proxy._pinfut_target
        if target.state != IMPORTED:
            raise GarbageFrame(f"object {number:#x} is said to be something once more")
        if sending.held:
            self._backlog.call_own(target)
        # One of the calls under way may be for it.
        target.under_way = len(peer.questions)
        try:
            self._capabilities.bind(target, Cap(frames.RECEIVER, export, 0))
        except (InterfaceMismatch, UnknownObject) as error:
            raise GarbageFrame(str(error)) from None
        target.id = RESOLVED - number
        if target.state == EMBARGOED:
            sending.send(peer.disembargo(number, frames.EXPORT))
        if sending.held:
            self._backlog.send()

    def lift(self, proxies: Iterable[Any]) -> None:
        """What was called on these imports has arrived, so nothing can overtake it."""
        for proxy in proxies:
            if proxy is not None and proxy._pinfut_target.state == EMBARGOED:
                proxy._pinfut_target.settle(OWN)
