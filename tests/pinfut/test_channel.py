"""channel: a bounded queue between tasks; nothing is lost, nothing comes twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pinfut import PENDING, drop
from pinfut.executor import CancelledError, current_executor, scope, sleep, spawn, yield_now
from pinfut.sync import Closed, Receiver, Sender, channel
from tests.covered import covered, require
from tests.executor.world import Run
from tests.pinfut.hand import Hand

NAME = "channel"
picks = st.integers(min_value=0, max_value=1 << 20)


def choose(waiting: Mapping[int, Hand[Any]], woken: bool) -> list[int]:
    """Those that were woken, if there are and if they are asked for; or else everybody."""
    return [n for n, hand in waiting.items() if hand.woken and woken] or list(waiting)


class ChannelMachine(RuleBasedStateMachine):
    """Senders and receivers polled by hand, and given up at any moment.

    What was handed over and not yet seen is not for an onlooker to know. So the model keeps
    to what must be true of any channel: where each value may be, and who may still wait.
    """

    @initialize(capacity=st.integers(min_value=1, max_value=3))
    def make(self, capacity: int) -> None:
        self.capacity = capacity
        self.tx: Sender[int]
        self.rx: Receiver[int]
        self.tx, self.rx = channel(capacity)
        self.sends: dict[int, Hand[None]] = {}
        self.recvs: dict[int, Hand[int]] = {}
        self.numbers = 0
        self.accepted: set[int] = set()
        self.unsure: set[int] = set()  # given up after they were woken
        self.received: list[int] = []
        self.closed = False
        self.given_up = 0

    def waiting(self) -> list[Hand[Any]]:
        return [*self.sends.values(), *self.recvs.values()]

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def poll_send(self, n: int) -> None:
        try:
            sent = self.sends[n].poll() is None
        except Closed:
            assert self.closed
            del self.sends[n]
        else:
            if sent:
                del self.sends[n]
                self.accepted.add(n)

    def poll_recv(self, n: int) -> None:
        try:
            value = self.recvs[n].poll()
        except Closed:
            assert self.closed
            del self.recvs[n]
        else:
            if value is not PENDING:
                del self.recvs[n]
                self.received.append(value)

    @rule(count=st.integers(1, 4))
    def send(self, count: int) -> None:
        for _ in range(count):
            n = self.number()
            self.sends[n] = Hand(self.tx.send(n))
            self.poll_send(n)
            covered(NAME, sends=1, sends_that_wait=int(n in self.sends))

    @rule(count=st.integers(1, 4))
    def recv(self, count: int) -> None:
        for _ in range(count):
            n = self.number()
            self.recvs[n] = Hand(self.rx.recv())
            self.poll_recv(n)
            covered(NAME, recvs=1, recvs_that_wait=int(n in self.recvs))

    @rule()
    def try_send(self) -> None:
        n = self.number()
        if self.closed:
            with pytest.raises(Closed):
                self.tx.try_send(n)
        elif self.tx.try_send(n):
            self.accepted.add(n)
        else:
            covered(NAME, refused_by_try_send=1)

    @precondition(lambda self: self.sends)
    @rule(n=picks, woken=st.booleans())
    def poll_a_sender(self, n: int, woken: bool) -> None:
        chosen = choose(self.sends, woken)
        self.poll_send(chosen[n % len(chosen)])

    @precondition(lambda self: self.recvs)
    @rule(n=picks, woken=st.booleans())
    def poll_a_receiver(self, n: int, woken: bool) -> None:
        chosen = choose(self.recvs, woken)
        self.poll_recv(chosen[n % len(chosen)])

    @precondition(lambda self: self.sends)
    @rule(n=picks, woken=st.booleans())
    def cancel_a_sender(self, n: int, woken: bool) -> None:
        chosen = choose(self.sends, woken)
        k = chosen[n % len(chosen)]
        hand = self.sends.pop(k)
        drop(hand.future)
        drop(hand.future)
        if hand.woken:
            self.unsure.add(k)
        self.given_up += 1
        covered(NAME, cancelled_senders=1, cancelled_senders_woken=int(hand.woken))

    @precondition(lambda self: self.recvs)
    @rule(n=picks, woken=st.booleans())
    def cancel_a_receiver(self, n: int, woken: bool) -> None:
        chosen = choose(self.recvs, woken)
        hand = self.recvs.pop(chosen[n % len(chosen)])
        drop(hand.future)
        drop(hand.future)
        self.given_up += 1
        covered(NAME, cancelled_receivers=1, cancelled_receivers_woken=int(hand.woken))

    @precondition(lambda self: not self.closed)
    @rule(n=picks, values=st.integers(1, 3))
    def cancel_receivers_that_were_handed_a_value(self, n: int, values: int) -> None:
        self.recv(values)
        for _ in range(values):
            self.try_send()
        if self.recvs:
            self.cancel_a_receiver(n, woken=True)

    @precondition(lambda self: not self.closed)
    @rule(n=picks, values=st.integers(1, 3))
    def cancel_senders_whose_value_was_let_in(self, n: int, values: int) -> None:
        self.send(values)
        self.recv(values)
        if self.sends:
            self.cancel_a_sender(n, woken=True)

    @precondition(lambda self: self.numbers > 25)
    @rule()
    def close(self) -> None:
        on_their_way = any(hand.woken for hand in self.recvs.values())
        self.tx.close()
        self.closed = True
        assert all(hand.woken for hand in self.sends.values())
        # While a value is on its way to a receiver it may still come back, and be theirs.
        assert on_their_way or all(hand.woken for hand in self.recvs.values())
        covered(NAME, closes=1)

    @precondition(lambda self: sum(hand.woken for hand in self.waiting()) > 1)
    @rule()
    def settle(self) -> None:
        """Poll whoever was woken until nobody is; then nobody waits without a reason."""
        while any(hand.woken for hand in self.waiting()):
            for n in [n for n, hand in self.sends.items() if hand.woken]:
                self.poll_send(n)
            for n in [n for n, hand in self.recvs.items() if hand.woken]:
                self.poll_recv(n)
        inside = len(self.accepted) - len([v for v in self.received if v in self.accepted])
        assert not (self.closed and (self.sends or self.recvs))
        assert not (self.sends and self.recvs), "a sender and a receiver wait for each other"
        if self.recvs:
            assert inside == 0, "a receiver waits although there is a value"
        if not self.unsure:
            if self.sends:
                assert inside >= self.capacity, "a sender waits although there is room"
            if not self.given_up:
                assert inside <= self.capacity, "more was let in than there is room for"
        covered(NAME, settled=1)

    def teardown(self) -> None:
        if not hasattr(self, "tx"):
            return
        self.settle()
        while self.sends or not self.recvs:  # empty it
            if self.closed and self.is_empty():
                break
            self.recv(1)
            self.settle()
        values = self.received
        assert len(values) == len(set(values)), "a value came twice"
        assert self.accepted <= set(values), "a value was lost"
        assert set(values) <= self.accepted | self.unsure, "a value came that was taken back"
        # In the order in which they are taken, whoever takes them and whoever was cancelled.
        assert values == sorted(values), "a value overtook another"
        covered(NAME, histories_of_several=int(len(values) > 3))

    def is_empty(self) -> bool:
        before = len(self.received)
        self.recv(1)
        return len(self.received) == before


def test_a_channel_neither_loses_nor_repeats_a_value_in_any_history() -> None:
    run_state_machine_as_test(ChannelMachine)
    require(
        covered(NAME),
        "sends",
        "sends_that_wait",
        "recvs",
        "recvs_that_wait",
        "refused_by_try_send",
        "cancelled_senders",
        "cancelled_senders_woken",
        "cancelled_receivers",
        "cancelled_receivers_woken",
        "closes",
        "settled",
        "histories_of_several",
    )


def ends(capacity: int) -> tuple[Sender[Any], Receiver[Any]]:
    return channel(capacity)


def test_a_channel_takes_as_many_values_as_it_has_room() -> None:
    tx, _ = ends(3)
    assert [tx.try_send(i) for i in range(5)] == [True, True, True, False, False]


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ends(0)


def test_values_come_in_the_order_in_which_they_were_sent(run: Run) -> None:
    async def main() -> list[int]:
        tx, rx = ends(2)
        got = []

        async def produce() -> None:
            for i in range(20):
                await tx.send(i)
            tx.close()

        spawn(produce())
        while True:
            try:
                got.append(await rx.recv())
            except Closed:
                return got

    assert run(main()) == list(range(20))


def test_waiting_receivers_are_served_in_the_order_in_which_they_came(run: Run) -> None:
    async def main() -> list[tuple[str, int]]:
        tx, rx = ends(1)
        log: list[tuple[str, int]] = []

        async def take(name: str) -> None:
            log.append((name, await rx.recv()))

        for name in "abc":
            spawn(take(name))
        await sleep(1)
        for i in range(3):
            assert tx.try_send(i)
        await sleep(1)
        return log

    assert run(main()) == [("a", 0), ("b", 1), ("c", 2)]


def test_a_value_handed_to_a_cancelled_receiver_goes_to_the_next(run: Run) -> None:
    async def main() -> list[tuple[str, object]]:
        tx, rx = ends(1)
        log: list[tuple[str, object]] = []

        async def take(name: str) -> None:
            log.append((name, await rx.recv()))

        first = spawn(take("first"))
        spawn(take("second"))
        await sleep(1)
        tx.try_send("value")
        first.cancel()
        await sleep(1)
        return log

    assert run(main()) == [("second", "value")]


def test_a_value_handed_to_a_cancelled_receiver_stays_when_nobody_waits(run: Run) -> None:
    async def main() -> list[object]:
        tx, rx = ends(1)

        async def take() -> None:
            await rx.recv()

        task = spawn(take())
        await sleep(1)
        tx.try_send("first")
        tx.try_send("second")
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        assert not tx.try_send("no room")
        return [await rx.recv(), await rx.recv()]

    assert run(main()) == ["first", "second"]


def test_a_cancelled_sender_takes_its_value_back(run: Run) -> None:
    async def main() -> list[object]:
        tx, rx = ends(1)
        log = []

        async def put(value: str) -> None:
            await tx.send(value)
            log.append(value)

        tasks = [spawn(put(value)) for value in "abc"]
        await sleep(1)
        tasks[1].cancel()
        await sleep(1)
        got = [await rx.recv(), await rx.recv()]
        await sleep(1)
        return [got, log]

    assert run(main()) == [["a", "c"], ["a", "c"]]


def test_close_lets_receivers_empty_the_channel_and_refuses_waiting_senders(run: Run) -> None:
    async def main() -> list[object]:
        tx, rx = ends(1)
        log: list[object] = []

        async def put(value: str) -> None:
            try:
                await tx.send(value)
            except Closed:
                log.append(f"{value} refused at {current_executor().now()}")

        for value in "abc":
            spawn(put(value))
        await sleep(1)
        tx.close()
        tx.close()
        await sleep(1)
        log.append(await rx.recv())
        for again in (rx.recv(), tx.send("late")):
            with pytest.raises(Closed):
                await again
        with pytest.raises(Closed):
            tx.try_send("late")
        return log

    assert run(main()) == ["b refused at 1.0", "c refused at 1.0", "a"]


def test_close_wakes_waiting_receivers(run: Run) -> None:
    async def main() -> int:
        tx, rx = ends(1)

        async def take() -> None:
            with pytest.raises(Closed):
                await rx.recv()

        async with scope() as s:
            for _ in range(3):
                s.spawn(take())
            await sleep(1)
            tx.close()
        return 3

    assert run(main()) == 3


def test_a_receiver_gets_what_is_left_when_close_and_a_cancel_come_together(run: Run) -> None:
    """Receivers get what is left, then Closed: also what a cancelled one gives back."""

    async def main() -> list[object]:
        tx, rx = ends(1)
        log: list[object] = []

        async def take(name: str) -> None:
            try:
                log.append((name, await rx.recv()))
            except Closed:
                log.append((name, "closed"))

        first = spawn(take("first"))
        spawn(take("second"))
        await sleep(1)
        tx.try_send("value")
        first.cancel()
        tx.close()
        await sleep(1)
        return log

    assert run(main()) == [("second", "value")]


def test_random_tasks_exchange_every_value_once(run: Run) -> None:
    async def main() -> list[int]:
        tx, rx = ends(3)
        got: list[int] = []
        todo = deque(range(200))

        async def produce(pause: int) -> None:
            while todo:
                value = todo.popleft()
                for _ in range(value % pause):
                    await yield_now()
                await tx.send(value)

        async def consume() -> None:
            try:
                while True:
                    got.append(await rx.recv())
                    await yield_now()
            except Closed:
                return

        async with scope() as outer:
            for _ in range(4):
                outer.spawn(consume())
            async with scope() as inner:
                for pause in (1, 2, 3):
                    inner.spawn(produce(pause))
            tx.close()
        return sorted(got)

    assert run(main()) == list(range(200))


def test_a_value_on_its_way_to_a_cancelled_receiver_is_neither_lost_nor_overtaken() -> None:
    """Between its cancel and its drop the receiver still has the value reserved."""
    tx: Sender[int]
    rx: Receiver[int]
    tx, rx = channel(2)
    victim = Hand(rx.recv())
    assert victim.poll() is PENDING
    assert tx.try_send(0)  # reserved for the victim
    assert tx.try_send(1)
    tx.close()
    assert Hand(rx.recv()).poll() == 0
    last = Hand(rx.recv())
    assert last.poll() is PENDING, "what is reserved may come back, so this is not the end"
    drop(victim.future)
    assert last.poll() == 1
    with pytest.raises(Closed):
        Hand(rx.recv()).poll()


def test_a_closed_channel_takes_nothing_while_a_value_is_on_its_way(run: Run) -> None:
    async def main() -> list[object]:
        tx, rx = ends(1)
        log: list[object] = []

        async def take() -> None:
            log.append(await rx.recv())

        victim = spawn(take())
        await yield_now()
        tx.try_send("value")
        tx.close()
        spawn(take())
        victim.cancel()
        with pytest.raises(Closed):
            await tx.send("too late")
        await sleep(1)
        return log

    assert run(main()) == ["value"]


def test_a_consumer_that_leaves_closes_the_channel_for_its_senders(run: Run) -> None:
    async def main() -> None:
        tx, rx = ends(1)
        await tx.send("taken")
        waits = spawn(send(tx, "kept by its sender"))
        await sleep(1)
        rx.close()
        with pytest.raises(Closed):
            await waits
        with pytest.raises(Closed):
            tx.try_send("too late")
        assert rx.try_recv() == "taken"
        with pytest.raises(Closed):
            rx.try_recv()

    async def send(tx: Sender[Any], value: str) -> None:
        await tx.send(value)

    run(main())


def test_try_recv_takes_nothing_that_is_reserved() -> None:
    tx, rx = ends(2)
    assert rx.try_recv() is PENDING
    first = Hand(rx.recv())
    assert first.poll() is PENDING
    tx.try_send(1)
    assert rx.try_recv() is PENDING, "that value is on its way"
    tx.try_send(2)
    assert rx.try_recv() == 1, "values are taken in their order"
    assert first.poll() == 2
    waits = Hand(tx.send(5))
    tx.try_send(3)
    tx.try_send(4)
    assert waits.poll() is PENDING
    assert rx.try_recv() == 3
    assert waits.woken, "there is room again"


def test_an_end_that_is_left_closes_the_channel(run: Run) -> None:
    async def main() -> None:
        tx, rx = channel[int](2)
        with tx:
            await tx.send(1)
        assert [value async for value in rx] == [1]
        tx, rx = channel[int](2)
        with pytest.raises(KeyError), rx:
            raise KeyError
        with pytest.raises(Closed):
            await tx.send(1)

    run(main())
    assert len(channel(1)) == 2
