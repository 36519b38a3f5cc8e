"""Slots and rings that grow and shrink while calls are under way, on every kernel."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from pinfut.rpc.contract import Kernel, Requests, SessionSpec, Submissions
from pinfut.rpc.errors import OutOfPages
from tests.covered import covered, require
from tests.rpc.contract.conftest import KERNELS
from tests.rpc.contract.pair import ALL, Pair, arrived, frame, run

SPEC = SessionSpec(slots=40, ring=8192, least=(2, 256))

DEATHS = "growing, who dies when"


def opened(pair: Pair) -> tuple[Submissions, Requests, list[int]]:
    """Both ends of the client's calls, and the sizes that the callee was told."""
    told: list[int] = []
    requests = pair.incoming()
    requests.watch(told.append)
    return pair.near.submissions(), requests, told


async def over(pair: Pair, out: Submissions, requests: Requests) -> None:
    """Have both sides see where the other has gone on."""
    pair.near.publish()
    await arrived()
    while requests.receive(9, ALL) or requests.more:
        pass
    pair.far.publish()
    await arrived()
    assert out.completed() == []


def test_what_was_asked_for_is_bought_when_it_is_used_and_goes_back_when_it_is_not(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        pair = Pair(kernel, SPEC)
        out, requests, told = opened(pair)
        begun = pair.used
        assert (out.slots, out.capacity, requests.slots) == (2, 256, 2)
        assert out.largest == 128
        used = begun
        for slots, ring in ((8, 256), (8, 4096), (40, 8192)):
            out.resize(slots, ring)
            assert pair.used > used
            await over(pair, out, requests)
            assert (out.slots, out.capacity, requests.slots) == (slots, ring, slots)
            assert out.largest == ring // 2
            used = pair.used
        for slots, ring in ((40, 256), (3, 256), (2, 256)):
            out.resize(slots, ring)
            await over(pair, out, requests)
            assert pair.used <= used
            used = pair.used
        assert used == begun
        assert told == [8, 8, 40, 40, 3, 2]
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def test_what_was_submitted_before_is_read_before_and_answers_keep_their_order(
    kernel: Kernel,
) -> None:
    """With frames, and answers, before and behind each change, taken some at a time."""

    async def main() -> None:
        pair = Pair(kernel, SPEC)
        out, requests, told = opened(pair)
        sent: list[bytes] = []
        got: list[bytes] = []
        taken: list[int] = []
        place = out.reserve(64)

        def answer(frames: list[bytes]) -> None:
            for one in frames:
                requests.complete(place, len(got), frame(16))
                got.append(one)
                # What came before a change is told before it.
                assert len(told) >= sum(len(other) == 40 for other in got)

        for step, (slots, ring) in enumerate(
            ((16, 1024), (24, 2048), (16, 1024), (40, 4096), (16, 1024))
        ):
            for n in range(2):
                sent.append(frame(24, 2 * step + n))
                assert out.submit(sent[-1])
            if step % 2:
                pair.near.publish()
            out.resize(slots, ring)
            sent.append(frame(40, 100 + step))
            assert out.submit(sent[-1])
            if step != 2:
                pair.near.publish()
            await arrived()
            for _ in range(step):
                frames = requests.receive(2, ALL)
                requests.put_back(frames[1:])
                covered("growing, in order", put_back=len(frames) > 1, nothing=len(frames) == 1)
                answer(frames[:1])
            pair.far.publish()
            await arrived()
            taken += out.completed()
        while len(got) < len(sent):
            pair.near.publish()
            await arrived()
            more = True
            while more:
                answer(frames := requests.receive(1, ALL))
                more = requests.more
                requests.put_back(frames[1:])
                assert requests.more == more, "that there is more is forgotten"
            pair.far.publish()
            await arrived()
            taken += out.completed()
        await over(pair, out, requests)
        assert got == sent
        assert len(told) == 5
        assert taken == list(range(len(got)))
        covered("growing, in order", frames=len(got), sizes=len(told))
        pair.close()
        assert pair.used == (0, 0)

    run(main)
    require(covered("growing, in order"), "frames", "sizes", "put_back", "nothing")


def test_growth_that_cannot_be_paid_changes_nothing_and_calls_go_on(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel, SPEC)
        out, requests, told = opened(pair)
        begun = pair.used
        out.resize(40, 8192)
        needed = pair.used[0] - begun[0]
        out.resize(2, 256)
        await over(pair, out, requests)
        assert pair.used == begun
        for pages in range(needed):
            pair.bank.refill(pages=pages - pair.bank.balance.pages)
            with pytest.raises(OutOfPages):
                out.resize(40, 8192)
            assert pair.used == begun
            assert (out.slots, out.capacity) == (2, 256)
            assert out.submit(frame(8, pages))
            await over(pair, out, requests)
        pair.bank.refill(pages=needed - pair.bank.balance.pages)
        out.resize(40, 8192)
        for slots, ring in ((41, 256), (2, 16_384), (0, 256)):
            with pytest.raises(ValueError, match=r"more than"):
                out.resize(slots, ring)
        await over(pair, out, requests)
        assert told == [40, 2, 40]
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def test_places_that_were_given_back_hold_their_own_answers_when_they_come_again(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        pair = Pair(kernel, SPEC)
        out, requests, _ = opened(pair)
        begun = pair.used[0]
        for rounds in range(3):
            out.resize(40, 256)
            await over(pair, out, requests)
            places = [out.reserve(SPEC.cell) for _ in range(40)]
            for x, place in enumerate(places):
                requests.complete(place, x, frame(100, x + rounds))
            pair.far.publish()
            await arrived()
            assert out.completed() == list(range(40))
            for x, place in enumerate(places):
                assert out.read(place) == frame(100, x + rounds)
                out.release(place)
            out.resize(2, 256)
            await over(pair, out, requests)
            covered("growing, places again", given_back=not out.spare and pair.used[0] <= begun + 1)
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def steps(pair: Pair) -> Iterator[Callable[[], object]]:
    """What both sides do when a direction grows and shrinks, one after the other."""
    out, requests, _ = opened(pair)
    place = out.reserve(64)
    for slots, ring in ((8, 1024), (2, 256)):
        yield lambda: out.submit(frame(24))
        yield partial(out.resize, slots, ring)
        yield lambda: out.submit(frame(16))
        yield pair.near.publish
        yield lambda: requests.receive(9, ALL)
        yield lambda: requests.complete(place, 0, frame(16))
        yield lambda: requests.receive(9, ALL)
        yield pair.far.publish
        yield out.completed


@pytest.mark.parametrize("make", KERNELS.values(), ids=list(KERNELS))
@pytest.mark.parametrize("who", ["client", "server", "both"])
def test_a_death_at_any_step_leaves_nothing_behind(make: Callable[[], Kernel], who: str) -> None:
    last = len(list(steps(Pair(make(), SPEC))))

    async def main() -> None:
        for at in range(last + 1):
            pair = Pair(make(), SPEC)
            for step in itertools.islice(steps(pair), at):
                step()
                await arrived()
            if who != "server":
                pair.kernel.kill(pair.client)
            if who != "client":
                pair.kernel.kill(pair.server)
            await arrived()
            pair.close()
            assert pair.used == (0, 0)
            covered(DEATHS, **{f"{who}_died": 1})

    run(main)
    require(covered(DEATHS), f"{who}_died")
