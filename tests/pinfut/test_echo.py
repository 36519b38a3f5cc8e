"""A worked example: remote calls of one remote function, on a SlotTable and nothing else.

``add_rpc(val, a, b)`` starts a call and gives its future; ``recv()`` is what the other side
answers, ``(val, a + b)``, in whatever order; one loop carries the answers to the slots.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from pinfut import FutureBase, SlotTable, TakenTwice, join, select
from pinfut.executor import CancelledError, scope, sleep, spawn, timeout
from pinfut.slots import DuplicateReply, SlotFuture, SlotsFull, UnknownId
from pinfut.sync import Receiver, Sender, channel
from tests.bounded import rounds
from tests.executor.world import Run

EchoFuture = SlotFuture[int]


class Echo:
    """The client's side of a wire, and a simulated far side that answers when told to."""

    def __init__(self, slots: int) -> None:
        self.table: SlotTable[int] = SlotTable(slots)
        self.sent: list[tuple[int, int]] = []  # on the wire: (val, the sum that will come)
        self.refused: list[str] = []
        self.late: list[int] = []
        self._tx: Sender[tuple[int, int]]
        self._rx: Receiver[tuple[int, int]]
        self._tx, self._rx = channel(slots * 2)

    def add_rpc(self, a: int, b: int) -> EchoFuture:
        """Start a call; its future. Its `x` is the val that goes over the wire."""
        slot = self.table.acquire()
        self.sent.append((slot.x, a + b))
        return self.table.future(slot)

    def answer(self, val: int, total: int) -> None:
        """The far side answers."""
        assert self._tx.try_send((val, total))

    def hang_up(self) -> None:
        self._tx.close()

    def recv(self) -> FutureBase[tuple[int, int]]:
        """The next answer: ``(val, a + b)``."""
        return self._rx.recv()

    async def loop(self) -> None:
        """Carry answers to their slots. What fits no call is refused, and nobody is hurt."""
        while True:
            val, total = await self.recv()
            try:
                if not self.table.complete(val, total):
                    self.late.append(val)
            except (UnknownId, DuplicateReply) as error:
                self.refused.append(type(error).__name__)


def orders(count: int) -> list[tuple[int, ...]]:
    return list(itertools.permutations(range(count)))


@pytest.mark.parametrize("order", orders(4), ids=str)
def test_answers_out_of_order_reach_their_calls(run: Run, order: tuple[int, ...]) -> None:
    async def main() -> tuple[int, int, int, int]:
        echo = Echo(4)
        carrier = spawn(echo.loop())
        calls = [echo.add_rpc(10 * i, i) for i in range(4)]

        async def far_side() -> None:
            for i in order:
                await sleep(1)
                echo.answer(*echo.sent[i])

        spawn(far_side())
        a, b, c, d = calls
        values = await join(a, b, c, d)
        assert len(echo.table) == 0
        carrier.cancel()
        return values

    assert run(main()) == (0, 11, 22, 33)


def check(run: Run, scenario: Callable[[Echo], list[tuple[int, int]]], *refused: str) -> None:
    """Three calls, answered as `scenario` says: each gets its sum, the rest is refused."""

    async def main() -> tuple[tuple[int, int, int], list[str]]:
        echo = Echo(4)
        carrier = spawn(echo.loop())
        calls = [echo.add_rpc(i, i) for i in range(3)]
        for val, total in scenario(echo):
            echo.answer(val, total)
            await sleep(1)
        a, b, c = calls
        values = await join(a, b, c)
        carrier.cancel()
        return values, echo.refused

    assert run(main()) == ((0, 2, 4), list(refused))


def test_a_duplicate_answer_is_refused_and_the_first_one_counts(run: Run) -> None:
    check(run, lambda echo: [*echo.sent, (0, 99), (1, 99)], "DuplicateReply", "DuplicateReply")


def test_an_unknown_val_is_refused(run: Run) -> None:
    check(run, lambda echo: [(7, 99), (-1, 99), (4, 99), *echo.sent], *["UnknownId"] * 3)


def test_a_stale_val_of_a_slot_in_use_is_refused(run: Run) -> None:
    async def main() -> tuple[int, int, list[str]]:
        echo = Echo(1)
        carrier = spawn(echo.loop())
        first = echo.add_rpc(1, 1)
        echo.answer(first.x, 2)
        one = await first
        second = echo.add_rpc(2, 2)
        echo.answer(first.x, 99)
        echo.answer(second.x, 4)
        two = await second
        carrier.cancel()
        return one, two, echo.refused

    assert run(main()) == (2, 4, ["UnknownId"])


def test_a_call_cancelled_before_its_answer_keeps_its_slot_until_then(run: Run) -> None:
    async def main() -> tuple[list[int], int]:
        echo = Echo(2)
        carrier = spawn(echo.loop())
        with pytest.raises(TimeoutError), timeout(1):
            await echo.add_rpc(1, 1)
        other = echo.add_rpc(2, 2)
        with pytest.raises(SlotsFull):
            echo.add_rpc(3, 3)
        echo.answer(0, 2)
        await sleep(1)
        third = echo.add_rpc(3, 3)
        assert third.x % 2 == 0, "the slot of the cancelled call"
        echo.answer(third.x, 6)
        assert await third == 6
        echo.answer(other.x, 4)
        value = await other
        carrier.cancel()
        return echo.late, value

    assert run(main()) == ([0], 4)


def test_an_answer_and_a_cancel_in_the_same_turn_leave_the_slot_free(run: Run) -> None:
    async def main() -> int:
        echo = Echo(1)
        carrier = spawn(echo.loop())

        async def call() -> None:
            await echo.add_rpc(1, 1)

        task = spawn(call())
        await sleep(1)
        assert echo.table.complete(0, 2) is True
        task.cancel()
        with pytest.raises(CancelledError):
            await task
        carrier.cancel()
        return len(echo.table)

    assert run(main()) == 0


def test_a_call_that_loses_a_select_goes_on(run: Run) -> None:
    async def main() -> int:
        echo = Echo(1)
        carrier = spawn(echo.loop())
        call = echo.add_rpc(20, 22)
        assert (await select(call, sleep(1))).winner == 1
        echo.answer(*echo.sent[0])
        value = await call
        with pytest.raises(TakenTwice):
            echo.table.take(echo.table._slots[0], call.x)
        carrier.cancel()
        return value

    assert run(main()) == 42


def test_many_clients_share_a_table_without_a_mix_up(run: Run) -> None:
    async def main() -> int:
        echo = Echo(8)
        right = 0

        async def client(n: int) -> None:
            nonlocal right
            for i in range(10):
                total = await echo.add_rpc(n, i)
                right += total == n + i

        async def far_side() -> None:
            # The newest first: as much out of order as can be.
            for _ in range(80):
                for _ in rounds("something was sent"):
                    if echo.sent:
                        break
                    await sleep(1)
                echo.answer(*echo.sent.pop())
                await sleep(0.25)

        carrier = spawn(echo.loop())
        async with scope() as s:
            for n in range(8):
                s.spawn(client(n))
            s.spawn(far_side())
        carrier.cancel()
        return right

    assert run(main()) == 80
