"""A bushel whose objects are handed out, held, released and dropped in every order, with
ids of before named at each step. The oracle is what was handed out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from pinfut.rpc.bank.bank import Bank, SessionAccount
from pinfut.rpc.bank.share import Share
from pinfut.rpc.errors import GarbageFrame, UnknownObject
from pinfut.rpc.wire.exports import Bushel
from tests.explore.states import REST, Operation
from tests.rpc.wire.fakes import Plain, Thing


class Bushels:
    """`count` objects, handed out for the first time or anew at most `grants` times, and once
    more at most while they are there. `held`: also held by answers, and handed out twice."""

    def __init__(self, count: int, grants: int, held: bool = True) -> None:
        self.account = SessionAccount(Share(Bank("client", 1000, 1000)))
        self.bushel = Bushel(self.account)
        self.things = [Plain(str(n)) for n in range(count)]
        self.left = grants
        self.held = held
        # How many of the objects were ever handed out.
        self.ever = 0
        # By object: its id, while it is there; how often it was handed out; who holds it.
        self.numbers: dict[int, int] = {}
        self.uses: Counter[int] = Counter()
        self.holds: Counter[int] = Counter()
        # Every id that there ever was.
        self.issued: set[int] = set()
        self.happened: set[str] = set()

    def operations(self) -> Sequence[Operation]:
        found: list[Operation] = []
        for n in range(len(self.things)):
            if n not in self.numbers:
                if self.left and n <= self.ever:  # the next new one is as good as any
                    found.append(("grant", n))
                continue
            if self.uses[n] == 1 and self.held:
                found.append(("grant", n))
            if self.uses[n]:
                found.append(("release", n))
                if self.held and not self.holds[n]:
                    found.append(("hold", n))
            elif self.left:
                found.append(("grant", n))
            if self.holds[n]:
                found.append(("unhold", n))
        return found

    def apply(self, operation: Operation, /) -> None:
        what, n = operation
        self.happened.clear()
        bushel = self.bushel
        if what == "grant":
            self._grant(n)
        elif what == "release":
            bushel.release(self.numbers[n], 1)
            self.uses[n] -= 1
            if not self.uses[n] and self.holds[n]:
                self.happened.add("held though released")
        elif what == "hold":
            bushel.hold(self.numbers[n])
            self.holds[n] += 1
        else:
            bushel.unhold(self.numbers[n])
            self.holds[n] -= 1
        if n in self.numbers and not self.uses[n] and not self.holds[n]:
            del self.numbers[n]

    def _grant(self, n: int) -> None:
        before, generation = self.bushel._kept, self.bushel._generation
        number = self.bushel.grant(self.things[n], Thing)
        if n in self.numbers:
            assert number == self.numbers[n], "an object has two ids"
            self.left -= not self.uses[n]
        else:
            self.ever = max(self.ever, n + 1)
            assert number not in self.issued, "an id of before names another object"
            self.issued.add(number)
            self.numbers[n] = number
            self.left -= 1
            if number >> 32:
                self.happened.add("a place used again")
            if before and self.bushel._next:
                self.happened.add("around those that stay")
            if not number >> 32 and generation < 0:
                self.happened.add("generations used up")
        self.uses[n] += 1

    def check(self) -> None:
        bushel = self.bushel
        places = [number & 0xFFFF_FFFF for number in self.numbers.values()]
        assert len(set(places)) == len(places), "two generations of one place"
        assert len(bushel) == len(self.numbers)
        by_number = {number: n for n, number in self.numbers.items()}
        for number in self.issued:
            n = by_number.get(number)
            if n is not None and self.uses[n]:
                assert bushel.get(number)[0] is self.things[n], "an id names another object"
                assert bushel.things[number][0] is self.things[n]
                _refused(bushel, number, self.uses[n] + 1)
            else:
                _refused(bushel, number, 1)
                assert number not in bushel.things, "a released id is called"
        assert self.account.used == bushel.charged, "charged is not what is held"
        assert self.account.caps - self.account.free_caps == len(self.numbers)

    def form(self) -> Hashable:
        bushel = self.bushel
        return (
            tuple(
                (self.numbers.get(n), self.uses[n], self.holds[n]) for n in range(len(self.things))
            ),
            self.left,
            self.ever,
            tuple(bushel._free),
            bushel._next,
            bushel._generation,
            bushel._width,
            bushel._base,
            bushel._kept,
            bushel._high,
            frozenset(self.issued),
        )

    def kinds(self) -> Iterable[str]:
        yield from self.happened
        if not self.numbers:
            yield REST
        if len(self.numbers) == len(self.things):
            yield "all are there"


def _refused(bushel: Bushel, number: int, count: int) -> None:
    try:
        bushel.release(number, count)
    except (UnknownObject, GarbageFrame):
        return
    raise AssertionError(f"{count} times of {number:#x} were released, and that is too often")
