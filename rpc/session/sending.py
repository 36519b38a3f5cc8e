"""Sending: what one side of a session sends, and when it becomes visible.

Frames are submitted as they come, or wait for room in the ring, paid for. Nothing is visible
before the turn ends; then all of it is, by one signal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from pinfut.executor.contract import Runner
from pinfut.executor.current import report_call
from pinfut.rpc import prices
from pinfut.rpc.contract import Cap, Endpoint, Submissions
from pinfut.rpc.errors import BankError, ProtocolError, RpcError
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import PROMISED, Target, again
from pinfut.rpc.session.room import Room
from pinfut.rpc.wire.frames import RELEASE_FRAME
from pinfut.rpc.wire.questions import Questions


@final
class Outbox:
    """The sessions of one process that have something to make visible, by level. All of it goes
    when the turn ends, or before: an answer does not wait for work that is less urgent. While all
    sessions are of one level, nothing is kept here."""

    __slots__ = ("_coming", "_levels", "_met", "_runner", "mixed")

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        # The levels that were met, as bits, and whether these are several.
        self._met = 0
        self.mixed = False
        # Invariant: a session that is touched stands here once.
        self._levels: tuple[list[Sending], ...] = ([], [], [])
        self._coming = False  # whether a flush is coming

    def meet(self, level: int) -> None:
        """There is a session of this level."""
        self._met |= 1 << level
        self.mixed = self._met & (self._met - 1) != 0

    def put(self, sending: Sending, level: int) -> None:
        """Have a session flushed when this turn ends. Only where levels are mixed."""
        if not self._coming:
            self._runner.call_soon(self._flush_all)
            self._coming = True
        self._levels[level].append(sending)

    def _flush_all(self) -> None:
        self._coming = False
        self.flush(3)

    def flush(self, below: int) -> bool:
        """Flush now what is of a level below that one, which is more urgent; whether there was
        anything."""
        found = False
        for touched in self._levels[:below]:
            sendings = touched.copy()
            touched.clear()
            for sending in sendings:
                found = True
                try:
                    sending.flush()
                except BaseException as error:
                    report_call(sending.flush, error)
        return found


class Sending:
    """The frames of one side over `end`. `on_fail` ends the session."""

    __slots__ = (
        *("_frames", "_on_fail", "_outbox", "_owing", "account", "dropped", "end", "error"),
        *("executor", "flowing", "held", "name", "opened", "questions", "room", "submissions"),
        *("touched", "watched"),
    )

    submissions: Submissions
    room: Room
    """There once `open` was called."""

    def __init__(
        self,
        end: Endpoint,
        executor: Runner,
        on_fail: Callable[[RpcError], None],
        outbox: Outbox,
        owing: bool,
        questions: Questions,
    ) -> None:
        self.name = end.name
        self.questions = questions
        self.end = end
        self.account = end.account
        self.executor = executor
        self._on_fail = on_fail
        self._outbox = outbox
        outbox.meet(end.level)
        self.error: RpcError | None = None  # why the session has ended; None while it has not
        # Invariant: frames that found no room in the ring, oldest first, each with its
        # charge; while there are any, every other frame goes behind them.
        self._frames: list[tuple[bytes, int]] = []
        self.opened = False  # whether there is anything to submit to yet
        # What was dropped since the last flush, of which nobody was told.
        self.dropped: list[Any] = []
        self._owing = owing  # whether this side is a server, which waits at its client's cost
        self.held = False  # whether calls wait for a slot; every other call goes behind them
        # Whether a flush is coming.
        self.touched = False
        self.watched = bool(executor.instruments)
        # Invariant: submissions are there, the session is open, nothing waits to be sent, and
        # nobody watches.
        self.flowing = False

    def open(self) -> Submissions:
        """Have what this side submits to, bought if it has to be. Raises OutOfPages."""
        if not self.opened:
            self.submissions = self.end.submissions()
            self.room = Room(self.end, self.submissions, self.questions)
            self.opened = True
            self.flow()
        return self.submissions

    def flow(self) -> None:
        """Whether plain calls may take the short way: not behind others, nor unwatched."""
        self.flowing = not (self._frames or self.held or self.watched or self.error)

    def watch(self, x: int, state: str, **about: object) -> None:
        """Tell who watches what has become of question `x`, and more about it."""
        if self.watched:
            name = f"{self.name} back" if self.end.serving else self.name
            self.executor.instruments.slot(name, x, state, N=self.end.slots, **about)

    def watch_sent(self, x: int, target: Target, method: Method, room: int) -> None:
        """Tell that question `x` was sent: what it calls, and with room for what answer."""
        on = target.id if target.state == PROMISED else None
        self.watch(x, "sent", m=method.name, on=on, z=room)

    @property
    def waiting(self) -> int:
        """How many frames wait for room."""
        return len(self._frames)

    def send(self, frame: bytes, /) -> None:
        """Send a frame of the protocol itself behind all others. A client has as many of them as
        slots and imports. What a server owes waits at the client's cost: of one that reads
        nothing, and has nothing left to pay with, the session ends."""
        try:
            self.write(frame, self.charge(frame))
        except BankError as error:
            self.executor.call_soon(self._on_fail, again(error))

    def charge(self, frame: bytes) -> int:
        """What a frame of the protocol itself costs while it waits."""
        return prices.UNWRITTEN + len(frame) if self._owing else 0

    def open_for(self, releases: int) -> None:
        """Have what so many releases are sent by, and make sure that they can be paid while they
        wait. Raises OutOfPages."""
        self.open()
        charge = releases * (prices.UNWRITTEN + RELEASE_FRAME.size)
        if self._owing and self.account.free < charge:
            self.account.take(charge, "releases that wait for room in the ring")
            self.account.give(charge)

    def write(self, frame: bytes, charge: int, caps: tuple[Cap, ...] = ()) -> None:
        """Send a frame, and `caps` beside it; `charge` is what it costs while it waits for room.
        Raises as `Endpoint.hand_over` does."""
        self.open()
        if caps:
            # What is handed over is not taken back: nothing may fail behind it.
            if self.account.free < charge:
                self.account.take(charge, "a message that may have to wait")
                self.account.give(charge)
            self.end.hand_over(caps)
        # First, since it may fail, and a flush of nothing is harmless.
        if not self.touched:
            self.touch()
        try:
            written = not self._frames and self._submit(frame)
        except ProtocolError as error:
            # A call that is being made is told first. What it is told holds its frames, so the
            # session ends with another.
            self.executor.call_soon(self._on_fail, again(error))
            raise
        if not written:
            if charge:
                self.account.take(charge, "a message that waits for room in the ring")
            self._frames.append((frame, charge))
            self.flowing = False

    def _submit(self, frame: bytes) -> bool:
        """Put a frame down, in a larger ring if need be; whether there is room."""
        submit = self.submissions.submit
        return submit(frame) or (self._widen() and submit(frame))

    def _widen(self) -> bool:
        """Go on in a larger ring; False where there is none, or none that can be paid."""
        try:
            return self.room.widen()
        except BankError:
            return False

    def touch(self) -> None:
        """Have `flush` run when this turn ends."""
        if not self.touched:
            if self._outbox.mixed:
                self._outbox.put(self, self.end.level)
            else:
                self.executor.call_soon(self.flush)
            self.touched = True

    def fail(self, error: RpcError, /) -> None:
        """The session cannot go on."""
        self._on_fail(error)

    def flush(self) -> None:
        """Make visible at once what was written: one transition into the kernel, however many
        calls and answers there are."""
        self.touched = False
        if self.error is not None:
            return
        try:
            if self.dropped:
                self._settle_drops()
            frames = self._frames
            if frames:
                while True:
                    taken = self.submissions.submit_all(frame for frame, _ in frames)
                    self.account.give(sum([charge for _, charge in frames[:taken]]))
                    del frames[:taken]
                    if not (frames and self._widen()):
                        break
                self.flow()
            if self.watched and self.opened and self.submissions.unpublished:
                self.executor.instruments.flush(self.name, self.submissions.unpublished)
            self.end.publish()
        except ProtocolError as error:
            self._on_fail(error)

    def _settle_drops(self) -> None:
        """Act on what was dropped since the last flush."""

    def end_sending(self, error: RpcError, *, refund: bool) -> None:
        """The session has ended. `refund`: give back what waits; else the kernel has taken it."""
        self.error = error
        self.flowing = False
        if refund:
            for _, charge in self._frames:
                self.account.give(charge)
        self._frames.clear()
