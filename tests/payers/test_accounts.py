"""A block lies in its payer's pages, whoever frees it, and the accounts hold at every moment."""

from __future__ import annotations

import ctypes
import gc
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pinfut import payers
from pinfut.payers import PAGE, Payer
from tests.covered import covered, require
from tests.payers.apart import SOAK, apart, audit

MANY = 10_000


def collect() -> None:
    """A whole collection also empties the interpreter's free lists, which keep some blocks."""
    gc.collect()


@apart
def test_what_is_made_while_a_payer_is_current_lies_in_its_pages_until_it_goes() -> None:
    p, other = Payer(MANY), Payer(MANY)
    held = p.soft_call(lambda: [bytearray(n) for n in range(1, 5_000, 7)])
    assert {payers.owner(each) for each in held} == {p}
    assert p.used <= p.pages * PAGE
    assert p.used >= sum(range(1, 5_000, 7))
    assert (other.pages, other.blocks) == (0, 0)
    audit(p)
    other.soft_call(held.clear)  # somebody else frees it
    collect()
    assert p.blocks <= 1
    assert other.pages <= 1
    audit(p)
    del held
    collect()
    assert (p.blocks, p.used) == (0, 0)
    assert p.pages <= 8
    assert payers.owner([]) is None
    assert payers.current() == (None, "off")


@apart
def test_whoever_makes_a_block_larger_pays_for_all_of_it() -> None:
    first, second = Payer(MANY), Payer(MANY)
    block = first.soft_call(bytearray, 100_000)
    before = first.used
    second.soft_call(block.extend, bytes(200_000))
    assert second.used >= 300_000
    assert first.used <= before - 100_000
    block.extend(bytes(400_000))  # nobody is current: its owner
    assert second.used >= 700_000
    for p in (first, second):
        audit(p)


@apart
def test_a_block_that_shrinks_gives_back_the_pages_behind_it() -> None:
    p = Payer(MANY)
    block = p.soft_call(bytearray, 100 * PAGE)
    full = p.pages
    del block[10 * PAGE :]
    assert p.pages <= full - 80
    del block[:]
    assert p.pages <= 3
    audit(p)


@apart
def test_a_small_client_takes_few_pages_and_a_large_one_wastes_little() -> None:
    def mixture(count: int) -> list[Any]:
        return [(bytes(n * 17 % 900), [n] * (n % 40), {n: str(n)}) for n in range(count)]

    small, large = Payer(MANY), Payer(MANY)
    held = small.soft_call(mixture, 10)
    assert small.pages <= small.used // PAGE + 2
    more = large.soft_call(mixture, 5_000)
    assert large.pages * PAGE <= 1.1 * large.used
    del more, held
    collect()
    assert (small.due(0), large.due(0)) == (1, 0)
    assert (small.pages, large.pages) == (1, 0)


@apart
def test_what_a_block_of_more_than_half_a_page_leaves_of_it_is_for_others() -> None:
    p = Payer(MANY)
    large = [p.soft_call(bytes, 9 * PAGE) for _ in range(40)]  # no small client
    pages = p.pages
    held = [
        (p.soft_call(bytes, 2_100), [p.soft_call(bytes, 90) for _ in range(14)]) for _ in range(99)
    ]
    assert 99 * 3_400 <= (p.pages - pages) * PAGE <= 1.25 * 99 * 3_400
    audit(p)
    del held, large
    collect()
    assert (p.blocks, p.pages) == (0, 0)
    audit(p)


@apart
def test_nothing_drifts_however_long_a_client_is_busy() -> None:
    p = Payer(MANY)
    rounds = 200 if SOAK else 20

    def busy() -> None:
        kept: list[Any] = []
        for n in range(5_000):
            kept.append((bytes(n * 31 % 3_000), {n: [n]}))
            if n % 3:
                kept[n * 7919 % len(kept)] = None

    for _ in range(20):  # until what is freed lies where what comes next has room
        p.soft_call(busy)
    pages = p.pages
    top = payers.stats()["top"]
    for _ in range(rounds):
        p.soft_call(busy)
    collect()
    assert p.blocks == 0
    assert p.pages <= pages
    assert payers.stats()["top"] <= top + 8
    assert payers.stats()["kept"] <= 256, "free pages keep their memory up to 1 MiB"
    audit(p)


@apart
def test_what_is_due_covers_what_is_in_use_with_one_page_to_spare() -> None:
    p = Payer(MANY)
    paid = bought = sold = 0
    held: list[bytes] = []
    for n in [*range(0, 200, 7), *range(200, -1, -3), 50, 45, 50, 45]:
        while len(held) < n:
            held.append(p.soft_call(bytes, PAGE - 100))
        del held[n:]
        due = p.due(paid)
        paid += due
        bought += due > 0
        sold += due < 0
        assert p.due(paid) == 0
        assert p.limit == paid
        assert 0 <= paid - p.pages <= 1
    assert bought > 10
    assert sold > 10
    covered("pages of payers", bought=bought, sold=sold)


Function = Callable[..., Any]


