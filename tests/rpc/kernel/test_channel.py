"""Channels: bought whole or not at all, freed when both sides have let go."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.executor import VirtualClock, run, spawn, yield_now
from pinfut.rpc.errors import OutOfCaps, OutOfPages
from pinfut.rpc.kernel.bank import PAGE, Bank
from pinfut.rpc.kernel.channel import CAPS, Channel, End
from pinfut.rpc.kernel.sim import Process, SimKernel
from tests.covered import covered, require

TERMS = [(1, 64, 64), (8, 4096, 1024), (64, 16384, 256), (300, 1 << 16, 4096)]


def used(bank: Bank) -> tuple[int, int]:
    return bank.pages_used, bank.caps_used


def cost_of(terms: tuple[int, int, int]) -> int:
    bank = Bank("measure", 1000, 1000)
    Channel(bank, *terms)
    assert bank.caps_used == CAPS
    return bank.pages_used


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("above", [False, True], ids=["own bank", "ancestor"])
def test_a_channel_is_bought_whole_or_not_at_all(terms: tuple[int, int, int], above: bool) -> None:
    needed = cost_of(terms)
    assert needed >= 2
    failed = 0
    for pages, caps in [(p, CAPS) for p in range(needed)] + [(needed, c) for c in range(CAPS)]:
        root = Bank("root", pages if above else 1000, caps if above else 1000)
        bank = root.child("bank", pages=1000 if above else pages, caps=1000 if above else caps)
        with pytest.raises(OutOfPages if pages < needed else OutOfCaps):
            Channel(bank, *terms)
        assert used(bank) == used(root) == (0, 0), (pages, caps)
        failed += 1
    exact = Bank("exact", needed, CAPS)
    channel = Channel(exact, *terms)
    assert exact.balance == (0, 0)
    channel.free(seize=False)
    assert used(exact) == (0, 0)
    require(covered("channel, failing points", failed=failed), "failed")


@pytest.mark.parametrize("terms", TERMS)
def test_the_lane_for_calls_back_is_bought_whole_or_not_at_all(
    terms: tuple[int, int, int],
) -> None:
    first = cost_of(terms)
    measure = Bank("measure", 1000, 1000)
    Channel(measure, *terms).reverse()
    both = measure.pages_used
    assert both > first
    for pages in range(first, both):
        bank = Bank("bank", pages, CAPS)
        channel = Channel(bank, *terms)
        for _ in range(2):
            with pytest.raises(OutOfPages):
                channel.reverse()
            assert used(bank) == (first, CAPS)
            assert channel.reversed is None
        channel.free(seize=False)
        assert used(bank) == (0, 0)
    bank = Bank("bank", both, CAPS)
    channel = Channel(bank, *terms)
    lane = channel.reverse()
    assert channel.reverse() is lane is channel.reversed
    channel.free(seize=False)
    assert used(bank) == (0, 0)


@pytest.mark.parametrize(
    ("slots", "ring", "cell"), [(4, 100, 1024), (4, 0, 1024), (4, 4096, 1000), (4, 4096, 8192)]
)
def test_sizes_that_make_no_sense_buy_nothing(slots: int, ring: int, cell: int) -> None:
    bank = Bank("bank", 1000, 1000)
    with pytest.raises(ValueError, match=r"is a power of two|cell's size"):
        Channel(bank, slots, ring, cell)
    assert used(bank) == (0, 0)


# ---- with a kernel: both sides ----


class Pair:
    """Two processes with a channel between them, without an executor."""

    def __init__(self, seed: int = 0, pages: int = 100) -> None:
        self.kernel = SimKernel(seed)
        self.bank = self.kernel.bank("bank", pages=pages, caps=100)
        self.server: Process = self.kernel.process("server")
        self.client: Process = self.kernel.process("client")
        self.port = self.kernel.listen(self.server, "it")
        self.near: End = self.kernel.connect(
            self.client, "it", self.bank, slots=4, ring=4096, cell=1024
        )
        self.far = self.port.waiting.pop()


@pytest.mark.parametrize("client_first", [True, False])
def test_a_channel_is_freed_when_the_second_side_lets_go_and_not_before(
    client_first: bool,
) -> None:
    pair = Pair()
    held = used(pair.bank)
    first, second = (pair.near, pair.far) if client_first else (pair.far, pair.near)
    first.close()
    first.close()
    assert used(pair.bank) == held, "memory was taken from under the other side"
    assert second.closed
    assert not second.peer_died
    second.close()
    assert used(pair.bank) == (0, 0)
    assert pair.near.channel.freed
    second.close()
    assert used(pair.bank) == (0, 0)


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_connection_that_cannot_be_paid_leaves_nobody_waiting(pages: int) -> None:
    kernel = SimKernel()
    bank = kernel.bank("poor", pages=pages, caps=100)
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "it")
    with pytest.raises(OutOfPages):
        kernel.connect(client, "it", bank, slots=4, ring=16384, cell=1024)
    assert (port.waiting, client.caps.all(), server.notification.take()) == ([], [], [])
    assert used(bank) == (0, 0)


steps = st.lists(
    st.sampled_from(["charge", "cap", "refund", "answers", "back"]), min_size=1, max_size=12
)
ends = st.sampled_from(["close", "server dies", "client dies", "both die"])


def test_the_bank_is_back_to_the_byte_however_a_session_ends() -> None:
    end_a_session()
    require(covered("channel, ends"), "close", "server_dies", "client_dies", "both_die", "seized")


@settings(max_examples=max(200, settings().max_examples))
@given(steps=steps, end=ends, client_first=st.booleans())
def end_a_session(steps: list[str], end: str, client_first: bool) -> None:
    pair = Pair()
    charged: list[int] = []
    caps = 0
    for step in steps:
        if step == "charge":
            pair.far.purse.take(3000)
            charged.append(3000)
        elif step == "cap":
            pair.far.purse.take_cap()
            caps += 1
        elif step == "refund" and charged:
            pair.far.purse.give(charged.pop())
        elif step == "answers":
            pair.near.out().cells.reserve(3 * PAGE)
        elif step == "back":
            pair.far.out().cells.reserve(100)

    def server_lets_go() -> None:
        for one in charged:
            pair.far.purse.give(one)
        for _ in range(caps):
            pair.far.purse.give_cap()
        pair.far.close()

    held = used(pair.bank)
    if end == "close":
        if client_first:
            pair.near.close()
            server_lets_go()
        else:
            server_lets_go()
            pair.near.close()
    elif end == "server dies":
        pair.kernel.kill(pair.server)
        assert used(pair.bank) == held
        assert pair.near.closed
        assert pair.near.peer_died
        pair.near.close()
    elif end == "client dies":
        pair.kernel.kill(pair.client)
        assert used(pair.bank) == held, "memory was taken from under the server"
        assert pair.far.peer_died
        server_lets_go()
    else:
        for process in (pair.client, pair.server)[:: 1 if client_first else -1]:
            pair.kernel.kill(process)
    assert used(pair.bank) == (0, 0)
    assert pair.kernel.root.pages_used == 0
    seized = int((bool(charged) or caps > 0) and end in ("server dies", "both die"))
    covered("channel, ends", **{end.replace(" ", "_"): 1}, seized=seized)


def test_what_a_dead_client_had_charged_to_itself_returns_with_the_rest() -> None:
    """A client's calls that wait for a slot are charged to the same purse; it is not the
    server who could refund them."""
    pair = Pair()
    pair.near.purse.take(5000)
    pair.far.purse.take(100)
    pair.kernel.kill(pair.client)
    pair.far.purse.give(100)
    pair.far.close()
    assert used(pair.bank) == (0, 0)


def test_a_server_that_dies_before_it_accepted_is_reported_dead() -> None:
    kernel = SimKernel()
    server, client = kernel.process("server"), kernel.process("client")
    kernel.listen(server, "it")
    bank = kernel.bank("bank", pages=100)
    end = kernel.connect(client, "it", bank, slots=4, ring=4096, cell=1024)
    kernel.kill(server)
    assert end.closed
    assert end.peer_died
    end.close()
    assert used(bank) == (0, 0)


def test_a_service_taken_back_closes_whoever_waits_to_be_accepted() -> None:
    kernel = SimKernel()
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "it")
    bank = kernel.bank("bank", pages=100)
    end = kernel.connect(client, "it", bank, slots=4, ring=4096, cell=1024)
    kernel.unlisten(port)
    assert end.closed
    assert not end.peer_died
    end.close()
    assert used(bank) == (0, 0)
    kernel.listen(kernel.process("another"), "it")


def test_waiting_for_a_channel_to_be_freed_ends_when_it_is_and_not_before() -> None:
    pair = Pair()
    seen: list[str] = []

    async def waits(name: str) -> None:
        await pair.near.channel.wait_freed()
        seen.append(name)

    async def main() -> None:
        first, second, dropped = spawn(waits("a")), spawn(waits("b")), spawn(waits("c"))
        await yield_now()
        dropped.cancel()
        pair.near.close()
        for _ in range(3):
            await yield_now()
        assert seen == []
        pair.far.close()
        await first
        await second
        await pair.near.channel.wait_freed()

    run(main(), clock=VirtualClock())
    assert sorted(seen) == ["a", "b"]
