"""SimKernel: one seed gives one history; names, transitions, deaths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.executor import VirtualClock, run, scope, sleep, spawn, yield_now
from pinfut.rpc import (
    Interface,
    PeerDied,
    SessionClosed,
    SimKernel,
    UnknownService,
    Vat,
    connect,
    method,
    serve,
)
from pinfut.rpc.bank.bank import Bank
from pinfut.rpc.contract import ServiceSpec, SessionSpec
from pinfut.rpc.errors import OutOfPages
from pinfut.rpc.kernel.sizes import MAX_SLOTS
from tests.covered import covered, require

SPEC = SessionSpec(slots=1, ring=4096)


class Counting(Interface, Protocol):
    @method
    async def add(self, n: int) -> int: ...

    @method
    async def add_later(self, n: int) -> int: ...


class Counter_(Counting):
    def __init__(self) -> None:
        self.total = 0
        self.order: list[int] = []

    @method
    async def add(self, n: int) -> int:
        self.total += n
        self.order.append(n)
        return self.total

    @method
    async def add_later(self, n: int) -> int:
        await sleep(0.001 * (n % 3))
        self.order.append(n)
        return n


def history(seed: int, clients: int, calls: int) -> tuple[str, list[int], Counter[str], int]:
    """A program of several clients, each with two sessions, and what came of it."""
    kernel = SimKernel(seed, record=True)
    root = Counter_()

    async def client(number: int) -> None:
        bank = kernel.bank(f"client {number}", pages=64)
        async with (
            connect(kernel, "count", Counting, bank, slots=4) as one,
            connect(kernel, "count", Counting, bank, slots=2) as two,
        ):
            for i in range(calls):
                waits = [one.add(number * 100 + i), two.add_later(number * 100 + i)]
                for promise in waits:
                    await promise
        assert bank.balance.pages == 64

    async def main() -> None:
        async with serve(kernel, "count", root), scope() as tasks:
            for number in range(clients):
                tasks.spawn(client(number))

    run(main(), clock=VirtualClock())
    assert kernel.root.pages_used == 0
    assert len(root.order) == clients * calls * 2
    return kernel.digest(), root.order, kernel.transitions, kernel.clock_ns


def test_one_seed_gives_one_history_and_another_seed_another() -> None:
    compare_histories()
    orders = {tuple(history(seed, 4, 1)[1]) for seed in range(24)}
    assert len(orders) > 1, "the order of signals does not depend on the seed"
    require(covered("one seed, one history", orders=len(orders)), "same", "other", "orders")


@settings(max_examples=max(12, settings().max_examples // 50))
@given(seed=st.integers(0, 1 << 32), clients=st.integers(2, 4), calls=st.integers(1, 3))
def compare_histories(seed: int, clients: int, calls: int) -> None:
    first, again = history(seed, clients, calls), history(seed, clients, calls)
    assert first == again
    other = history(seed + 1, clients, calls)
    assert other[0] != first[0]
    covered("one seed, one history", same=1, other=1)


def test_a_digest_covers_the_bytes_that_were_published() -> None:
    def digest(n: int) -> str:
        kernel = SimKernel(1, record=True)

        async def main() -> None:
            bank = kernel.bank("bank", pages=64)
            async with (
                serve(kernel, "count", Counter_()),
                connect(kernel, "count", Counting, bank) as counter,
            ):
                await counter.add(n)

        run(main(), clock=VirtualClock())
        return kernel.digest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_a_digest_needs_a_record() -> None:
    with pytest.raises(ValueError, match="record=True"):
        SimKernel().digest()


def test_a_batch_of_calls_is_one_signal_and_its_answers_another() -> None:
    kernel = SimKernel()

    async def main() -> list[int]:
        bank = kernel.bank("bank", pages=64)
        async with (
            serve(kernel, "count", Counter_()),
            connect(kernel, "count", Counting, bank) as counter,
        ):
            await counter.add(0)
            await yield_now()
            signals = []
            for batch in (1, 10, 50):
                before = kernel.transitions["signal"]
                for promise in [counter.add(1) for _ in range(batch)]:
                    await promise
                signals.append(kernel.transitions["signal"] - before)
            return signals

    assert run(main(), clock=VirtualClock()) == [2, 2, 2]
    assert kernel.transitions["listen"] == 1
    assert kernel.transitions["connect"] == 1
    assert kernel.transitions["buy"] > 0 < kernel.transitions["sell"]


def test_every_transition_takes_simulated_time() -> None:
    kernel = SimKernel()
    before = kernel.clock_ns
    kernel.listen(kernel.process("server"), "a", ServiceSpec())
    assert kernel.clock_ns - before == kernel.cost.transition
    before = kernel.clock_ns
    kernel.bank("bank", pages=10).buy(3)
    assert kernel.clock_ns - before == kernel.cost.transition + 3 * kernel.cost.page


def test_an_unknown_service_is_an_error_that_lists_what_is_served() -> None:
    kernel = SimKernel()
    bank = kernel.bank("bank", pages=100)
    client = kernel.process("client")
    with pytest.raises(UnknownService, match=r"'fils'.*nothing"):
        kernel.connect(client, "fils", bank, SPEC)
    kernel.listen(kernel.process("server"), "files", ServiceSpec())
    with pytest.raises(UnknownService, match=r"'fils'.*files"):
        kernel.connect(client, "fils", bank, SPEC)
    assert bank.pages_used == bank.caps_used == 0


def test_a_name_is_served_once_at_a_time() -> None:
    kernel = SimKernel()
    first, second = kernel.process("first"), kernel.process("second")
    port = kernel.listen(first, "it", ServiceSpec())
    with pytest.raises(ValueError, match="'it' is served already"):
        kernel.listen(second, "it", ServiceSpec())
    assert second.caps.all() == []
    kernel.unlisten(port)
    kernel.listen(second, "it", ServiceSpec())
    kernel.bank("it", pages=1)
    with pytest.raises(ValueError, match="has a child"):
        kernel.bank("it", pages=1)


@pytest.mark.parametrize("slots", [0, -1, MAX_SLOTS + 1])
def test_a_session_has_a_bounded_number_of_slots(slots: int) -> None:
    kernel = SimKernel()
    kernel.listen(kernel.process("server"), "it", ServiceSpec())
    bank = kernel.bank("bank", pages=100)
    with pytest.raises(ValueError, match="slots"):
        kernel.connect(kernel.process("c"), "it", bank, SessionSpec(slots=slots))
    assert bank.pages_used == bank.caps_used == 0


def test_signals_of_one_turn_wake_a_process_once() -> None:
    kernel = SimKernel()
    server, client = kernel.process("server"), kernel.process("client")
    bank = kernel.bank("bank", pages=100)
    looks: list[list[int]] = []

    async def serving() -> None:
        while True:
            looks.append(await server.wait())

    async def main() -> None:
        task = spawn(serving())
        await yield_now()
        kernel.listen(server, "it", ServiceSpec())
        ends = [kernel.connect(client, "it", bank, SPEC) for _ in range(3)]
        for _ in range(3):
            await yield_now()
        looks.clear()
        for end in ends:
            for _ in range(5):
                kernel.signal(end)
        for _ in range(3):
            await yield_now()
        task.cancel()

    run(main(), clock=VirtualClock())
    assert len(looks) == 1
    assert len(looks[0]) == 3, "one badge for each session, none lost"


def test_a_signal_from_before_the_executor_ran_does_not_silence_later_ones() -> None:
    kernel = SimKernel()
    server, client = kernel.process("server"), kernel.process("client")
    bank = kernel.bank("bank", pages=100)
    kernel.listen(server, "it", ServiceSpec())
    end = kernel.connect(client, "it", bank, SPEC)

    async def wait() -> list[int]:
        return await server.wait()

    async def main() -> list[int]:
        assert await wait()
        later = spawn(wait())
        await yield_now()
        kernel.signal(end)
        return await later

    assert len(run(main(), clock=VirtualClock())) == 1


def test_a_kernel_can_be_used_by_one_run_after_the_other() -> None:
    kernel = SimKernel()
    bank = kernel.bank("bank", pages=64)

    async def main() -> int:
        async with (
            serve(kernel, "count", Counter_()),
            connect(kernel, "count", Counting, bank) as counter,
        ):
            return await counter.add(3)

    assert [run(main(), clock=VirtualClock()) for _ in range(3)] == [3, 3, 3]
    assert kernel.root.pages_used == 0


def test_an_end_that_was_let_go_of_cannot_signal() -> None:
    kernel = SimKernel()
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "it", ServiceSpec())
    bank = kernel.bank("bank", pages=100)
    end = kernel.connect(client, "it", bank, SPEC)
    end.close()
    with pytest.raises(SessionClosed, match="by this side"):
        kernel.signal(end)
    far = kernel.peer_of(end)
    assert port.accept() == [far]
    assert far is not None
    kernel.signal(far)  # nobody is there to hear it, and that is no error
    assert client.take() == []


class Meddler:
    """Refuses the third purchase, keeps signals back, and keeps a list."""

    def __init__(self) -> None:
        self.asked = 0
        self.changes: list[tuple[str, int, int]] = []
        self.kept: list[Callable[[], None]] = []

    def buying(self, bank: Bank, pages: int, caps: int, /) -> None:
        self.asked += 1
        if self.asked == 3:
            raise OutOfPages("not this one", bank.name, 1)

    def changed(self, bank: Bank, pages: int, caps: int, /) -> None:
        self.changes.append((bank.name, pages, caps))

    def delays(self, deliver: Callable[[], None], /) -> bool:
        self.kept.append(deliver)
        return True


def test_whoever_tests_may_refuse_purchases_and_keep_signals_back() -> None:
    faults = Meddler()
    kernel = SimKernel(faults=faults)
    bank = kernel.bank("bank", pages=100)
    assert faults.asked == 0
    bank.buy(2, 1)
    bank.buy(3)
    with pytest.raises(OutOfPages, match="not this one"):
        bank.buy(1)
    assert bank.pages_used == 5
    bank.sell(5, 1)
    assert faults.changes == [("bank", 2, 1), ("bank", 3, 0), ("bank", -5, -1)]
    with pytest.raises(OutOfPages):
        bank.buy(1000)
    assert faults.asked == 3, "who cannot pay is not asked for"
    server = kernel.process("server")
    kernel.listen(server, "it", ServiceSpec())
    kernel.connect(kernel.process("client"), "it", bank, SPEC)
    assert not server.ready
    (deliver,) = faults.kept
    deliver()
    assert server.take() == [0]


def test_killing_a_process_tells_its_peers_and_frees_its_names() -> None:
    kernel = SimKernel()
    bank = kernel.bank("bank", pages=200)

    async def main() -> None:
        server = Vat(kernel, "server")
        server.listen("count", Counter_())
        client = Vat(kernel, "client")
        session = client.connect("count", bank, SessionSpec(4, 4096, 1024))
        counter = await session.bootstrap(Counting)
        assert await counter.add(5) == 5
        waits = counter.add_later(2)
        await yield_now()
        server.kill()
        server.kill()
        with pytest.raises(PeerDied):
            await waits
        await session.wait_closed()
        assert bank.balance.pages == 200
        with pytest.raises(UnknownService):
            client.connect("count", bank, SessionSpec(4, 4096, 1024))
        async with serve(kernel, "count", Counter_()):
            pass
        await client.close()

    run(main(), clock=VirtualClock())
    assert kernel.root.pages_used == kernel.root.caps_used == 0


@pytest.mark.parametrize("calls", [1, 6], ids=["all sent", "some wait for a slot"])
def test_a_client_that_dies_leaves_the_server_serving_and_the_bank_whole(calls: int) -> None:
    kernel = SimKernel()
    bank, other = kernel.bank("bank", pages=100), kernel.bank("other", pages=100)

    async def main() -> None:
        async with serve(kernel, "count", Counter_()):
            client = Vat(kernel, "client")
            session = client.connect("count", bank, SessionSpec(2, 4096, 1024))
            counter = await session.bootstrap(Counting)
            promises = [counter.add_later(2) for _ in range(calls)]
            await yield_now()
            client.kill()
            await sleep(1)
            for promise in promises:
                with pytest.raises(SessionClosed):
                    await promise
            assert (bank.pages_used, bank.caps_used) == (0, 0)
            async with connect(kernel, "count", Counting, other) as again:
                assert await again.add(1) == 1

    run(main(), clock=VirtualClock())
