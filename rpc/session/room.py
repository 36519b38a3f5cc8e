"""Room: how much of what a side asked for its calls have: more when it is short, less when little
of it is used.

A *round* is over when more answers have come than there are slots, so that calls of this round have
passed all that was there before. What was open at most in a round, and what was written in it,
bounds what it would have taken; only when that is a quarter, half is given up. So what grows and
shrinks is moved once in as many calls as there are slots, at most."""

from __future__ import annotations

from typing import Final, final

from pinfut.rpc.contract import Endpoint, Submissions
from pinfut.rpc.errors import BankError, GarbageFrame
from pinfut.rpc.wire.questions import Questions

_LITTLE: Final = 4


@final
class Room:
    """The slots and the ring of the calls of one side."""

    __slots__ = (
        "_came", "_end", "_first", "_most", "_questions", "_submissions", "_tail", "spacious",
    )  # fmt: skip

    def __init__(self, end: Endpoint, submissions: Submissions, questions: Questions) -> None:
        self._end = end
        self._submissions = submissions
        self._questions = questions
        questions.resize(submissions.slots)
        self._first = submissions.slots, submissions.capacity
        self._begin()

    def _begin(self) -> None:
        """A round begins."""
        self._came = self._most = 0
        self._tail = self._submissions.tail
        # Whether there is more than at first.
        submissions = self._submissions
        now = submissions.slots, submissions.capacity
        self.spacious = now != self._first or submissions.spare

    def grow(self) -> bool:
        """All slots are taken: have more of them; whether there are any."""
        submissions, questions = self._submissions, self._questions
        slots = submissions.slots
        if not questions.idle:
            slots = min(2 * slots, self._end.slots)
            if slots == submissions.slots:
                return False
            try:
                submissions.resize(slots, submissions.capacity)
            except BankError:
                return False
        questions.resize(slots)
        self._begin()
        return True

    def widen(self, size: int = 0) -> bool:
        """Have a larger ring, one that a frame of `size` bytes always fits; whether there may be
        one. Raises OutOfPages."""
        ring = max(2 * self._submissions.capacity, 1 << (2 * size - 1).bit_length())
        if ring > self._end.ring:
            return False
        self._submissions.resize(self._submissions.slots, ring)
        self._begin()
        return True

    def look(self, used: int, came: int) -> bool:
        """So many slots were taken, and so many answers have come: give up what a round has not
        used; whether anything. Raises GarbageFrame when the other side leaves nothing that was
        left to it: of more answers than there are slots one was to a call sent since."""
        submissions = self._submissions
        self._most = max(self._most, used)
        self._came += came
        if self._came <= submissions.slots:
            return False
        if submissions.behind:
            raise GarbageFrame("calls are answered that were sent where the other side never came")
        slots, ring = submissions.slots, submissions.capacity
        if self._most * _LITTLE <= slots:
            slots //= 2
        if (submissions.tail - self._tail) * _LITTLE <= ring:
            ring //= 2
        self._begin()
        return self.shrink(slots, ring)

    def shrink(self, slots: int = 0, ring: int = 0) -> bool:
        """Have no more than that, and no less than at first; whether anything is given up. Slots
        in use stay, and those above are not used again until they are free."""
        submissions, questions = self._submissions, self._questions
        if submissions.behind > 1:
            return False  # the other side has still to leave what was given up before
        slots, ring = max(slots, self._first[0]), max(ring, self._first[1])
        fewer = slots < submissions.slots and questions.narrow(slots)
        if not fewer:
            slots = submissions.slots
            if ring == submissions.capacity and not submissions.spare:
                return False
        try:
            submissions.resize(slots, ring)
        except BankError:
            return False
        if fewer:
            questions.resize(slots)
        self._begin()
        return True
