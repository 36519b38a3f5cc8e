"""Streams: what plain lists give, item by item, whoever is dropped in between."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import (
    END,
    PENDING,
    Closed,
    Context,
    FutureBase,
    FuturesOrdered,
    FuturesUnordered,
    Poll,
    StreamBase,
    Waker,
    buffer_unordered,
    buffered,
    channel,
    drop,
    from_async_generator,
    from_iterable,
    from_receiver,
    lazy,
    merge,
    pending,
    race,
    ready,
    select,
)
from pinfut.executor import CancelledError, current_executor, sleep, spawn, timeout, yield_now
from pinfut.streams import Full, PollNext
from pinfut.sync import Receiver, Sender
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Again, Gate, Hand


class Tape(StreamBase[Any]):
    """A stream that the test feeds."""

    def __init__(self) -> None:
        self.items: deque[Any] = deque()
        self.ended = False
        self.over = False
        self.drops = 0
        self.polls = 0
        self.waker: Waker | None = None

    def poll_next(self, cx: Context, /) -> PollNext[Any]:
        assert not self.drops, "polled after it was dropped"
        assert not self.over, "polled after its end"
        self.polls += 1
        if self.items:
            item = self.items.popleft()
            if isinstance(item, BaseException):
                raise item
            return item
        if self.ended:
            self.over = True
            return END
        self.waker = cx.waker
        return PENDING

    def drop(self) -> None:
        self.drops += 1

    def feed(self, *items: Any, end: bool = False) -> None:
        self.items.extend(items)
        self.ended = end
        if self.waker is not None:
            waker, self.waker = self.waker, None
            waker.wake()


class _Latest(FutureBase[Any]):
    """One owner for all the waits of a reader."""

    polled_after_ready = True

    def __init__(self) -> None:
        self.next: FutureBase[Any] = pending()

    def poll(self, cx: Context, /) -> Poll[Any]:
        return cx.poll(self.next)


class Reader:
    """The consumer of a stream, polled by hand; its ``next()`` may be dropped and made anew."""

    def __init__(self, stream: StreamBase[Any], *, checked: bool = True) -> None:
        self.stream = stream
        self.latest = _Latest()
        self.hand: Hand[Any] = Hand(self.latest, checked=checked)
        self.waits = False
        self.got: list[Any] = []
        self.ended = False
        self.dropped = 0

    def renew(self) -> None:
        """Drop the wait for the next item."""
        if self.waits:
            drop(self.latest.next)
            self.waits = False
            self.dropped += 1

    def read(self) -> None:
        """Take what there is now."""
        while not self.ended:
            if not self.waits:
                self.latest.next = self.stream.next()
            self.waits = False
            item = self.hand.poll()
            if item is PENDING:
                self.waits = True
                if not self.hand.woken:
                    return
                continue
            if item is END:
                self.ended = True
            else:
                self.got.append(item)

    @property
    def woken(self) -> bool:
        return not self.waits or self.hand.woken


def read_all(stream: StreamBase[Any]) -> list[Any]:
    reader = Reader(stream)
    reader.read()
    assert reader.ended
    return reader.got


# ---- chains of adapters ----

Step = tuple[str, int]

STEPS = ("map", "filter", "take", "chunks", "zip", "buffered", "buffer_unordered", "merge")

steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 4)), max_size=4)


def adapt(stream: StreamBase[Any], step: Step) -> StreamBase[Any]:
    kind, n = step
    match kind:
        case "map":
            return stream.map(lambda item: (n, item))
        case "filter":
            return stream.filter(lambda item: len(repr(item)) % (n + 1))
        case "take":
            return stream.take(n)
        case "chunks":
            return stream.chunks(n)
        case "zip":
            return stream.zip(from_iterable(range(n + 2)))
        case "buffered":
            return buffered(stream.map(lambda item: later(item, n)), n)
        case "buffer_unordered":
            return buffer_unordered(stream.map(ready), n)
    return merge(stream, from_iterable(()))


async def later(item: Any, n: int) -> Any:
    for _ in range(len(repr(item)) % n):
        await yield_now()
    return item


def oracle(items: list[Any], step: Step) -> list[Any]:
    kind, n = step
    match kind:
        case "map":
            return [(n, item) for item in items]
        case "filter":
            return [item for item in items if len(repr(item)) % (n + 1)]
        case "take":
            return items[:n]
        case "chunks":
            return [items[i : i + n] for i in range(0, len(items), n)]
        case "zip":
            return list(zip(items, range(n + 2), strict=False))
    return items


@given(steps, st.integers(0, 12), st.randoms(use_true_random=False), st.booleans())
def check_chain(chain: list[Step], count: int, rng: random.Random, checked: bool) -> None:
    tape = Tape()
    stream: StreamBase[Any] = tape
    expected: list[Any] = list(range(count))
    for step in chain:
        stream = adapt(stream, step)
        expected = oracle(expected, step)
    reader = Reader(stream, checked=checked)
    fed = 0
    spurious = 0
    while not reader.ended:
        for _ in range(rng.randint(0, 2)):
            match rng.randrange(3):
                case 0:
                    reader.renew()
                case 1:
                    reader.read()
                    spurious += 1
        reader.read()
        if reader.ended:
            break
        waits = tape.waker is not None
        assert fed <= count, "it has everything, and gives no end"
        some = rng.randint(0, count - fed) if fed < count else 0
        tape.feed(*range(fed, fed + some), end=fed == count)
        if waits:
            assert reader.woken, "who waits is told"
        fed = count + 1 if fed == count else fed + some
    assert reader.got == expected
    assert tape.over or tape.drops, "a source is read to its end or dropped"
    covered(
        "chains of adapters",
        chains=1,
        items=len(expected),
        nexts_dropped=reader.dropped,
        spurious_polls=spurious,
        left_early=int(not tape.over),
        **{kind: 1 for kind, _ in chain},
    )


def test_a_chain_of_adapters_gives_what_the_list_gives() -> None:
    check_chain()
    counts = covered("chains of adapters")
    require(counts, "items", "nexts_dropped", "spurious_polls", "left_early", *STEPS)


@pytest.mark.parametrize("step", [(kind, 3) for kind in STEPS], ids=STEPS)
def test_a_dropped_adapter_drops_its_source(step: Step) -> None:
    tape = Tape()
    stream = adapt(tape, step)
    tape.feed(1)
    Reader(stream).read()
    stream.drop()
    assert tape.drops == 1


@pytest.mark.parametrize("step", [(kind, 3) for kind in STEPS], ids=STEPS)
def test_a_closed_adapter_closes_its_source(step: Step, run: Run) -> None:
    tape = Tape()

    async def main() -> None:
        async with adapt(tape, step):
            pass

    run(main())
    assert tape.drops == 1


def test_an_error_of_a_source_goes_through_every_adapter() -> None:
    for kind in STEPS:
        tape = Tape()
        tape.feed(KeyError("source"))
        with pytest.raises(KeyError, match="source"):
            Reader(adapt(tape, (kind, 2))).read()


def test_sizes_that_make_no_sense_are_refused() -> None:
    for refused in (
        lambda: from_iterable([1]).chunks(0),
        lambda: from_iterable([1]).take(-1),
        lambda: FuturesUnordered[int](0),
        lambda: buffered(from_iterable([ready(1)]), 0),
    ):
        with pytest.raises(ValueError, match=r"not -?[01]"):
            refused()


def test_a_filter_that_refuses_everything_lets_others_run() -> None:
    def numbers() -> Iterator[int]:
        n = 0
        while True:
            yield n
            n += 1

    hand = Hand(from_iterable(numbers()).filter(lambda n: False).next())
    assert hand.poll() is PENDING
    assert hand.woken


# ---- futures in flight ----


@given(st.booleans(), st.integers(1, 5), st.integers(0, 20), st.randoms(use_true_random=False))
def check_in_flight(ordered: bool, capacity: int, count: int, rng: random.Random) -> None:
    """`buffered` against what has to be true of it, each future opened by hand."""
    gates = [Gate[int]() for _ in range(count)]
    started = 0

    def start(n: int) -> Gate[int]:
        nonlocal started
        started += 1
        return gates[n]

    combine = buffered if ordered else buffer_unordered
    source = from_iterable(range(count)).map(start)
    reader = Reader(combine(source, capacity), checked=rng.random() < 0.5)
    opened: list[int] = []
    reader.read()
    failing = {n for n in range(count) if rng.random() < 0.1}
    errors: list[int] = []
    bursts = renewed = 0
    while not reader.ended:
        burst = rng.randint(1, 3)
        for _ in range(burst):
            in_flight = [n for n in range(started) if not gates[n].opened]
            if not in_flight:
                break
            assert started - len(reader.got) - len(errors) <= capacity
            n = rng.choice(in_flight)
            gates[n].open(KeyError(n) if n in failing else n)
            opened.append(n)
            bursts += burst > 1
        assert reader.woken
        if rng.random() < 0.3:
            reader.renew()
            renewed += 1
        while True:
            try:
                reader.read()
            except KeyError as error:
                errors.append(error.args[0])
                continue
            break
    assert sorted([*reader.got, *errors]) == list(range(count)), "nothing lost, nothing twice"
    assert set(errors) == failing
    order = list(range(count)) if ordered else opened
    assert reader.got == [n for n in order if n not in failing]
    assert all(gate.polls <= 1 + gate.wakes for gate in gates), "polled without a wake"
    covered(
        "futures in flight",
        ordered=int(ordered),
        unordered=int(not ordered),
        out_of_order=int(opened != sorted(opened)),
        errors=len(errors),
        bursts=bursts,
        renewed=renewed,
    )


def test_futures_in_flight_are_bounded_and_give_every_value_once() -> None:
    check_in_flight()
    counts = covered("futures in flight")
    require(counts, "ordered", "unordered", "out_of_order", "errors", "bursts", "renewed")


@pytest.mark.parametrize("kind", [FuturesOrdered, FuturesUnordered])
@pytest.mark.parametrize("checked", [False, True])
def test_a_completion_costs_one_poll_however_many_wait(kind: Any, checked: bool) -> None:
    gates = [Gate[int]() for _ in range(1000)]
    futures = kind(1000)
    for gate in gates:
        futures.push(gate)
    reader = Reader(futures, checked=checked)
    reader.read()
    assert [gate.polls for gate in gates] == [1] * 1000
    for n in random.Random(0).sample(range(1000), 500):
        gates[n].open(n)
        reader.read()
    assert sum(gate.polls for gate in gates) == 1000 + 500
    assert len(futures) == 1000 - len(reader.got)


@pytest.mark.parametrize("kind", [FuturesOrdered, FuturesUnordered])
def test_what_is_full_refuses_and_takes_again_after_an_item(kind: Any) -> None:
    futures = kind(2)
    first = Gate[int]()
    futures.push(first)
    assert not futures.full
    futures.push(pending_coroutine())
    reader = Reader(futures)
    reader.read()
    assert futures.full
    with pytest.raises(Full, match="2 futures"):
        futures.push(ready(3))
    first.open(1)
    reader.read()
    assert reader.got == [1]
    futures.push(ready(3))
    futures.drop()


async def pending_coroutine() -> int:
    await Gate[int]()
    return 0


@pytest.mark.parametrize("kind", [FuturesOrdered, FuturesUnordered])
def test_a_push_wakes_who_waits_and_an_empty_one_goes_on_after_its_end(kind: Any) -> None:
    futures = kind(4)
    assert read_all(futures) == []
    gate = Gate[int]()
    futures.push(gate)
    reader = Reader(futures)
    reader.read()
    futures.push(ready(2))
    assert reader.woken
    gate.open(1)
    reader.read()
    assert sorted(reader.got) == [1, 2]
    assert reader.ended
    futures.push(ready(3))
    assert read_all(futures) == [3]


@pytest.mark.parametrize("kind", [FuturesOrdered, FuturesUnordered])
def test_futures_in_flight_are_dropped_once_with_their_stream(kind: Any) -> None:
    class Refuses(Gate[int]):
        def drop(self) -> None:
            super().drop()
            raise RuntimeError("refused")

    gates = [Gate[int](), Refuses(), Gate[int]()]
    futures = kind(3)
    for gate in gates:
        futures.push(gate)
    Reader(futures).read()
    with pytest.raises(RuntimeError, match="refused"):
        futures.drop()
    futures.drop()
    assert [gate.drops for gate in gates] == [1, 1, 1]
    assert read_all(futures) == []


def test_a_child_in_flight_that_yields_for_ever_does_not_hold_the_turn() -> None:
    futures = FuturesUnordered[int](2)
    child = Again(100)
    futures.push(child)
    hand = Hand(futures.next())
    assert hand.poll() is PENDING
    assert (child.polls, hand.woken) == (1, True)


def test_what_is_in_flight_is_dropped_with_a_buffered_stream() -> None:
    for combine in (buffered, buffer_unordered):
        gates = [Gate[int]() for _ in range(4)]
        stream = combine(from_iterable(gates), 3)
        Reader(stream).read()
        stream.drop()
        assert [gate.drops for gate in gates] == [1, 1, 1, 0]


def test_futures_in_flight_leave_nothing_behind_when_they_are_done() -> None:
    futures = FuturesUnordered[int](2)
    reader = Reader(futures)
    for n in range(100):
        gate = Gate[int]()
        futures.push(gate)
        reader.ended = False
        reader.read()
        gate.open(n)
        gate.wake()
        reader.read()
    assert reader.got == list(range(100))
    assert not futures._cx.wakers


# ---- merge ----


@given(st.lists(st.integers(0, 6), min_size=0, max_size=4), st.randoms(use_true_random=False))
def check_merge(counts: list[int], rng: random.Random) -> None:
    tapes = [Tape() for _ in counts]
    left = [[(key, n) for n in range(count)] for key, count in enumerate(counts)]
    reader = Reader(merge(*tapes), checked=rng.random() < 0.5)
    reader.read()
    polls = 0
    while any(not tape.ended for tape in tapes):
        key = rng.choice([key for key, tape in enumerate(tapes) if not tape.ended])
        some = rng.randint(0, 2)
        others = sum(tape.polls for k, tape in enumerate(tapes) if k != key)
        tapes[key].feed(*left[key][:some], end=some >= len(left[key]))
        del left[key][:some]
        reader.read()
        polls += 1
        assert sum(tape.polls for k, tape in enumerate(tapes) if k != key) == others
        if rng.random() < 0.3:
            reader.renew()
            reader.read()
    assert reader.ended
    for key, count in enumerate(counts):
        assert [item for item in reader.got if item[0] == key] == [(key, n) for n in range(count)]
    assert len(reader.got) == sum(counts)
    covered("merges", items=len(reader.got), feeds=polls, of_several=int(len(counts) > 1))


def test_a_merge_gives_the_items_of_each_stream_in_order_and_polls_who_was_woken() -> None:
    check_merge()
    require(covered("merges"), "items", "feeds", "of_several")


def test_a_stream_that_always_has_an_item_does_not_starve_the_others() -> None:
    both = merge(from_iterable(["a"] * 100), from_iterable(["b"] * 100))
    got = read_all(both.take(20))
    assert got.count("a") == got.count("b") == 10


def test_a_merged_stream_that_wakes_itself_is_polled_again() -> None:
    hand = Hand(merge(from_iterable(range(1000)).filter(lambda n: n == 999)).next())
    polls = 1
    while hand.poll() is PENDING:
        assert hand.woken
        polls += 1
    assert polls > 1


def test_a_merge_goes_on_after_the_error_of_one_stream() -> None:
    failing, other = Tape(), Tape()
    failing.feed(KeyError("one"))
    reader = Reader(merge(failing, other))
    with pytest.raises(KeyError, match="one"):
        reader.read()
    other.feed(1, end=True)
    reader.read()
    assert (reader.got, reader.ended) == ([1], True)


# ---- async for, collect, fold, for_each ----


def test_async_for_takes_every_item_and_ends(run: Run) -> None:
    async def main() -> list[int]:
        return [n async for n in from_iterable(range(5)).map(lambda n: n * n)]

    assert run(main()) == [0, 1, 4, 9, 16]


def test_collect_fold_and_for_each_read_to_the_end(run: Run) -> None:
    seen: list[int] = []

    async def see(n: int) -> None:
        await sleep(1)
        seen.append(n)

    async def main() -> tuple[list[int], str]:
        await from_iterable(range(3)).for_each(see)
        return (
            await from_iterable(range(4)).collect(4),
            await from_iterable("abc").fold("", lambda so_far, item: item + so_far),
        )

    assert run(main()) == ([0, 1, 2, 3], "cba")
    assert seen == [0, 1, 2]


def test_a_collect_takes_no_more_than_its_limit(run: Run) -> None:
    tape = Tape()
    tape.feed(1, 2, 3)

    async def main() -> None:
        with pytest.raises(Full, match="more than the 2 items"):
            await tape.collect(2)

    run(main())
    assert tape.drops == 1


def test_a_next_that_lost_a_select_or_timed_out_has_taken_nothing(run: Run) -> None:
    async def ticks() -> AsyncGenerator[int, None]:
        for n in range(5):
            await sleep(2)
            yield n

    async def main() -> list[int]:
        got: list[int] = []
        async with from_async_generator(ticks()) as stream:
            while True:
                won = await select(stream.next(), sleep(1))
                if won.winner == 1:
                    drop(won.losers[0])
                    continue
                drop(won.losers[0])
                if won.value is END or won.value is None:
                    return got
                got.append(won.value)

    assert run(main()) == [0, 1, 2, 3, 4]


# ---- async generators ----


class Log:
    """An async generator that tells how it fares."""

    def __init__(self, *, tidies_up: bool = False) -> None:
        self.events: list[Any] = []
        self.tidies_up = tidies_up

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for n in range(10):
                self.events.append(n)
                await sleep(1)
                yield n
        finally:
            if self.tidies_up:
                await sleep(5)
            self.events.append(("closed", current_executor().now()))


@pytest.mark.parametrize("reads", [0, 1, 2])
@pytest.mark.parametrize("midway", [False, True])
def test_a_dropped_stream_finalises_its_generator_at_once(
    run: Run, reads: int, midway: bool
) -> None:
    log = Log()

    async def main() -> list[Any]:
        stream = from_async_generator(log.items())
        for _ in range(reads):
            await stream.next()
        if midway:
            won = await select(stream.next(), sleep(0.5))
            drop(won.losers[0])
        stream.drop()
        events = log.events[:]
        stream.drop()
        assert await stream.next() is END
        assert len(current_executor().timers) == 0
        return events

    now = reads + (0.5 if midway else 0)
    begun = list(range(reads + midway))
    assert run(main()) == ([*begun, ("closed", now)] if begun else [])


@pytest.mark.parametrize("midway", [False, True])
@pytest.mark.parametrize("adapt", [lambda s: s, lambda s: s.map(str).filter(bool).chunks(1)])
def test_closing_waits_for_the_clean_up_of_a_generator(
    run: Run, midway: bool, adapt: Callable[[StreamBase[int]], StreamBase[Any]]
) -> None:
    log = Log(tidies_up=True)

    async def main() -> list[Any]:
        async with adapt(from_async_generator(log.items())) as stream:
            await stream.next()
            if midway:
                won = await select(stream.next(), sleep(0.5))
                drop(won.losers[0])
        return log.events[:]

    begun = [0, 1] if midway else [0]
    assert run(main()) == [*begun, ("closed", 6.5 if midway else 6)]


def test_take_and_zip_close_a_generator_that_they_leave_early(run: Run) -> None:
    taken, zipped, other = Log(tidies_up=True), Log(tidies_up=True), Log(tidies_up=True)

    async def main() -> tuple[list[int], list[tuple[int, str]], list[tuple[str, int]]]:
        return (
            await from_async_generator(taken.items()).take(2).collect(10),
            await from_async_generator(zipped.items()).zip(from_iterable("ab")).collect(10),
            await from_iterable("ab").zip(from_async_generator(other.items())).collect(10),
        )

    assert run(main()) == ([0, 1], [(0, "a"), (1, "b")], [("a", 0), ("b", 1)])
    assert taken.events == [0, 1, ("closed", 7)]
    assert zipped.events[-1][0] == other.events[-1][0] == "closed"


@pytest.mark.parametrize("under_way", [False, True])
def test_the_clean_up_of_a_generator_that_is_dropped_is_awaited(run: Run, under_way: bool) -> None:
    log = Log(tidies_up=True)

    async def main() -> None:
        stream = from_async_generator(log.items())
        await stream.next()
        if under_way:
            await select(stream.next(), sleep(0.5))
        stream.drop()
        stream.drop()
        log.events.append("dropped")
        await sleep(6)
        assert log.events[-2:] == ["dropped", ("closed", 6.5 if under_way else 6)]

    run(main())


def test_the_end_of_a_run_finalises_a_generator_that_a_stream_has_left(run: Run) -> None:
    log = Log(tidies_up=True)
    streams = []

    async def main() -> None:
        stream = from_async_generator(log.items())
        await stream.next()
        streams.append(stream)

    run(main())
    assert log.events == [0, ("closed", 6)]
    streams[0].drop()


def test_a_drop_where_nobody_can_wait_for_a_clean_up_says_what_can() -> None:
    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await sleep(5)

    stream = from_async_generator(items())
    assert Hand(stream.next()).poll() == 1
    with pytest.raises(RuntimeError, match="aclose"):
        stream.drop()
    stream.drop()


def test_a_cancelled_task_finalises_the_generator_that_it_reads(run: Run) -> None:
    log = Log()

    async def reader() -> None:
        async with from_async_generator(log.items()) as stream:
            async for _ in stream:
                pass

    async def main() -> None:
        task = spawn(reader())
        await sleep(2.5)
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())
    assert log.events == [0, 1, 2, ("closed", 2.5)]


def test_a_coroutine_that_is_closed_inside_of_a_stream_closes_it_without_waiting(run: Run) -> None:
    log = Log()

    async def reader() -> None:
        async with from_async_generator(log.items()) as stream:
            async for _ in stream:
                pass

    async def main() -> None:
        await race(reader(), sleep(2.5))

    run(main())
    assert log.events == [0, 1, 2, ("closed", 2.5)]


def test_a_clean_up_that_is_cancelled_leaves_nothing_behind(run: Run) -> None:
    log = Log(tidies_up=True)

    async def reader() -> None:
        async with from_async_generator(log.items()) as stream:
            await stream.next()

    async def main() -> int:
        task = spawn(reader())
        await sleep(3)  # it has left the block and waits for the clean-up
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        return len(current_executor().timers)

    assert run(main()) == 0


def test_a_generator_keeps_its_context_variables_and_its_timeouts(run: Run) -> None:
    var = ContextVar("var", default="outside")

    async def items() -> AsyncGenerator[str, None]:
        var.set("inside")
        yield var.get()
        await yield_now()
        try:
            with timeout(1):
                yield var.get()
                await sleep(5)
        except TimeoutError:
            yield "timed out"

    async def main() -> list[str]:
        got = await from_async_generator(items()).collect(10)
        return [*got, var.get()]

    assert run(main()) == ["inside", "inside", "timed out", "outside"]


def test_an_error_of_a_generator_is_raised_once_and_ends_the_stream(run: Run) -> None:
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("generator")

    async def main() -> None:
        stream = from_async_generator(items())
        assert await stream.next() == 1
        with pytest.raises(KeyError, match="generator"):
            await stream.next()
        assert await stream.next() is END
        await stream.aclose()

    run(main())


# ---- receivers ----


def ints(capacity: int) -> tuple[Sender[int], Receiver[int]]:
    return channel(capacity)


def test_async_for_over_a_receiver_ends_when_the_channel_is_closed(run: Run) -> None:
    async def main() -> list[list[int]]:
        got = []
        for read in (lambda rx: rx, from_receiver):
            tx, rx = ints(2)

            async def send(tx: Any = tx) -> None:
                for n in range(5):
                    await tx.send(n)
                tx.close()

            task = spawn(send())
            got.append([n async for n in read(rx)])
            await task
        return got

    assert run(main()) == [[0, 1, 2, 3, 4]] * 2


def test_an_async_for_over_a_receiver_that_is_cancelled_loses_no_value(run: Run) -> None:
    async def main() -> list[int]:
        tx, rx = ints(2)

        async def read() -> None:
            async for _ in rx:
                raise AssertionError("cancelled before anything came")

        task = spawn(read())
        await yield_now()
        await tx.send(1)
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        tx.close()
        return [n async for n in rx]

    assert run(main()) == [1]


def test_a_dropped_stream_of_a_receiver_gives_its_value_to_the_next(run: Run) -> None:
    async def main() -> int:
        tx, rx = ints(2)
        stream = from_receiver(rx)
        Hand(stream.next(), checked=False).poll()
        await tx.send(1)
        stream.drop()
        tx.close()
        with pytest.raises(Closed):
            await tx.send(2)
        return await rx.recv()

    assert run(main()) == 1


ENDING: dict[str, Callable[[Callable[[int], Any]], StreamBase[Any]]] = {
    "map": lambda fn: from_iterable([1, 2]).map(fn),
    "filter": lambda fn: from_iterable([1, 2]).filter(fn),
    "map beneath others": lambda fn: merge(from_iterable([1]).map(fn).chunks(2), pending_stream()),
    "buffered": lambda fn: buffered(from_iterable([1, 2]).map(lambda n: lazy(lambda: fn(n))), 2),
    "an iterable": lambda fn: from_iterable(fn(n) for n in [1, 2]),
}


def pending_stream() -> StreamBase[Any]:
    return from_receiver(channel(1)[1])


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
@pytest.mark.parametrize("made", ENDING)
def test_a_function_that_raises_what_ends_a_loop_ends_no_stream(
    run: Run, made: str, kind: type[Exception]
) -> None:
    def ends(n: int) -> Any:
        raise kind

    async def main() -> None:
        with pytest.raises(RuntimeError, match=kind.__name__):
            await anext(ENDING[made](ends))  # what an async for awaits
        stream = ENDING[made](ends)
        with pytest.raises(RuntimeError, match=kind.__name__):
            await stream.next()

    run(main())
