"""Memory that flows the other way, credit pages, and regions as units."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE, Balance, Bank
from pinfut.rpc.bank.credit_page import show
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.credit import Credit, read_credit
from pinfut.rpc.errors import MessageTooLarge, OutOfPages, SessionDead, StillPinned
from pinfut.rpc.memory.pages import Region
from pinfut.rpc.memory.receive import ReceivePool
from tests.bounded import exhaust
from tests.covered import covered, require

NAME = "receive pool equals its oracle"


def two() -> tuple[Bank, Bank, Bank]:
    root = Bank("root", 1000, 1000)
    return root, root.child("driver", pages=100), root.child("receiver", pages=100)


def test_packets_take_what_the_receiver_posted_and_are_dropped_and_counted_beyond() -> None:
    follow_packets()
    require(covered(NAME), "delivered", "dropped", "given", "taken", "posted_again")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["post", "post", "deliver", "give", "take", "take"]),
            st.integers(1, 5),
        ),
        max_size=40,
    )
)
def follow_packets(steps: list[tuple[str, int]]) -> None:
    root, driver, receiver = two()
    pool = ReceivePool(receiver, limit=6)
    sent: deque[bytes] = deque()
    held: list[Region] = []
    counts: Counter[str] = Counter()
    posted = dropped = delivered = serial = 0
    for step, n in steps:
        usage = driver.pages_used, receiver.pages_used
        if step == "post":
            if posted + len(sent) >= 6:
                with pytest.raises(ValueError, match="at most"):
                    pool.post()
                continue
            again = held.pop() if held and n > 3 else None
            pool.post(again)
            posted += 1
            counts["posted_again"] += again is not None
            assert receiver.pages_used == usage[1] + (again is None)
        elif step == "deliver":
            serial += 1
            packet = serial.to_bytes(4, "little") * n
            came = pool.deliver(packet)
            assert came == (posted > 0)
            if came:
                posted -= 1
                delivered += 1
                sent.append(packet)
            dropped += not came
            assert (driver.pages_used, receiver.pages_used) == usage, "a packet was allocated"
        elif step == "give":
            packets = [Region(driver, 1) for _ in range(n)]
            wanted = []
            for one in packets:
                serial += 1
                wanted.append(serial.to_bytes(4, "little") * 3)
                one.buffer[:12] = wanted[-1]
            before = driver.pages_used, receiver.pages_used, root.pages_used
            buffers = [id(one.buffer.obj) for one in packets]
            mine = pool.give(packets, [12] * n)
            taken = len(mine)
            assert taken == min(n, posted)
            assert all(one.bank is driver for one in mine)
            assert (driver.pages_used, receiver.pages_used, root.pages_used) == before
            posted -= taken
            delivered += taken
            dropped += n - taken
            sent.extend(wanted[:taken])
            assert [id(one.buffer.obj) for one in packets] == buffers, "a packet was copied"
            assert all(one.bank is receiver for one in packets[:taken])
            for one in packets[taken:] + mine:
                one.free()
            counts["given"] += taken
        else:
            got = pool.take()
            if not sent:
                assert got is None
                continue
            assert got is not None
            region, size = got
            assert region.buffer[:size] == sent.popleft(), "out of order, or overwritten"
            assert region.bank is receiver
            held.append(region)
            counts["taken"] += 1
        assert (pool.posted, pool.dropped, pool.delivered) == (posted, dropped, delivered)
    for region in held:
        region.free()
    pool.close()
    assert receiver.pages_used == 0
    covered(NAME, delivered=delivered, dropped=dropped, **counts)


def test_a_flood_costs_the_sender_and_the_receiver_nothing_more() -> None:
    _, driver, receiver = two()
    pool = ReceivePool(receiver)
    for _ in range(8):
        pool.post()
    for number in range(10_000):
        pool.deliver(number.to_bytes(4, "little"))
    assert (pool.delivered, pool.dropped) == (8, 9_992)
    assert (driver.pages_used, receiver.pages_used) == (0, 8)
    with pytest.raises(MessageTooLarge):
        pool.deliver(bytes(PAGE + 1))


def test_a_buffer_that_is_posted_stays_until_it_was_taken() -> None:
    root, _, receiver = two()
    pool = ReceivePool(receiver)
    pool.post()
    pool.post()
    pool.deliver(b"one")
    end = destroy(receiver)
    exhaust(end.step, "the bank is destroyed")
    assert not end.done
    assert root.pages_used == 2
    assert pool.take() is None
    assert not pool.deliver(b"two"), "a packet for a receiver that is going"
    assert end.done
    assert root.pages_used == 0


def test_a_receiver_that_cannot_pay_posts_nothing() -> None:
    bank = Bank("root", 2, 0)
    pool = ReceivePool(bank)
    pool.post()
    pool.post()
    with pytest.raises(OutOfPages, match="a buffer for what comes"):
        pool.post()
    assert pool.posted == 2


# ---- regions ----


def test_a_region_is_one_mapping_and_its_pages_can_be_taken_out() -> None:
    """Shared memory without double mapping: bought as one, mapped as one, and extractable."""
    root, mapper, bank = two()
    region = Region(bank, 64)
    maps = [region.map(mapper) for _ in range(3)]
    assert region.mappings == 3, "one entry for each process, however many pages"
    assert all(len(one.memory) == 64 * PAGE for one in maps)
    assert (mapper.ledger.used, mapper.pages_used) == (3 * prices.MAPPING, 1), "who maps pays"
    for page in range(64):
        region.buffer[page * PAGE] = page
    stale = region.share()
    part = region.extract(10, 4)
    assert (region.pages, part.pages, bank.pages_used, root.pages_used) == (60, 4, 64, 65)
    assert [part.buffer[i * PAGE] for i in range(4)] == [10, 11, 12, 13]
    assert [region.buffer[i * PAGE] for i in (9, 10, 59)] == [9, 14, 63]
    assert not stale.alive
    for first, count in ((-1, 1), (0, 0), (0, 60), (58, 3)):
        with pytest.raises(ValueError, match="of a region"):
            region.extract(first, count)
    region.pin()
    with pytest.raises(StillPinned):
        region.extract(0, 1)
    # Cut while it was mapped: what was there is two things now, and neither is that one.
    with pytest.raises(SessionDead):
        _ = maps[0].memory
    for one in maps:
        one.unmap()
        one.unmap()
    assert (region.mappings, mapper.pages_used) == (0, 0)
    poor = root.child("poor", pages=0)
    with pytest.raises(OutOfPages, match="a mapping"):
        region.map(poor)
    assert region.mappings == 0


# ---- credit ----


def test_a_credit_page_shows_at_every_moment_what_its_bank_has_left() -> None:
    """Whatever changes it: what is bought and sold there or below, a limit that moves, its end."""
    root, above, _ = two()
    bank = above.child("bank", pages=60)
    funded = above.child("funded", pages=20, caps=100, funded=True)
    page, own = show(bank), show(funded)
    above_page = show(above)
    below = bank.child("below", pages=50)
    counts: Counter[str] = Counter()

    def seen(what: str) -> None:
        for one, its in ((bank, page), (funded, own), (above, above_page)):
            credit = read_credit(its.view)
            assert credit is not None
            pages, caps = (one.page_limit, one.pages_used), (one.cap_limit, one.caps_used)
            assert credit[1:] == pages + caps, what
            assert Balance(credit.pages, credit.caps) == one.balance
        counts[what] += 1

    seen("opened")
    assert bank.own.pages == funded.own.pages == 2, "its books, and its page"
    changes: list[tuple[str, Callable[[], None]]] = [
        ("bought", lambda: bank.buy(3, 2)),
        ("bought below", lambda: below.buy(5)),
        ("sold below", lambda: below.sell(4)),
        ("sold", lambda: bank.sell(1, 1)),
        ("refilled", lambda: bank.refill(pages=7, caps=-3)),
        ("lowered below its use", lambda: bank.refill(pages=-65)),
        ("funded with more", lambda: funded.refill(pages=4)),
        ("a removed bank's", below.remove),
    ]
    for what, change in changes:
        change()
        seen(what)
    assert len(counts) == 9
    with pytest.raises(TypeError):
        page.view[1] = 5
    # A second one who looks sees the same page, and the last who leaves gives it back.
    assert show(bank) is page
    page.leave()
    assert bank.credit is page
    bank.remove()
    removed = read_credit(page.view)
    assert removed is not None
    assert (removed.pages, removed.caps) == (0, 0), "nobody can buy of it"
    kept = above.pages_used
    page.leave()
    assert bank.credit is None
    assert above.pages_used == kept - 1
    while Bank.next_to_destroy(root):
        pass
    for its in (own, above_page):
        last = read_credit(its.view)
        assert last is not None
        assert (last.pages, last.caps) == (0, 0), "nothing is left of a bank that is destroyed"
        its.leave()
    assert root.pages_used == 0


def test_a_reader_never_takes_half_a_publication_and_never_hangs() -> None:
    """Whatever the writer does between any two reads of the reader."""
    torn = 0

    class Words:
        """The page while a writer is at it: each read shows the next moment."""

        def __init__(self, stop: int) -> None:
            self.values = [2, 10, 1, 10, 1]
            self.stop = stop
            self.reads = 0

        def __getitem__(self, key: int | slice) -> object:
            value = self.values[key] if isinstance(key, int) else memoryview(self._copy(key))
            self.reads += 1
            if self.reads == self.stop:
                self.values = [4, 20, 2, 20, 2]
            elif self.stop < 0:
                self.values[0] += 2
            return value

        def _copy(self, key: slice) -> bytes:
            return bytes(self.values[key])

    for stop in range(1, 6):
        credit = read_credit(Words(stop))  # type: ignore[arg-type]
        assert credit in (Credit(1, 10, 1, 10, 1), Credit(2, 20, 2, 20, 2)), "half of each"
        torn += credit == Credit(2, 20, 2, 20, 2)
    assert 0 < torn < 5
    endless = Words(-1)
    assert read_credit(endless) is None  # type: ignore[arg-type]
    assert endless.reads < 100
