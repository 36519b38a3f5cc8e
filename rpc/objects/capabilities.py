"""Capabilities in messages: from objects to descriptors, and back, with every check."""

from __future__ import annotations

from typing import Any, Protocol, final

from pinfut.executor.contract import Runner
from pinfut.rpc.contract import Submissions
from pinfut.rpc.errors import (
    ForeignCapability,
    GarbageFrame,
    InterfaceMismatch,
    from_wire,
)
from pinfut.rpc.objects.codec import Codec
from pinfut.rpc.objects.interface import interface_of, resolve, speaks
from pinfut.rpc.objects.local import LocalCaller
from pinfut.rpc.objects.promise import EMBARGOED, IMPORTED, OWN, PROMISED, Caller, Target
from pinfut.rpc.objects.proxy import proxy, target_of
from pinfut.rpc.wire import frames
from pinfut.rpc.wire.answers import PromisedCapability
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.peer import Peer


class Side(Caller, Protocol):
    """This side of a session, as far as capabilities need it."""

    def open(self) -> Submissions:
        """Have what this side submits to, bought if it has to be. Raises OutOfPages."""


@final
class Capabilities:
    """What one side of a session hands over and receives."""

    __slots__ = ("_executor", "_peer", "_side")

    def __init__(self, side: Side, peer: Peer, executor: Runner) -> None:
        self._side = side
        self._peer = peer
        self._executor = executor

    def open(self) -> None:
        """Have what releases are sent by. Raises OutOfPages."""
        self._side.open()

    def encode(self, codec: Codec, value: Any) -> tuple[bytes, list[Any], tuple[Cap, ...]]:
        """A value with capabilities: payload, the objects in it, and their descriptors.

        Raises `CodecError`, ForeignCapability, OutOfPages, OutOfCaps; then nothing has been
        handed out.
        """
        payload, things = codec.encode_caps(value)
        caps: list[Cap] = []
        try:
            for thing in things:
                caps.append(self.describe(thing))
        except BaseException:
            self.take_back(tuple(caps))
            raise
        return payload, things, tuple(caps)

    def describe(self, thing: object) -> Cap:
        """The descriptor of one capability; an object of this side is handed out once more
        by it. Raises TypeError, ForeignCapability, OutOfPages, OutOfCaps."""
        target = target_of(thing)
        if target is None:
            resolve(type(thing))
            return Cap(
                frames.SENDER, self._peer.exports.grant(thing), interface_of(thing)._pinfut_id
            )
        if target.own is not None:
            return self.describe(target.own)
        if isinstance(target.caller, LocalCaller) or target.state == EMBARGOED:
            # A promise of this process: handed out as an object that passes calls on.
            number = self._peer.exports.grant(thing)
            return Cap(frames.SENDER, number, target.interface._pinfut_id)
        if target.caller is not self._side:
            if target.caller.via is self._side:
                # It came over a route that this client pays for: handed out as what passes calls
                # on, and when it comes back as an argument it is the direct one again.
                number = self._peer.exports.grant(thing)
                return Cap(frames.SENDER, number, target.interface._pinfut_id)
            raise ForeignCapability(
                f"{thing!r} belongs to another session than {self._side.name}; pass what "
                "`await introduce(it, to)` gives, which makes the two servers known to each "
                "other, or an object of your own that forwards to it"
            )
        return self._named(target)

    def describe_again(self, things: list[Any], caps: tuple[Cap, ...]) -> tuple[Cap, ...]:
        """The descriptors of a call that waited, as they are now: a promise among them may
        have been sent, or have come. Own objects stay handed out as they were."""
        now: list[Cap] = []
        fresh: list[Cap] = []
        try:
            for thing, cap in zip(things, caps, strict=True):
                if cap.kind != frames.SENDER:
                    cap = self.describe(thing)
                    fresh.append(cap)
                now.append(cap)
        except BaseException:
            self.take_back(tuple(fresh))
            raise
        return tuple(now)

    def _named(self, target: Target) -> Cap:
        """A descriptor of what the other side has, or will have."""
        target.require_usable()
        interface = target.interface._pinfut_id
        if target.state == IMPORTED:
            return Cap(frames.RECEIVER, target.id, interface)
        # Its id is -1 while the call that gives it waits for a slot; so does this one then,
        # behind it, and is described again when it is sent.
        return Cap(frames.RECEIVER_ANSWER, target.id, interface)

    def take_back(self, caps: tuple[Cap, ...]) -> None:
        """A message with these descriptors is not sent after all."""
        for cap in caps:
            if cap.kind == frames.SENDER:
                self._peer.exports.release(cap.id, 1)

    def decode(
        self, codec: Codec, payload: bytes, caps: tuple[Cap | PromisedCapability, ...]
    ) -> Any:
        """The value of a payload with capabilities. Raises `CodecError`, RpcError.

        Each descriptor is used at most once, and those that are not are released.
        """
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
        """The object of a descriptor, which has to be of `interface`.

        Raises InterfaceMismatch, UnknownObject, OutOfPages, GarbageFrame.
        """
        if type(cap) is PromisedCapability:
            return self._stand_in(cap, interface)
        assert isinstance(cap, Cap)
        if cap.kind == frames.SENDER:
            imports = self._peer.imports
            known = imports.proxy_of(cap.id)
            if isinstance(known, interface):
                imports.again(cap.id)
                return known
            target = Target(self._side, interface, IMPORTED)
            self.bind(target, cap)
            made = proxy(target)
            imports.stand_for(cap.id, made)
            return made
        if cap.kind != frames.RECEIVER:
            raise GarbageFrame(f"a capability of the unknown kind {cap.kind}")
        return _of(self._peer.exports.get(cap.id), interface)

    def _stand_in(self, late: PromisedCapability, interface: Any) -> Any:
        """An earlier call's object, or a promise of it while that call runs. Of a call that
        failed, a promise that raises its error where it is used."""
        if late.thing is not None:
            return _of(late.thing, interface)
        stand_in = late.stand_ins.get(interface)
        if stand_in is not None:
            return stand_in
        target = Target(LocalCaller(self._executor), interface, PROMISED)

        def settled(late: PromisedCapability) -> None:
            # Errors are made and not raised: a traceback would hold what they are kept in.
            if late.error is not None:
                target.fail(from_wire(*late.error))
            elif not isinstance(late.thing, interface):
                target.fail(_mismatch(late.thing, interface))
            else:
                target.own = late.thing
                target.settle(OWN)

        stand_in = proxy(target)
        if late.error is not None:
            settled(late)
        else:
            target.parent = late
            late.stand_ins[interface] = stand_in
            late.on_settled.append(settled)
        return stand_in

    def bind(self, target: Target, cap: Cap) -> None:
        """Settle a target on the capability that came for it. Raises as `decode` does."""
        if cap.kind == frames.RECEIVER:
            target.own = _of(self._peer.exports.get(cap.id), target.interface)
            if target.under_way:
                target.state = EMBARGOED
            else:
                target.settle(OWN)
            return
        if cap.kind != frames.SENDER:
            raise GarbageFrame(f"an answer is no capability of the kind {cap.kind}")
        if not speaks(cap.interface, target.interface):
            self.discard((cap,))
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
                self._peer.imports.receive(cap.id)
                self._peer.drop_import(cap.id)


def _of(thing: Any, interface: Any) -> Any:
    """`thing`, if it is of `interface`. Raises InterfaceMismatch."""
    if not isinstance(thing, interface):
        raise _mismatch(thing, interface)
    return thing


def _mismatch(thing: Any, interface: Any) -> InterfaceMismatch:
    return InterfaceMismatch(f"{type(thing).__name__} does not implement {interface.__name__}")
