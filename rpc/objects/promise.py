"""Promises: the value of a call that was sent, and the target of a proxy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar, final

from pinfut.core import accelerate
from pinfut.executor.contract import JoinHandle, Runner
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.laws import TakenTwice
from pinfut.poll import PENDING, Context, Poll, Waker, wake_each
from pinfut.rpc.contract import Submissions
from pinfut.rpc.errors import PromiseLoop
from pinfut.rpc.objects.method import Method
from pinfut.rpc.wire.frames import Cap
from pinfut.rpc.wire.questions import Question, Questions
from pinfut.slots import DETACHED, READY, WAITING

T_co = TypeVar("T_co", covariant=True)

# States of a target::
#
#     UNSENT ──a slot is free──▶ PROMISED ──Return──┬──▶ IMPORTED
#                                                   ├──▶ OWN    this side's own object
#                                                   ├──▶ EMBARGOED ──▶ OWN
#                                                   └──▶ BROKEN
#     and DROPPED from each of them
#
# EMBARGOED is an own object with calls on their way to it through the other side, or what a call
# on an own object will give. Calls made meanwhile wait, so that they do not overtake these, until
# a Disembargo has come back that was sent after them, or they have their Returns. From IMPORTED a
# Resolve leads to OWN, EMBARGOED or BROKEN.
UNSENT: Final = 0
PROMISED: Final = 1
EMBARGOED: Final = 2
IMPORTED: Final = 3
OWN: Final = 4
BROKEN: Final = 5
DROPPED: Final = 6

RESOLVED: Final = -2

STATES: Final = ("unsent", "promised", "embargoed", "imported", "own", "broken", "dropped")


@final
class Turn:
    """A call's place in the line of a target."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        # What makes the call; set at once when it is there.
        self.task: JoinHandle[Any] | None = None


@final
class Target:
    """What a proxy stands for, and where calls on it go."""

    __slots__ = (
        *("caller", "error", "id", "interface", "line", "own", "parent", "state", "unsent"),
        *("under_way", "waiting"),
    )

    def __init__(self, caller: Caller, interface: Any, state: int, number: int = -1) -> None:
        # Carries the calls.
        self.caller = caller
        self.interface = interface
        self.state = state
        # The question while PROMISED, the other side's export while IMPORTED; RESOLVED minus that
        # export once it is known what that is.
        self.id = number
        # What the call that should have given the object ended with, when BROKEN.
        self.error: BaseException | None = None
        self.own: Any = None  # this side's own object, when OWN
        self.unsent: Unsent | None = None  # the call itself, while it is not sent
        # What this was called on, kept until the answer is there: to drop a promise is to
        # cancel its call, and this one depends on it.
        self.parent: Any = None
        self.under_way = 0  # calls sent on the promise that have no Return yet
        # Calls in this process that were made before it was an own object and have not begun,
        # oldest first: each begins when it is the first, and what is called later stands behind.
        self.line: deque[Turn] | None = None
        # Who waits for it: any number of tasks may hold the proxy.
        self.waiting: dict[object, Waker] | None = None

    def settle(self, state: int) -> None:
        """It is known what the promise stands for, or that nobody wants it: then it stays so."""
        if self.state == DROPPED:
            self.own = None
        else:
            self.state = state
        self.parent = self.unsent = None
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            wake_each(waiting.values())

    def be(self, own: Any, state: int = OWN) -> None:
        """It is `own`, an object of this process or a promise. If that is this very one by way of
        others that have come, it fails with PromiseLoop."""
        thing = own
        # Ends, since no such loop was ever closed.
        while (other := getattr(thing, "_pinfut_target", None)) is not None:
            if other is self:
                self.fail(PromiseLoop(f"a promise of {self.interface.__name__} gives itself"))
                return
            thing = other.own
        self.own = own
        if state == OWN:
            self.settle(OWN)
        else:
            self.state = state

    def let_go(self) -> None:
        """Nobody wants it any more: what waits for it is told so."""
        self.state = DROPPED
        self.settle(DROPPED)

    def fail(self, error: BaseException) -> None:
        """The call that should have given the object failed."""
        self.error = error
        self.settle(BROKEN)

    def require_usable(self) -> None:
        """Raise what the call ended with when BROKEN, and TakenTwice when DROPPED."""
        if self.state == BROKEN:
            raise again(self.error)
        if self.state == DROPPED:
            raise TakenTwice(f"this {self.interface.__name__} was released; call for it again")


class Caller(Protocol):
    """What carries the calls of a proxy: this side of a session, or this process itself."""

    name: str
    owner: Any
    """The session whose side this is; None for this process."""
    executor: Runner
    """Where it is used."""
    flowing: bool
    """Whether a plain call may be submitted at once; the next four are there while it is so."""
    questions: Questions
    submissions: Submissions
    touched: bool
    """Whether what was submitted will be made visible when this turn ends."""

    def touch(self) -> None:
        """Make it so."""

    @property
    def error(self) -> BaseException | None:
        """Why nothing can be called any more; None while it can."""

    @property
    def via(self) -> Caller | None:
        """The side of the session over which this one was introduced."""

    def call(self, holder: Any, target: Target, method: Method, args: tuple[Any, ...], /) -> Any:
        """Make a call on `target`, whose proxy is `holder`."""

    def take(self, question: Question, method: Method, /) -> Any:
        """The value of a call that has its answer. Raises what it ended with."""

    def take_detached(self, question: Question, method: Method, /) -> Any:
        """As `take`, of a call whose slot has gone to another."""

    def leave(self, dropped: Any, /) -> None:
        """A promise or target is held by nobody any more."""

    def release(self, target: Target, /) -> None:
        """A target is let go of, at once, whatever holds its proxy. Idempotent."""


