"""Bushels of one table, whose objects are handed out, held, released and dropped in every order,
with ids of before named at each step, until sessions end. The oracle is what was handed out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import Bank, SessionAccount
from pinfut.rpc.bank.share import Share
from pinfut.rpc.errors import GarbageFrame, UnknownObject
from pinfut.rpc.wire.export_table import ExportTable
from pinfut.rpc.wire.exports import Bushel
from tests.explore.states import REST, Operation
from tests.rpc.wire.fakes import Plain, Thing


class Bushels:
    """`count` objects, handed out over `sessions`, anew at most `grants` times in all, and once
    more at most while they are there. `held`: also held by answers, and handed out twice. With more
    than one session each may end."""

    def __init__(self, count: int, grants: int, held: bool = True, sessions: int = 1) -> None:
        bank = Bank("client", 1000, 1000)
        self.accounts = [SessionAccount(Share(bank)) for _ in range(sessions)]
        self.table = ExportTable()
        self.bushels = [Bushel(one, self.table) for one in self.accounts]
        self.open = [*range(sessions)]
        self.things = [Plain(str(n)) for n in range(count)]
        self.left = grants
        self.held = held
        # How many of the objects were ever handed out.
        self.ever = 0
        # By object: its id, while it is there.
        self.numbers: dict[int, int] = {}
        # By session and object: how often it was handed out; who holds it.
        self.uses: Counter[tuple[int, int]] = Counter()
        self.holds: Counter[tuple[int, int]] = Counter()
        # What a session pays itself for an object that was there when it came to it.
        self.paid: Counter[tuple[int, int]] = Counter()
        # Every id that there ever was.
        self.issued: set[int] = set()
        self.happened: set[str] = set()

    def _has(self, s: int, n: int) -> bool:
        return self.uses[s, n] + self.holds[s, n] > 0

    def operations(self) -> Sequence[Operation]:
        found: list[Operation] = []
        for s in self.open:
            for n in range(len(self.things)):
                at = s * len(self.things) + n
                if not self._has(s, n):
                    if self.left and n <= self.ever:  # the next new one is as good as any
                        found.append(("grant", at))
                    continue
                if self.uses[s, n] == 1 and self.held:
                    found.append(("grant", at))
                if self.uses[s, n]:
                    found.append(("release", at))
                    if self.held and not self.holds[s, n]:
                        found.append(("hold", at))
                elif self.left:
                    found.append(("grant", at))
                if self.holds[s, n]:
                    found.append(("unhold", at))
            if len(self.accounts) > 1:
                found.append(("end", s))
        return found

    def apply(self, operation: Operation, /) -> None:
        what, at = operation
        self.happened.clear()
        if what == "end":
            self._end(at)
            return
        s, n = divmod(at, len(self.things))
        bushel = self.bushels[s]
        if what == "grant":
            self._grant(s, n)
        elif what == "release":
            bushel.release(self.numbers[n], 1)
            self.uses[s, n] -= 1
            if not self.uses[s, n] and self.holds[s, n]:
                self.happened.add("held though released")
        elif what == "hold":
            bushel.hold(self.numbers[n])
            self.holds[s, n] += 1
        else:
            bushel.unhold(self.numbers[n])
            self.holds[s, n] -= 1
        self._forget(n)

    def _forget(self, n: int) -> None:
        if n in self.numbers and not any(self._has(s, n) for s in self.open):
            del self.numbers[n]

    def _end(self, s: int) -> None:
        self.open.remove(s)
        if self.numbers and self.open and self.table.account is self.accounts[s]:
            self.happened.add("the one who paid has ended")
        self.bushels[s].close()
        for n in range(len(self.things)):
            self.uses[s, n] = self.holds[s, n] = 0
            self._forget(n)
        assert (self.accounts[s].used, self.accounts[s].free_caps) == (0, self.accounts[s].caps)

    def _grant(self, s: int, n: int) -> None:
        before, generation = self.table._kept, self.table._generation
        number = self.bushels[s].grant(self.things[n], Thing)
        if n in self.numbers:
            assert number == self.numbers[n], "an object has two ids"
            self.left -= not self.uses[s, n]
            if not self._has(s, n):
                self.paid[s, n] = prices.REFERENCE
                self.happened.add("over a second session")
        else:
            self.ever = max(self.ever, n + 1)
            assert number not in self.issued, "an id of before names another object"
            self.issued.add(number)
            self.numbers[n] = number
            self.paid[s, n] = 0
            self.left -= 1
            if number >> 32:
                self.happened.add("a place used again")
            if before and self.table._next:
                self.happened.add("around those that stay")
            if not number >> 32 and generation < 0:
                self.happened.add("generations used up")
        self.uses[s, n] += 1

    def check(self) -> None:
        places = [number & 0xFFFF_FFFF for number in self.numbers.values()]
        assert len(set(places)) == len(places), "two generations of one place"
        by_number = {number: n for n, number in self.numbers.items()}
        for s in self.open:
            bushel = self.bushels[s]
            assert len(bushel) == sum(self._has(s, n) for n in self.numbers)
            for number in self.issued:
                n = by_number.get(number, -1)
                if self.uses[s, n]:
                    assert bushel.get(number)[0] is self.things[n], "an id names another object"
                    assert bushel.things[number][0] is self.things[n]
                    _refused(bushel, number, self.uses[s, n] + 1)
                else:
                    _refused(bushel, number, 1)
                    assert number not in bushel.things, "a released id is called"
            assert self.accounts[s].used == bushel.charged, "charged is not what is held"
        charged = (prices.EXPORT + Plain._pinfut_charge) * len(self.numbers)
        charged += sum(self.paid[at] for at in self.paid if self._has(*at))
        assert sum(one.used for one in self.accounts) == charged, "charged twice, or by nobody"
        caps = sum(one.caps - one.free_caps for one in self.accounts)
        assert caps == len(self.numbers), "not one capability for each object"

    def form(self) -> Hashable:
        table = self.table
        ways = [(s, n) for s in self.open for n in range(len(self.things))]
        return (
            tuple(self.numbers.get(n) for n in range(len(self.things))),
            tuple((s, n, self.uses[s, n], self.holds[s, n], self.paid[s, n]) for s, n in ways),
            # Who pays what.
            tuple(one.used for one in self.accounts),
            self.left,
            self.ever,
            tuple(table._free),
            table._next,
            table._generation,
            table._width,
            table._base,
            table._kept,
            table._high,
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