def raw() -> list[tuple[Function, Function, Function, Function]]:
    """malloc, calloc, realloc and free of both domains, as C code calls them."""
    found = []
    for domain in ("PyMem", "PyObject"):
        four = [getattr(ctypes.pythonapi, f"{domain}_{each}") for each in WORDS]
        for function, (result, arguments) in zip(four, WORDS.values(), strict=True):
            function.restype = result
            function.argtypes = arguments
        found.append((four[0], four[1], four[2], four[3]))
    return found


N, P = ctypes.c_size_t, ctypes.c_void_p
WORDS: dict[str, tuple[Any, list[Any]]] = {
    "Malloc": (P, [N]),
    "Calloc": (P, [N, N]),
    "Realloc": (P, [P, N]),
    "Free": (None, [P]),
}


class Oracle:
    """What must be where, known without the allocator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.payers = [Payer(MANY) for _ in range(4)]
        self.domains = raw()
        # address → domain, size, the byte that fills it, who pays (None: nobody)
        self.blocks: dict[int, tuple[int, int, int, Payer | None]] = {}
        self.mine: dict[Payer | None, int] = dict.fromkeys([*self.payers, None], 0)
        self.counts = dict.fromkeys(("made", "zeroed", "grown", "shrunk", "stayed", "freed"), 0)

    def call(self, who: Payer | None, function: Function, *arguments: object) -> Any:
        if who is None:
            return function(*arguments)
        result = who.soft_call(function, *arguments)
        return None if result is None else result + 0  # a number of our own

    def size(self) -> int:
        few = self.random.choice
        return few([0, 1, 16, few(range(64)), few(range(600)), few(range(3_000)), 20_000, 90_000])

    def check(self, address: int) -> None:
        _, size, fill, _ = self.blocks[address]
        assert ctypes.string_at(address, size) == bytes([fill]) * size, "somebody wrote there"

    def put(self, address: int, domain: int, size: int, who: Payer | None) -> None:
        assert address
        assert address % 16 == 0
        assert address not in self.blocks
        fill = self.random.randrange(256)
        ctypes.memset(address, fill, size)
        self.blocks[address] = domain, size, fill, who
        self.mine[who] += 1

    def step(self) -> None:
        who = self.random.choice([*self.payers, None])
        domain = self.random.randrange(2)
        malloc, calloc, realloc, free = self.domains[domain]
        kind = self.random.choice(["malloc", "calloc", "realloc", "realloc", "free", "free"])
        if kind == "malloc" or not self.blocks:
            size = self.size()
            self.put(self.call(who, malloc, size), domain, size, who)
            self.counts["made"] += 1
        elif kind == "calloc":
            size = self.size()
            address = self.call(who, calloc, 1, size)
            assert ctypes.string_at(address, size) == bytes(size)
            self.put(address, domain, size, who)
            self.counts["zeroed"] += 1
        else:
            address = self.random.choice(list(self.blocks))
            self.check(address)
            domain, size, fill, owner = self.blocks.pop(address)
            self.mine[owner] -= 1
            _, _, realloc, free = self.domains[domain]
            if kind == "free":
                self.call(who, free, address)
                self.counts["freed"] += 1
                return
            wanted = self.size()
            moved = self.call(who, realloc, address, wanted)
            kept = min(size, wanted)
            assert ctypes.string_at(moved, kept) == bytes([fill]) * kept, "not copied"
            if owner is not None and moved != address:
                owner = who or owner
            self.put(moved, domain, wanted, owner)
            self.counts[
                "stayed" if moved == address else "grown" if wanted > size else "shrunk"
            ] += 1

    def audit(self) -> None:
        collect()
        for p in self.payers:
            audit(p)
            assert p.blocks == self.mine[p], "blocks of somebody else"
            least = sum(size for _, size, _, who in self.blocks.values() if who is p)
            assert p.used >= least
        spans = sorted((address, size) for address, (_, size, _, _) in self.blocks.items())
        for (low, size), (high, _) in pairwise(spans):
            assert low + size <= high, "two blocks overlap"
        for address in self.blocks:
            self.check(address)


def fuzz(seed: int, steps: int) -> dict[str, int]:
    oracle = Oracle(seed)
    for n in range(steps):
        oracle.step()
        if len(oracle.blocks) > 600:  # shrink to few, so that pages go back
            for address in list(oracle.blocks)[::-1][: oracle.random.randrange(600)]:
                oracle.check(address)
                domain, _, _, owner = oracle.blocks.pop(address)
                oracle.mine[owner] -= 1
                oracle.domains[domain][3](address)
        if n % 500 == 0:
            oracle.audit()
    oracle.audit()
    for address, (domain, *_) in oracle.blocks.items():
        oracle.domains[domain][3](address)
    collect()
    for p in oracle.payers:
        assert (p.blocks, p.used) == (0, 0)
        audit(p)
    return oracle.counts


@apart
def test_random_sequences_of_allocations_are_what_an_oracle_says() -> None:
    for seed in range(40 if SOAK else 3):
        counts = covered("blocks of payers", **fuzz(seed, 20_000 if SOAK else 4_000))
    require(counts, "made", "zeroed", "grown", "shrunk", "stayed", "freed")