def again(error: BaseException | None) -> BaseException:
    """An error to raise once more: a fresh one, so that tracebacks do not pile up."""
    assert error is not None
    try:
        # Not by a call, which would run an __init__ that has its own idea of arguments.
        fresh = type(error).__new__(type(error), *error.args)
        fresh.args = error.args
        fresh.__dict__.update(error.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return error  # of a class of its own, which has another idea of all this
    return fresh


def _given_up(question: Question | None) -> bytes:
    return b""


@final
class Unsent:
    """A call that waits for a slot, with all that is needed to send it."""

    state = -1  # where a promise looks for the state of its slot

    __slots__ = (
        *("build", "call", "caps", "charge", "error", "place", "settles", "slot", "task"),
        *("waker",),
    )

    def __init__(
        self,
        build: Callable[[Question | None], bytes],
        call: tuple[Any, Target, Method, tuple[Any, ...]],
        caps: tuple[Cap, ...],
        place: int,
        charge: int,
        settles: Target | None,
    ) -> None:
        # Makes the frame, once the id is known; without one, what goes in place of a call.
        self.build = build
        # The proxy that was called, its target, the method and the arguments.
        self.call = call
        self.caps = caps
        # Where the answer will be; -1 once the call was given up, or of what is none.
        self.place = place
        self.charge = charge
        # The target that the answer will settle, for a call that gives a capability.
        self.settles = settles
        # One of these is set when it is known what becomes of the call: its slot when it was
        # sent, a task when its object turned out to be here, or why it cannot be made.
        self.slot: Question | None = None
        self.task: JoinHandle[Any] | None = None
        self.error: BaseException | None = None
        self.waker: Waker | None = None

    def here(self, task: JoinHandle[Any]) -> None:
        """The call is made in this process, by `task`."""
        self.task = task
        if self.waker is not None:
            self.waker.wake()

    def give_up(self) -> None:
        """Nobody wants the call any more: what it names is let go."""
        self.place = -1
        self.waker = None
        self.build = _given_up
        self.call = (None, self.call[1], self.call[2], ())
        self.caps = ()
        self.settles = None

    def fail(self, error: BaseException) -> None:
        """The call will never be sent."""
        self.error = error
        if self.settles is not None:
            self.settles.fail(error)
        if self.waker is not None:
            self.waker.wake()


@final
class _Taken:
    """Stands in the place of a promise's slot once its answer has been taken."""

    state = -2


_TAKEN: Final = _Taken()


@final
class Promise(FutureBase[T_co]):
    """The value of a call that was sent. Await it once; dropping it cancels the call."""

    # Invariant: `_slot` is the slot of the call, which stays taken as long as it stands
    # here; before the call is sent an Unsent; _TAKEN when the answer was taken or given up.
    __slots__ = ("_kept", "_method", "_slot", "caller")

    def __init__(self, caller: Caller, slot: Question | Unsent, method: Method, kept: Any) -> None:
        self.caller = caller
        self._slot: Question | Unsent | _Taken = slot
        self._method = method
        self._kept = kept  # what has to stay until the answer is there

    def poll(self, cx: Context, /) -> Poll[T_co]:
        slot: Any = self._slot
        state = slot.state
        if state == WAITING:
            slot.waker = cx.waker
            return PENDING
        if state == READY:
            self._slot = _TAKEN
            self._kept = None
            return self.caller.take(slot, self._method)  # type: ignore[no-any-return]
        return self._poll_unusual(cx)

    def _poll_unusual(self, cx: Context) -> Poll[T_co]:
        unsent = self._slot
        if type(unsent) is Question and unsent.state == DETACHED:
            self._slot = _TAKEN
            self._kept = None
            return self.caller.take_detached(unsent, self._method)  # type: ignore[no-any-return]
        if type(unsent) is not Unsent:
            raise TakenTwice(f"the answer of {self._method!r} was taken already", self)
        if unsent.error is not None:
            self._slot = _TAKEN
            raise again(unsent.error)
        if unsent.task is not None:
            return cx.poll(unsent.task)
        if unsent.slot is None:
            unsent.waker = cx.waker
            return PENDING
        self._slot = unsent.slot
        return self.poll(cx)

    @property
    def _pinfut_name(self) -> str:
        """What it is called in messages; a `name` would be taken for the method of an object."""
        question = self.question
        x = "a call" if question is None else f"call {question.x}"
        return f"{self._method.name}, {x} of session {self.caller.name}"

    @property
    def sent(self) -> Question | Unsent:
        """What was sent or waits for a slot. Raises TakenTwice when the answer was taken."""
        slot = self._slot
        if isinstance(slot, _Taken):
            raise TakenTwice(f"the answer of {self._method!r} was taken already", self)
        return slot

    @property
    def question(self) -> Question | None:
        """The question that was sent and has no answer that was taken."""
        slot = self._slot
        return slot if type(slot) is Question else None

    def drop(self) -> None:
        """Give the call up: the other side is asked to stop, and the slot stays taken
        until it has acknowledged."""
        if self._slot is not _TAKEN:
            self._give_up()

    def _give_up(self) -> None:
        slot, self._slot = self._slot, _TAKEN
        self._kept = None
        self.caller.leave(slot)

    def __del__(self) -> None:
        if self._slot is not _TAKEN:
            tell_if_forgotten(self, outcome="the call was sent and cancelled at once")
            self._give_up()


accelerate(globals())
