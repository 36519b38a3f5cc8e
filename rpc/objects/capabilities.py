"""Capabilities in messages: from objects to descriptors, and back, with every check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final

from pinfut.executor.contract import Runner
from pinfut.rpc.contract import Submissions
from pinfut.rpc.errors import ForeignCapability, GarbageFrame, InterfaceMismatch, from_wire
from pinfut.rpc.objects.codec import Codec
from pinfut.rpc.objects.demands import Demands
from pinfut.rpc.objects.interface import Interface, interface_of, resolve, spans, speaks
from pinfut.rpc.objects.local import LocalCaller
from pinfut.rpc.objects.promise import DROPPED, EMBARGOED, IMPORTED, OWN, PROMISED, Caller, Target
from pinfut.rpc.objects.proxy import proxy, target_of
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.answers import PromisedCapability
from pinfut.rpc.wire.exports import Facet
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import Peer


class Side(Caller, Protocol):
    """This side of a session, as far as capabilities need it."""

    def open(self) -> Submissions:
        """Have what this side submits to, bought if it has to be. Raises OutOfPages."""

    def open_for(self, releases: int) -> None:
        """The same, for so many releases, which it makes sure can wait. Raises OutOfPages."""


@final
class Capabilities:
    """What one side of a session hands over and receives."""

    __slots__ = ("_executor", "_peer", "_side", "on_promise")

    def __init__(self, side: Side, peer: Peer, executor: Runner) -> None:
        self._side = side
        self._peer = peer
        self._executor = executor
        # Called with a promise that was handed out before it has come, and as which number.
        self.on_promise: Callable[[Any, int], None]

    def open_for(self, releases: int) -> None:
        """Have what so many releases are sent by. Raises OutOfPages."""
        self._side.open_for(releases)

    def describe_all(self, things: list[tuple[Any, Any]]) -> tuple[Cap, ...]:
        """The descriptors of the capabilities in one value, each with the interface that is
        declared for it. Raises as `describe` does; then nothing has been handed out."""
        caps: list[Cap] = []
        try:
            for thing, wanted in things:
                caps.append(self.describe(thing, wanted))
        except BaseException:
            self.take_back(tuple(caps))
            for thing, _ in things:
                self._peer.exports.lost(thing)
            raise
        return tuple(caps)

    def describe(self, thing: object, wanted: Any) -> Cap:
        """The descriptor of one capability where `wanted` is declared; an object of this side is
        handed out once more by it, as that and no more. Raises TypeError, ForeignCapability,
        OutOfPages, OutOfCaps."""
        target = target_of(thing)
        if target is not None:
            if target.state == DROPPED:
                target.require_usable()
            if target.own is not None:
                return self.describe(target.own, interface_of(thing, wanted))
            if not (
                # A promise of this process: handed out as an object that passes calls on.
                isinstance(target.caller, LocalCaller)
                or target.state == EMBARGOED
                # It came over a route that this client pays for: handed out as what passes calls
                # on, and when it comes back as an argument it is the direct one again.
                or target.caller.via is self._side
            ):
                return self._named(thing, target)
        interface = interface_of(thing, wanted)
        resolve(type(thing))
        number = self._peer.exports.grant(thing, interface)
        if target is not None and target.state <= EMBARGOED:
            self.on_promise(thing, number)
        return Cap(frames.SENDER, number, interface._pinfut_id)

    def facet(self, thing: Any, wanted: Any, cap: Cap) -> Facet:
        """What later calls on an answer are for that gave `thing` as `cap`."""
        if cap.kind == frames.SENDER:
            return self._peer.exports.things[cap.id]
        interface = interface_of(thing, wanted)
        return thing, type(thing)._pinfut_tables[interface], interface

    def _named(self, thing: object, target: Target) -> Cap:
        """The descriptor of what the other side has, or will have. Raises ForeignCapability."""
        if target.caller is not self._side:
            raise ForeignCapability(
                f"{thing!r} belongs to another session than {self._side.name}; pass what "
                "`await introduce(it, to)` gives, which makes the two servers known to each "
                "other, or an object of your own that forwards to it"
            )
        target.require_usable()
        interface = target.interface._pinfut_id
        if target.state == IMPORTED:
            return Cap(frames.RECEIVER, target.id, interface)
        # Its id is -1 while the call that gives it waits for a slot; so does this one then,
        # behind it, and is described again when it is sent.
        return Cap(frames.RECEIVER_ANSWER, target.id, interface)

    def describe_again(
        self, things: list[tuple[Any, Any]], caps: tuple[Cap, ...]
    ) -> tuple[Cap, ...]:
        """The descriptors of a call that waited, as they are now: a promise among them may
        have been sent, or have come. Own objects stay handed out as they were."""
        now: list[Cap] = []
        fresh: list[Cap] = []
        try:
            for (thing, wanted), cap in zip(things, caps, strict=True):
                if cap.kind != frames.SENDER:
                    cap = self.describe(thing, wanted)
                    fresh.append(cap)
                now.append(cap)
        except BaseException:
            self.take_back(tuple(fresh))
            raise
        return tuple(now)

    def take_back(self, caps: tuple[Cap, ...]) -> None:
        """A message with these descriptors is not sent after all. Nothing for what the other side
        has meanwhile released too often."""
        exports = self._peer.exports
        for cap in caps:
            if cap.kind == frames.SENDER and cap.id in exports.things:
                exports.release(cap.id, 1)

    def require(
        self, demands: Demands, payload: bytes, caps: tuple[Cap | PromisedCapability, ...]
    ) -> None:
        """Check what parameters demand, while all that came is still the caller's. Raises
        ForeignCapability, UnknownObject, and `CodecError`."""
        decoder, asked = demands
        indices = decoder.decode(payload)
        for position, own in asked:
            index = indices[position]
            cap = caps[index] if 0 <= index < len(caps) else None
            if type(cap) is PromisedCapability:
                raise ForeignCapability(
                    f"argument {position + 1} has to be there, and a promise was passed: await it"
                )
            if type(cap) is not Cap or cap.kind != frames.RECEIVER:
                raise ForeignCapability(
                    f"argument {position + 1} has to be what was handed out over this session"
                )
            thing = self._peer.exports.get(cap.id)[0]
            if own and target_of(thing) is not None:
                raise ForeignCapability(
                    f"argument {position + 1} has to be an object of the side that is called, and "
                    "is served elsewhere"
                )

    def decode(
        self, codec: Codec, payload: bytes, caps: tuple[Cap | PromisedCapability, ...]
    ) -> Any:
        """The value of a payload with capabilities. Raises `CodecError`, RpcError. Each descriptor
        is used at most once, and those that are not are released."""
        left = dict(enumerate(caps))

        def resolve(index: int, interface: Any) -> object:
            cap = left.pop(index, None)
            if cap is None:
                raise ValueError(f"there is no capability {index} in this message")
            return self._resolve(cap, interface)

        try:
            return codec.decode_caps(payload, resolve)
        finally:
            self.discard(tuple(left.values()))

    def _resolve(self, cap: Cap | PromisedCapability, interface: Any) -> Any:
        """The object of a descriptor, which has to be of `interface`. Raises InterfaceMismatch,
        UnknownObject, OutOfPages, GarbageFrame."""
        if type(cap) is PromisedCapability:
            return self._stand_in(cap, interface)
        assert isinstance(cap, Cap)
        if cap.kind == frames.SENDER:
            imports = self._peer.imports
            known = imports.proxy_of(cap.id)
            if isinstance(known, interface) and known._pinfut_target.state != DROPPED:
                imports.again(cap.id)
                return known
            target = Target(self._side, interface, IMPORTED)
            try:
                self.bind(target, cap)
            except BaseException:
                self.discard((cap,))
                raise
            made = proxy(target)
            imports.stand_for(cap.id, made)
            return made
        if cap.kind != frames.RECEIVER:
            raise GarbageFrame(f"a capability of the unknown kind {cap.kind}")
        return self._of(self._peer.exports.get(cap.id), interface)

    def _of(self, facet: Facet, interface: Any) -> Any:
        """The object of a facet, if it was handed out as `interface`. Raises InterfaceMismatch."""
        if not _is_of(facet, interface):
            raise _mismatch(facet, interface)
        if interface is Interface and not spans(facet[2], type(facet[0])):
            # Where no interface is named, the object itself would be handed on as all that it is.
            return narrowed(facet, self._executor)
        return facet[0]

    def _stand_in(self, late: PromisedCapability, interface: Any) -> Any:
        """An earlier call's object, or a promise of it while that call runs. Of a call that
        failed, a promise that raises its error where it is used."""
        if late.facet is not None:
            return self._of(late.facet, interface)
        stand_in = late.stand_ins.get(interface)
        if stand_in is not None:
            return stand_in
        target = Target(LocalCaller(self._executor), interface, PROMISED)

        def settled(late: PromisedCapability) -> None:
            # Errors are made and not raised: a traceback would hold what they are kept in.
            if late.error is not None:
                target.fail(from_wire(*late.error))
            elif late.facet is None or not _is_of(late.facet, interface):
                target.fail(_mismatch(late.facet, interface))
            else:
                target.be(self._of(late.facet, interface))

        stand_in = proxy(target)
        if late.error is not None:
            settled(late)
        else:
            target.parent = late
            late.stand_ins[interface] = stand_in
            late.on_settled.append(settled)
        return stand_in

    def bind(self, target: Target, cap: Cap) -> None:
        """Settle a target on the capability that came for it. Raises as `decode` does; then it is
        still to be released."""
        if cap.kind == frames.RECEIVER:
            own = self._of(self._peer.exports.get(cap.id), target.interface)
            target.be(own, EMBARGOED if target.under_way else OWN)
            return
        if cap.kind != frames.SENDER:
            raise GarbageFrame(f"an answer is no capability of the kind {cap.kind}")
        if not speaks(cap.interface, target.interface):
            raise InterfaceMismatch(
                f"expected an object of {target.interface.__name__}, and the other side gives "
                f"one of another interface (id {cap.interface:016x})"
            )
        # To release it, this side needs a lane of its own; better now than when it is late.
        self._side.open()
        self._peer.imports.receive(cap.id)
        target.id = cap.id
        target.settle(IMPORTED)

    def discard(self, caps: tuple[Cap | PromisedCapability, ...]) -> None:
        """Release capabilities of a message that nobody takes."""
        for cap in caps:
            if type(cap) is Cap and cap.kind == frames.SENDER:
                self._side.open()
                self._peer.decline(cap.id)


def narrowed(facet: Facet, executor: Runner) -> Any:
    """An object of this process that is handed out as one of its interfaces, and as no other: to
    await it gives this proxy, and not the object."""
    target = Target(LocalCaller(executor), facet[2], IMPORTED)
    target.own = facet[0]
    return proxy(target)


def _is_of(facet: Facet, interface: Any) -> bool:
    """Whether an object was handed out as `interface`, and not only implements it; as a class that
    implements, if it was handed out as all that this implements."""
    return interface in facet[2].__mro__ or (
        not vars(interface).get("_pinfut_id")
        and spans(facet[2], interface)
        and isinstance(facet[0], interface)
    )


def _mismatch(facet: Facet | None, interface: Any) -> InterfaceMismatch:
    given = "nothing" if facet is None else f"a {facet[2].__name__}"
    return InterfaceMismatch(f"expected a {interface.__name__}, and this was handed out as {given}")
