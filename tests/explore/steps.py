"""Accesses to shared words, one at a time, in the midst of the code that makes them.

A section is a piece of code that touches shared words, such as `RingWriter.write`. To stop
between two accesses it is left by an exception, and to go on it runs again from its
beginning: it reads what it has read before, its writes of before are passed over, and then
it makes one access more. So where it stands is the list of what it has read, and no thread
has to be kept there. What is private to it has to be put back before it runs again.
"""

from __future__ import annotations

from typing import Any


class Stopped(BaseException):
    """The section has made its access, and stands before the next."""


class Accesses:
    """What one side has read in the section that it is in; None for each write."""

    def __init__(self) -> None:
        self.log: list[int | None] = []
        self._at = 0
        self._made = False

    def begin(self) -> None:
        """The section is run, from its beginning, for one access more."""
        self._at = 0
        self._made = False

    def end(self) -> None:
        """The section has ended."""
        self.log = []

    def read(self, view: memoryview, index: int) -> int:
        if not self._again():
            self.log.append(view[index])
        value = self.log[self._at - 1]
        assert value is not None, "the section does not do the same again"
        return value

    def write(self, view: memoryview, index: int, value: int) -> None:
        if not self._again():
            view[index] = value
            self.log.append(None)

    def _again(self) -> bool:
        """Whether the access was made before."""
        if self._at == len(self.log):
            if self._made:
                raise Stopped
            self._made = True
            self._at += 1
            return False
        self._at += 1
        return True


class Watched:
    """A memoryview for one side, whose words are accessed one at a time. Bodies are private
    until a word says otherwise."""

    def __init__(self, view: memoryview, accesses: Accesses, words: bool = False) -> None:
        self._view = view
        self._accesses = accesses
        self._words = words

    def __len__(self) -> int:
        return len(self._view)

    def cast(self, kind: str) -> Watched:
        return Watched(self._view.cast(kind), self._accesses, kind == "Q")  # type: ignore[call-overload]

    def tobytes(self) -> bytes:
        return self._view.tobytes()

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return Watched(self._view[key], self._accesses, self._words)
        return self._accesses.read(self._view, key) if self._words else self._view[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._words:
            self._accesses.write(self._view, key, value)
        else:
            self._view[key] = value
