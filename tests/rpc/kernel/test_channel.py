"""Channels: bought whole or not at all, freed when both sides have let go."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.executor import VirtualClock, run
from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.funds import CAPS, SessionFunds
from pinfut.rpc.bank.teardown import destroy
from pinfut.rpc.contract import Balance, ServiceSpec, SessionSpec
from pinfut.rpc.errors import OutOfCaps, OutOfPages, PeerDied, SessionClosed, SessionDead
from pinfut.rpc.kernel.sim.channel import Channel
from pinfut.rpc.kernel.sim.endpoint import SimEndpoint
from pinfut.rpc.kernel.sim.kernel import SimKernel
from pinfut.rpc.kernel.sizes import first_pages, least_quota, pages_of
from pinfut.rpc.memory.pages import Region
from tests.covered import covered, require

SPEC = SessionSpec(slots=4, ring=4096)

TERMS = [(1, 64, 64), (8, 4096, 1024), (64, 16384, 256), (300, 1 << 16, 4096)]


def used(bank: Bank) -> tuple[int, int]:
    return bank.pages_used, bank.caps_used


def channel_of(bank: Bank, terms: tuple[int, int, int]) -> Channel:
    slots, ring, cell = terms
    spec = SessionSpec(slots=slots, ring=ring, cell=cell)
    return Channel(SessionFunds(bank, "a session", spec, least_quota(spec)), spec, ServiceSpec())


def free(channel: Channel) -> None:
    channel.free(lambda bank: None)


def cost_of(terms: tuple[int, int, int]) -> int:
    bank = Bank("measure", 1000, 1000)
    channel_of(bank, terms)
    assert bank.caps_used == CAPS
    assert bank.pages_used == first_pages(SessionSpec(*terms)) <= pages_of(*terms[:2])
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
            channel_of(bank, terms)
        assert used(bank) == used(root) == (0, 0), (pages, caps)
        failed += 1
    exact = Bank("exact", needed, CAPS)
    channel = channel_of(exact, terms)
    assert exact.balance == (0, 0)
    free(channel)
    assert used(exact) == (0, 0)
    require(covered("channel, failing points", failed=failed), "failed")


@pytest.mark.parametrize("terms", TERMS)
def test_the_lane_for_calls_back_is_bought_whole_or_not_at_all(
    terms: tuple[int, int, int],
) -> None:
    slots, ring, cell = terms
    spec = SessionSpec(slots=slots, ring=ring, cell=cell)
    measure = Pair(1000, spec)
    first = measure.bank.pages_used
    measure.far.submissions()
    both = measure.bank.pages_used
    assert both > first
    for pages in range(first, both):
        pair = Pair(pages, spec)
        for _ in range(2):
            with pytest.raises(OutOfPages):
                pair.far.submissions()
            assert used(pair.bank) == (first, CAPS)
            assert len(pair.channel.lanes) == 1
        pair.near.close()
        pair.far.close()
        assert used(pair.bank) == (0, 0)
    pair = Pair(both, spec)
    assert pair.far.submissions() is pair.far.submissions()
    pair.near.close()
    pair.far.close()
    assert used(pair.bank) == (0, 0)


@pytest.mark.parametrize(
    ("slots", "ring", "cell"), [(4, 100, 1024), (4, 0, 1024), (4, 4096, 1000), (4, 4096, 8192)]
)
def test_sizes_that_make_no_sense_buy_nothing(slots: int, ring: int, cell: int) -> None:
    bank = Bank("bank", 1000, 1000)
    with pytest.raises(ValueError, match=r"is a power of two|cell's size"):
        channel_of(bank, (slots, ring, cell))
    assert used(bank) == (0, 0)


# ---- with a kernel: both sides ----


class Pair:
    """Two processes with a session between them, without an executor."""

    def __init__(self, pages: int = 100, spec: SessionSpec = SPEC) -> None:
        self.kernel = SimKernel()
        self.bank = self.kernel.bank("bank", pages=pages, caps=100)
        self.server = self.kernel.process("server")
        self.client = self.kernel.process("client")
        self.port = self.kernel.listen(self.server, "it", ServiceSpec())
        self.near = self.kernel.connect(self.client, "it", self.bank, spec)
        (far,) = self.port.accept()
        assert isinstance(far, SimEndpoint)
        self.far = far
        self.channel = self.kernel.channels[1]


@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_connection_that_cannot_be_paid_leaves_nobody_waiting(pages: int) -> None:
    kernel = SimKernel()
    bank = kernel.bank("poor", pages=pages, caps=100)
    server, client = kernel.process("server"), kernel.process("client")
    port = kernel.listen(server, "it", ServiceSpec())
    with pytest.raises(OutOfPages):
        kernel.connect(client, "it", bank, SessionSpec(slots=4))
    assert (port.accept(), client.caps.all(), server.take()) == ([], [], [])
    assert not kernel.channels
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
            pair.far.account.take(3000)
            charged.append(3000)
        elif step == "cap":
            pair.far.account.take_cap()
            caps += 1
        elif step == "refund" and charged:
            pair.far.account.give(charged.pop())
        elif step == "answers":
            pair.near.submissions().reserve(3 * PAGE)
        elif step == "back":
            pair.far.submissions().reserve(100)

    def server_lets_go() -> None:
        for one in charged:
            pair.far.account.give(one)
        for _ in range(caps):
            pair.far.account.give_cap()
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
        assert type(pair.near.ending) is PeerDied
        pair.near.close()
    elif end == "client dies":
        pair.kernel.kill(pair.client)
        assert used(pair.bank) == held, "memory was taken from under the server"
        assert type(pair.far.ending) is PeerDied
        server_lets_go()
    else:
        for process in (pair.client, pair.server)[:: 1 if client_first else -1]:
            pair.kernel.kill(process)
    assert used(pair.bank) == (0, 0)
    assert pair.kernel.root.pages_used == 0
    seized = int((bool(charged) or caps > 0) and end in ("server dies", "both die"))
    covered("channel, ends", **{end.replace(" ", "_"): 1}, seized=seized)


def test_what_a_dead_client_had_charged_to_itself_returns_with_the_rest() -> None:
    """A client's calls that wait for a slot are charged to the same account; it is not the
    server who could refund them."""
    pair = Pair()
    pair.near.account.take(5000)
    pair.far.account.take(100)
    pair.kernel.kill(pair.client)
    pair.far.account.give(100)
    pair.far.close()
    assert used(pair.bank) == (0, 0)


def test_a_session_that_is_let_go_of_with_something_charged_says_so() -> None:
    """Nobody refunds it any more; the bank has everything back all the same."""
    pair = Pair()
    pair.near.account.take(100)
    pair.far.account.take_cap()
    with pytest.raises(ValueError, match="100 bytes and 0 capabilities"):
        pair.near.close()
    with pytest.raises(ValueError, match="0 bytes and 1 capabilities"):
        pair.far.close()
    assert used(pair.bank) == (0, 0)


def test_the_graver_of_two_endings_stays() -> None:
    pair = Pair()
    pair.near.close()
    assert type(pair.far.ending) is SessionClosed
    end = destroy(pair.bank)
    end.step()
    assert type(pair.far.ending) is SessionDead
    pair = Pair()
    end = destroy(pair.bank)
    end.step()
    pair.kernel.kill(pair.client)
    pair.far.close()
    assert end.done


def test_a_session_s_number_names_nothing_once_it_is_over() -> None:
    pair = Pair()
    number = pair.near.number
    assert (pair.kernel.peer_of(pair.near), pair.kernel.peer_of(pair.far)) == (pair.far, pair.near)
    pair.near.close()
    with pytest.raises(SessionClosed):
        pair.near.nested(1, 1)
    assert pair.kernel.find(number) is pair.channel
    pair.far.close()
    assert (pair.kernel.find(number), pair.kernel.peer_of(pair.near)) == (None, None)
    assert not pair.kernel.channels
    with pytest.raises(SessionClosed):
        pair.far.account.take(1 << 20)


def test_a_donation_that_takes_long_to_destroy_is_waited_for() -> None:
    """A bounded part of it goes in each turn, and the session is over when all has."""
    pair = Pair(2000, SessionSpec(slots=4, quota=Balance(1500, 90)))
    bank = pair.channel.funds.own
    assert bank is not None
    regions = [Region(bank, 1) for _ in range(1000)]

    async def main() -> None:
        pair.near.close()
        pair.far.close()
        assert regions[-1].pages == 1, "all of it at once"
        await pair.far.wait_freed()
        assert used(pair.bank) == (0, 0)
        assert regions[-1].pages == 0

    run(main(), clock=VirtualClock())
