"""Returns: what one side's calls end with: answers read in place, promises settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

from pinfut.rpc.codec import CodecError
from pinfut.rpc.errors import (
    BadAnswer,
    BankError,
    GarbageFrame,
    ProtocolError,
    RpcError,
    UnknownReply,
    after_begin,
)
from pinfut.rpc.interface import Method
from pinfut.rpc.kernel.lane import Lane
from pinfut.rpc.promise import BROKEN, EMBARGOED, OWN, PROMISED, Target, again
from pinfut.rpc.protocol import frames
from pinfut.rpc.protocol.frames import Cap
from pinfut.slots import CANCELLING, DETACHED, FREE, READY, Slot

if TYPE_CHECKING:
    from pinfut.rpc.session import Session


def unreadable(method: Method, error: BaseException) -> BadAnswer:
    """The error for an answer that cannot be decoded."""
    return BadAnswer(f"the answer of {method!r} cannot be read: {error}")


@final
class Returns:
    """What each open question of a session waits for, and how its answer is opened."""

    __slots__ = ("_session", "early", "rides", "sent_caps", "settles")

    def __init__(self, session: Session) -> None:
        self._session = session
        # By question: the target that its answer will settle; at most one for each slot.
        self.settles: dict[int, Target] = {}
        # By question: the promise that it was called on; at most one for each slot.
        self.rides: dict[int, Target] = {}
        # By question: what was handed out in its arguments, until it is known that it was
        # taken; and how to read an answer with capabilities before somebody awaits it.
        self.sent_caps: dict[int, tuple[Cap, ...]] = {}
        self.early: dict[int, Method] = {}

    def remember(self, x: int, method: Method, caps: tuple[Cap, ...]) -> None:
        """What question `x` needs when its Return comes."""
        if caps:
            self.sent_caps[x] = caps
        if method.returns is None and method.result.has_caps:
            self.early[x] = method

    def ride(self, x: int, target: Target) -> None:
        """Question `x` goes to what is promised."""
        target.under_way += 1
        self.rides[x] = target

    def forget(self, x: int) -> None:
        """Question `x` was not sent after all."""
        self.early.pop(x, None)
        self.sent_caps.pop(x, None)
        target = self.rides.pop(x, None)
        if target is not None:
            self._arrive(target)

    def close(self, error: RpcError) -> None:
        """The session has ended: nothing that was promised will come."""
        for target in self.settles.values():
            if target.state == PROMISED:
                target.fail(error)
        for target in self.rides.values():
            if target.state == EMBARGOED:
                target.settle(OWN)
        self.settles.clear()
        self.rides.clear()
        self.sent_caps.clear()
        self.early.clear()

    def take_detached(self, slot: Slot[Any], method: Method) -> Any:
        """As `take`, of a call whose slot has gone to another."""
        session = self._session
        if session.error is not None:
            raise session.closed_error()
        if type(slot.value) is int:
            return self.take(slot, method)
        early: Any = slot.value
        slot.value = None
        if early[1] is not None:
            try:
                raise early[1]
            finally:
                del early  # or its traceback would keep it
        return early[0]

    def take(self, slot: Slot[Any], method: Method) -> Any:
        session = self._session
        if session.error is not None:
            session.questions.release(slot)
            raise session.closed_error()
        return self._decode(method, *self.open(slot))

    def _decode(self, method: Method, flags: int, caps: tuple[Cap, ...], payload: bytes) -> Any:
        """The value of an answer. Raises what the call ended with."""
        session = self._session
        if flags & frames.ERROR:
            # Not from a name of this frame, which its traceback keeps: it would keep itself.
            raise self._error_in(payload)
        result = method.result
        try:
            if result.has_caps:
                return session.capabilities.decode(result, payload, caps)
            if caps:
                session.capabilities.discard(caps)
            return result.decode(payload)
        except CodecError as problem:
            raise unreadable(method, problem) from problem
        except BankError as error:
            error.begun = True
            raise

    def open(
        self, slot: Slot[Any], *, release: bool = False, leave: bool = False
    ) -> tuple[int, tuple[Cap, ...], bytes]:
        """Read the Return in a slot, free the slot (`leave`: and leave it to its holder), and
        finish the question if need be."""
        session = self._session
        x = slot.x
        detached = slot.state == DETACHED
        place = cast(int, slot.value) if detached else session.places[slot.index]
        try:
            opened = session.peer.open_return(x, session.cells.read(place))
        except ProtocolError as error:
            session.close(error)
            raise
        session.cells.release(place)
        session.watch(x, "taken")
        self.early.pop(x, None)
        caps = self.sent_caps.pop(x, None)
        if caps is not None and opened[0] & frames.RETURN_ARGS:
            session.capabilities.take_back(caps)
        if detached:
            slot.state = FREE
            return opened
        if leave:
            session.questions.detach(slot)
        else:
            session.questions.release(slot)
        if not opened[0] & frames.NO_FINISH:
            session.peer.finish(x, release=release)
        if session.backlog.calls and not leave:
            session.backlog.send()
        return opened

    def detach(self, slots: list[Slot[Any]]) -> None:
        """Calls wait for a slot, and these have answers that nobody has taken yet: leave
        the answers to their holders, and the slots to the calls."""
        session = self._session
        for slot in slots:
            if slot.state != READY or slot.x in self.settles:
                continue
            x, place = slot.x, session.places[slot.index]
            flags, caps, payload = session.peer.open_return(x, session.cells.read(place))
            if flags & frames.NO_FINISH:
                slot.value = place
                session.questions.detach(slot)
            elif x in self.early:
                # The other side holds the slot until Finish, and what is named in the answer
                # only until then: it is read now.
                method = self.early[x]
                self.open(slot, release=False, leave=True)
                slot.value = self._read(method, flags, caps, payload)

    def _error_in(self, payload: bytes) -> RpcError:
        """The error that a call ended with. Raises ProtocolError for what is none."""
        session = self._session
        try:
            return session.peer.open_error(payload)
        except ProtocolError as garbage:
            session.close(garbage)
            raise

    def _read(
        self, method: Method, flags: int, caps: tuple[Cap, ...], payload: bytes
    ) -> tuple[Any, BaseException | None]:
        """The value or the error of an answer."""
        try:
            return self._decode(method, flags, caps, payload), None
        except RpcError as error:
            return None, again(error)

    def complete(self, xs: list[int]) -> None:
        """The other side has written these answers in place."""
        session = self._session
        if session.watched:
            for x in xs:
                session.watch(x, "returned")
        for x in session.questions.mark_ready(xs):
            slot = session.questions.peek(x)
            if slot is None or slot.state != CANCELLING:
                raise UnknownReply(f"a reply to {x}, which is not in progress")
            # Late, but not ignored: its capabilities are released.
            self.open(slot, release=True)
        if self.settles or self.rides:
            for x in xs:
                target = self.settles.pop(x, None)
                if target is not None:
                    try:
                        self._settle(session.questions.find(x), target)
                    except ProtocolError as error:
                        target.fail(again(error))
                        raise
                target = self.rides.pop(x, None)
                if target is not None:
                    self._arrive(target)
        if session.backlog.calls:
            self.detach([slot for x in xs if (slot := session.questions.peek(x)) is not None])
            session.backlog.send()

    def _arrive(self, target: Target) -> None:
        """A call on a promise has its Return, so it has arrived there long since."""
        target.under_way -= 1
        if target.state == EMBARGOED and not target.under_way:
            target.settle(OWN)

    def _settle(self, slot: Slot[Any], target: Target) -> None:
        """A promised capability has come: from now on calls go to the object itself."""
        session = self._session
        lane = cast(Lane, session.lane)
        flags, caps, payload = session.peer.open_return(
            slot.x, lane.cells.read(session.places[slot.index])
        )
        if not flags & frames.ERROR and len(caps) != 1:
            raise GarbageFrame(f"the answer {slot.x} is one capability, not {len(caps)}")
        if flags & frames.ERROR:
            target.fail(session.peer.open_error(payload))
        else:
            try:
                session.capabilities.bind(target, caps[0])
            except ProtocolError:
                raise
            except RpcError as error:
                target.fail(again(after_begin(error)))
        self.open(slot, release=target.state == BROKEN)
