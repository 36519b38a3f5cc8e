"""Connecting by name: whoever answers first wins, in time, and the others are closed."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinfut.executor import CancelledError, current_executor, shield, sleep, spawn
from pinfut.executor.io import connect_tcp, listen_tcp
from pinfut.executor.io.connect import STAGGER, Found, first_to_answer, interleaved
from tests.covered import covered, require
from tests.executor.io.world import no_leaks
from tests.executor.world import Run, executor, make, run

__all__ = ["executor", "no_leaks", "run"]

V4, V6 = socket.AF_INET, socket.AF_INET6


def address(place: int, family: int = V4) -> Found:
    return family, socket.SOCK_STREAM, 6, "", (f"address {place}", 80)


@dataclass
class Network:
    """Fake addresses: each answers, or fails, after its time."""

    plan: list[tuple[float, bool]]
    started: dict[int, float] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    async def connect(self, found: Found) -> Connection:
        place = int(found[4][0].split()[1])
        self.started[place] = current_executor().now()
        connection = Connection(self, place)
        self.open.add(place)
        seconds, answers = self.plan[place]
        try:
            await sleep(seconds)
            if not answers:
                raise ConnectionRefusedError(f"address {place}")
        except BaseException:
            connection.close()
            raise
        return connection


@dataclass
class Connection:
    network: Network
    place: int

    def close(self) -> None:
        self.network.open.remove(self.place)


# Tenths of a second, and so much more that no two attempts ever end at the same time.
plans = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=5).map(
    lambda plan: [(tenths / 10 + 0.001 * 2**i, ok) for i, (tenths, ok) in enumerate(plan)]
)


def expected(plan: list[tuple[float, bool]]) -> tuple[dict[int, float], int | None, float]:
    """When each attempt starts, who wins, and when that is known: RFC 8305, by hand."""
    starts: dict[int, float] = {}
    winner, end, now = None, float("inf"), 0.0
    for place, (seconds, answers) in enumerate(plan):
        if now > end:
            break
        starts[place] = now
        if answers and now + seconds < end:
            winner, end = place, now + seconds
        now += STAGGER if answers else min(STAGGER, seconds)
    if winner is None:
        end = max(starts[place] + plan[place][0] for place in starts)
    return starts, winner, end


@pytest.mark.parametrize("mode", ["everyday", "watched and checked"])
def test_the_first_answer_wins_and_attempts_start_when_the_rfc_says(mode: str) -> None:
    @given(plans)
    @example([(0.7, True), (0.3, True)])
    @example([(0.7, True), (0.101, False), (0.102, True)])
    def history(plan: list[tuple[float, bool]]) -> None:
        network = Network(plan)
        starts, winner, end = expected(plan)

        async def main() -> None:
            found = [address(place) for place in range(len(plan))]
            won, errors = await first_to_answer(found, network.connect)
            assert current_executor().now() == pytest.approx(end)
            assert network.started == pytest.approx(starts)
            if winner is None:
                assert won is None
                assert [str(e) for e in errors] == [f"address {i}" for i in range(len(plan))]
                assert not network.open
            else:
                assert won is not None
                assert won.place == winner
                assert network.open == {winner}
            assert len(current_executor().tasks) == 1

        make(mode).run(main())
        covered(
            f"races to connect, {mode}",
            nobody=winner is None,
            later=bool(winner),
            overlap=len(starts) > 1,
            never_started=len(starts) < len(plan),
        )

    history()
    counts = covered(f"races to connect, {mode}")
    require(counts, "nobody", "later", "overlap", "never_started")


@given(plans, st.integers(0, 30))
def cancelled(plan: list[tuple[float, bool]], when: int) -> None:
    network = Network(plan)

    async def connects() -> None:
        found = [address(place) for place in range(len(plan))]
        won, _ = await first_to_answer(found, network.connect)
        if won is not None:
            won.close()

    async def main() -> None:
        task = spawn(connects())
        # Also at the very time at which one answers.
        await sleep(plan[when % len(plan)][0] if when > 20 else when / 20)
        stopped = task.cancel()
        try:
            await task
        except CancelledError:
            covered("cancelled connects", cancelled=1)
        covered("cancelled connects", stopped=stopped)
        assert not network.open

    make("everyday").run(main())


def test_a_cancel_closes_every_attempt_whenever_it_comes() -> None:
    cancelled()
    require(covered("cancelled connects"), "cancelled", "stopped")


def test_what_an_attempt_gives_after_another_has_won_is_closed(run: Run) -> None:
    """As an attempt may that is shielded from its cancel."""

    async def main() -> None:
        network = Network([(2, True), (1, True)])

        async def stubborn(found: Found) -> Connection:
            with shield():
                return await network.connect(found)

        won, _ = await first_to_answer([address(0), address(1)], stubborn)
        assert won is not None
        assert won.place == 1
        assert network.open == {1}
        assert current_executor().now() == 2

    run(main())


@given(st.lists(st.sampled_from([V4, V6]), max_size=8))
def test_families_take_turns_and_keep_their_own_order(families: list[int]) -> None:
    found = [address(place, family) for place, family in enumerate(families)]
    order = interleaved(found)
    assert sorted(order, key=found.index) == found
    assert order[:1] == found[:1]
    for family in (V4, V6):
        own = [one for one in order if one[0] == family]
        assert own == [one for one in found if one[0] == family]
    both = 2 * min(families.count(V4), families.count(V6))
    assert all(a[0] != b[0] for a, b in pairwise(order[:both]))


def test_a_name_with_an_address_that_refuses_is_connected_at_another(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real sockets: nobody listens at the first address, somebody at the second."""

    async def main() -> None:
        with listen_tcp(0, "127.0.0.2") as listener:
            port = listener.raw.getsockname()[1]
            refuses, answers = [
                (V4, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.1", "127.0.0.2")
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [refuses, answers])
            with await connect_tcp("a name", port) as sock:
                assert sock.raw.getpeername() == ("127.0.0.2", port)
                assert sock.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [refuses, refuses])
            with pytest.raises(OSError, match="none of the 2 addresses of 'a name'") as raised:
                await connect_tcp("a name", port)
            cause = raised.value.__cause__
            assert isinstance(cause, ExceptionGroup)
            assert [type(e) for e in cause.exceptions] == [ConnectionRefusedError] * 2
            for wrong in (-1, 65536):
                with pytest.raises(ValueError, match="a port is 0 to 65535"):
                    await connect_tcp("a name", wrong)

    run(main())
