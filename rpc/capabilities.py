"""Capabilities in messages: from objects to descriptors, and back, with every check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from pinfut.rpc.codec import Codec
from pinfut.rpc.errors import (
    ForeignCapability,
    GarbageFrame,
    InterfaceMismatch,
    RpcError,
)
from pinfut.rpc.interface import interface_of, speaks
from pinfut.rpc.promise import HELD, IMPORTED, OWN, PROMISED, Target
from pinfut.rpc.protocol import frames
from pinfut.rpc.protocol.frames import Cap
from pinfut.rpc.protocol.peer import Peer
from pinfut.rpc.proxy import proxy, target_of

if TYPE_CHECKING:
    from pinfut.rpc.session import Session


@final
class Capabilities:
    """What one side of a session hands over and receives."""

    __slots__ = ("_peer", "_session")

    def __init__(self, session: Session, peer: Peer) -> None:
        self._session = session
        self._peer = peer

    def encode(self, codec: Codec, value: Any) -> tuple[bytes, tuple[Cap, ...]]:
        """A value with capabilities, as payload and descriptors.

        Raises `CodecError`, ForeignCapability, OutOfPages, OutOfCaps; then nothing has been
        handed out.
        """
        caps: list[Cap] = []

        def export(thing: object) -> int:
            caps.append(self.describe(thing))
            return len(caps) - 1

        try:
            payload = codec.encode_caps(value, export)
        except BaseException:
            self.take_back(tuple(caps))
            raise
        return payload, tuple(caps)

    def describe(self, thing: object) -> Cap:
        """The descriptor of one capability; an object of this side is handed out once more
        by it. Raises TypeError, ForeignCapability, OutOfPages, OutOfCaps."""
        target = target_of(thing)
        if target is None:
            return Cap(
                frames.SENDER, self._peer.exports.grant(thing), interface_of(thing)._pinfut_id
            )
        interface = target.interface._pinfut_id
        if target.state == OWN:
            return self.describe(target.own)
        if target.session is not self._session:
            raise ForeignCapability(
                f"{thing!r} belongs to another session than {self._session.name}; pass what "
                "this session gave you, or an object of your own that forwards to it"
            )
        target.require_usable()
        if target.state == IMPORTED:
            return Cap(frames.RECEIVER, target.id, interface)
        if target.state in (PROMISED, HELD):
            target.used = True
            return Cap(frames.RECEIVER_ANSWER, target.id, interface)
        raise RpcError(f"{thing!r} still waits for a slot; await it before you pass it on")

    def take_back(self, caps: tuple[Cap, ...]) -> None:
        """A message with these descriptors is not sent after all."""
        for cap in caps:
            if cap.kind == frames.SENDER:
                self._peer.exports.release(cap.id, 1)

    def decode(self, codec: Codec, payload: bytes, caps: tuple[Cap, ...]) -> Any:
        """The value of a payload with capabilities. Raises `CodecError`, RpcError.

        Each descriptor is used at most once, and those that are not are released.
        """
        left = dict(enumerate(caps))

        def resolve(index: int, interface: Any) -> object:
            cap = left.pop(index, None)
            if cap is None:
                raise ValueError(f"there is no capability {index} in this message")
            return self.resolve(cap, interface)

        try:
            return codec.decode_caps(payload, resolve)
        finally:
            self.discard(tuple(left.values()))

    def resolve(self, cap: Cap, interface: Any) -> Any:
        """The object of a descriptor, which has to be of `interface`.

        Raises InterfaceMismatch, UnknownObject, OutOfPages, GarbageFrame.
        """
        if cap.kind == frames.SENDER:
            target = Target(self._session, interface, IMPORTED)
            self.bind(target, cap)
            return proxy(target)
        if cap.kind == frames.RECEIVER:
            thing = self._peer.exports.get(cap.id)
        elif cap.kind == frames.RECEIVER_ANSWER:
            thing = self._peer.held(cap.id)
        else:
            raise GarbageFrame(f"a capability of the unknown kind {cap.kind}")
        if not isinstance(thing, interface):
            raise InterfaceMismatch(
                f"{type(thing).__name__} does not implement {interface.__name__}"
            )
        return thing

    def bind(self, target: Target, cap: Cap) -> None:
        """Settle a target on the capability that came for it. Raises as `resolve` does."""
        if cap.kind == frames.RECEIVER:
            target.own = self.resolve(cap, target.interface)
            target.settle(OWN)
            return
        if cap.kind != frames.SENDER:
            raise GarbageFrame(f"an answer is no capability of the kind {cap.kind}")
        if not speaks(cap.interface, target.interface):
            raise InterfaceMismatch(
                f"expected an object of {target.interface.__name__}, and the other side gives "
                f"one of another interface (id {cap.interface:016x})"
            )
        # To release it, this side needs a lane of its own; better now than when it is late.
        self._session.open_lane()
        self._peer.imports.receive(cap.id)
        target.id = cap.id
        target.settle(IMPORTED)

    def discard(self, caps: tuple[Cap, ...]) -> None:
        """Release capabilities of a message that nobody takes."""
        for cap in caps:
            if cap.kind == frames.SENDER:
                self._session.open_lane()
                self._peer.imports.receive(cap.id)
                self._peer.drop_import(cap.id)
