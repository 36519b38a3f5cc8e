"""Calls and answers over a session, on every kernel."""

from __future__ import annotations

import struct

import pytest

from pinfut.executor import spawn, yield_now
from pinfut.rpc.contract import Kernel, SessionSpec
from pinfut.rpc.errors import OutOfPages, ProtocolError, SessionClosed
from tests.covered import covered, require
from tests.rpc.contract.pair import ALL, SPEC, Pair, arrived, frame, run


def test_what_is_submitted_is_seen_once_published_in_order_and_not_before(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out, requests = pair.near.submissions(), pair.incoming()
        frames = [frame(8 + 5 * n, n) for n in range(5)]
        assert all(out.submit(one) for one in frames)
        assert out.unpublished > 0
        await arrived()
        assert requests.receive(99, ALL) == []
        assert pair.near.publish()
        assert out.unpublished == 0
        await arrived()
        assert requests.receive(99, ALL) == frames
        end = requests.consumed
        requests.put_back(frames[1:])
        assert requests.more
        assert requests.receive(99, ALL) == frames[1:]
        assert (requests.consumed, requests.more) == (end, False)
        assert requests.receive(99, ALL) == []
        assert not requests.more
        pair.close()

    run(main)


def test_a_look_takes_so_many_frames_and_bytes_and_says_whether_it_left_any(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out, requests = pair.near.submissions(), pair.incoming()
        for n in range(6):
            out.submit(frame(16, n))
        pair.near.publish()
        await arrived()
        assert len(requests.receive(2, ALL)) == 2
        assert requests.more
        assert requests.consumed == 32
        # None begins after the first 17 bytes: one at 0, one at 16.
        assert len(requests.receive(99, 17)) == 2
        assert requests.more
        assert len(requests.receive(99, ALL)) == 2
        assert not requests.more
        assert requests.consumed == 6 * 16
        pair.close()

    run(main)


def test_a_ring_that_is_full_takes_no_more_and_its_writer_is_woken_when_there_is_room(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        pair = Pair(kernel, SessionSpec(slots=4, ring=256))
        out, requests = pair.near.submissions(), pair.incoming()
        largest = frame(out.largest)
        sent = 0
        while out.submit(largest):
            sent += 1
        assert sent == 256 // len(largest)
        pair.near.publish()
        await arrived()
        pair.client.take()
        assert not out.submit(largest)
        waits = spawn(_badges(pair))
        await yield_now()
        assert requests.receive(1, ALL) == [largest]
        assert pair.far.publish()
        assert await waits == [pair.near.handle & 0xFFFF_FFFF]
        assert out.submit(largest)
        pair.close()

    run(main)


def test_a_batch_stops_at_the_first_that_finds_no_room_and_says_how_many_were_taken(
    kernel: Kernel,
) -> None:
    """Row 61: also where what comes behind would fit; the rest is another batch, once there is
    room, and what was taken before was not taken twice."""

    async def main() -> None:
        pair = Pair(kernel, SessionSpec(slots=4, ring=256))
        out, requests = pair.near.submissions(), pair.incoming()
        sizes = [out.largest, 64, out.largest, 8, 8]
        frames = [frame(size, n) for n, size in enumerate(sizes)]
        assert out.submit_all([]) == 0
        assert out.submit_all(iter(frames)) == 2
        pair.near.publish()
        await arrived()
        assert requests.receive(99, ALL) == frames[:2]
        pair.far.publish()
        await arrived()
        assert out.submit_all(frames[2:]) == 3
        pair.near.publish()
        await arrived()
        assert requests.receive(99, ALL) == frames[2:]
        pair.close()

    run(main)


async def _badges(pair: Pair) -> list[int]:
    return await pair.client.wait()


def test_an_answer_is_written_where_its_caller_wants_it(kernel: Kernel) -> None:
    """Small ones, one of two pages, and one that is longer than those."""

    async def main() -> None:
        pair = Pair(kernel)
        out, requests = pair.near.submissions(), pair.incoming()
        for rounds in range(3):
            rooms = [64, 1024, 8192, 9000]
            places = [out.reserve(room) for room in rooms]
            assert len(set(places)) == 4
            answers = [frame(room, room + rounds) for room in rooms]
            for x, (place, answer) in enumerate(zip(places, answers, strict=True)):
                requests.complete(place, x, answer)
            assert out.completed() == []
            assert pair.far.publish()
            await arrived()
            assert out.completed() == [0, 1, 2, 3]
            assert out.completed() == []
            assert [out.read(place) for place in places] == answers
            assert [out.read(place) for place in places] == answers
            covered("answers in place", taken=4, again=rounds)
        assert not pair.far.publish()
        pair.close()
        assert pair.used == (0, 0)

    run(main)
    require(covered("answers in place"), "taken", "again")


def test_the_head_of_an_answer_can_be_seen_and_nothing_is_taken_by_it(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out, requests = pair.near.submissions(), pair.incoming()
        for x, room in enumerate((64, 9000)):
            place = out.reserve(room)
            requests.complete(place, x, struct.pack("<IIQ", 16, 7 + x, x))
            pair.far.publish()
            await arrived()
            for _ in range(2):
                assert out.peek(place, x) == 7 + x
                assert out.peek(place, x + 64) is None
            assert out.completed() == [x]
            assert len(out.read(place)) == 16
        pair.close()

    run(main)


def test_a_place_that_was_released_is_the_next_one_s_and_costs_nothing(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out = pair.near.submissions()
        for room in (100, 20_000):
            out.release(out.reserve(room))
            used = pair.used
            for _ in range(50):
                out.release(out.reserve(room))
            assert pair.used == used
        pair.close()

    run(main)


def test_a_place_that_is_none_or_too_small_ends_in_a_protocol_error(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out, requests = pair.near.submissions(), pair.incoming()
        small, large = out.reserve(100), out.reserve(5000)
        requests.complete(small, 0, frame(1024))
        for place, length in [(small, 1025), (large, 8193), (999, 8), (large + 1, 8)]:
            with pytest.raises(ProtocolError):
                requests.complete(place, 1, frame(length))
        out.release(large)
        with pytest.raises(ProtocolError):
            requests.complete(large, 1, frame(8))
        # What claims to be longer than its place, or no frame at all, is none.
        for lie in (0, 3, 1025, 1 << 31):
            requests.complete(small, 2, lie.to_bytes(4, "little") + bytes(4))
            with pytest.raises(ProtocolError):
                out.read(small)
            with pytest.raises(ProtocolError):
                out.read(small)
        pair.close()

    run(main)


def test_a_reserve_that_cannot_be_paid_buys_nothing_and_the_rest_goes_on(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out, requests = pair.near.submissions(), pair.incoming()
        place = out.reserve(1024)
        pair.bank.refill(pages=-pair.bank.balance.pages)
        used = pair.used
        for room in (5000, 1 << 20):
            with pytest.raises(OutOfPages):
                out.reserve(room)
            assert pair.used == used
        requests.complete(place, 1, frame(9))
        pair.far.publish()
        await arrived()
        assert out.completed() == [1]
        assert out.read(place) == frame(9)
        out.release(place)
        pair.close()

    run(main)


def test_memory_between_two_uses_goes_back_when_asked_or_when_either_side_runs_short(
    kernel: Kernel,
) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        out = pair.near.submissions()

        def leave_nine() -> None:
            """Have nine pages be all that can be bought, whether a kernel keeps them meanwhile or
            sells them at once."""
            out.trim()
            limit = pair.used[0] + 9
            out.release(out.reserve(9 * 4096))
            assert pair.used[0] in (limit - 9, limit)
            pair.bank.refill(pages=limit - pair.bank.page_limit)

        for account in (pair.near.account, pair.far.account):
            leave_nine()
            # One page may have to be left for the other side.
            count = account.free + 8 * 4096
            account.take(count)
            with pytest.raises(OutOfPages):
                account.take(account.free + 4096 + 1)
            account.give(count)
            pair.bank.refill(pages=100)
        leave_nine()
        with pytest.raises(OutOfPages):
            out.reserve(10 * 4096)
        # What was kept is given up by now, and small answers find it.
        assert pair.bank.balance.pages == 9
        for _ in range(4 * 9):
            out.reserve(1024)
        pair.close()

    run(main)


def test_the_serving_side_calls_back_once_it_has_bought_a_lane(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        assert pair.near.requests() is None
        before = pair.used
        back = pair.far.submissions()
        assert pair.used > before
        assert pair.far.submissions() is back
        back.submit(frame(40))
        place = back.reserve(64)
        assert pair.far.publish()
        await arrived()
        requests = pair.near.requests()
        assert requests is not None
        assert requests.receive(9, ALL) == [frame(40)]
        requests.complete(place, 5, frame(12))
        assert pair.near.publish()
        await arrived()
        assert back.completed() == [5]
        assert back.read(place) == frame(12)
        back.release(place)
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def test_a_lane_for_calls_back_that_cannot_be_paid_is_not_there(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        pair.bank.refill(pages=-pair.bank.balance.pages)
        used = pair.used
        for _ in range(2):
            with pytest.raises(OutOfPages):
                pair.far.submissions()
            assert pair.used == used
            assert pair.near.requests() is None
        pair.bank.refill(pages=100)
        assert pair.far.submissions().submit(frame(8))
        pair.close()
        assert pair.used == (0, 0)

    run(main)


def test_one_publication_is_one_signal_and_none_without_news(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        await arrived()
        pair.server.take()
        assert not pair.near.publish()
        assert not pair.far.publish()
        await arrived()
        assert not pair.server.ready
        out = pair.near.submissions()
        for _ in range(3):
            out.submit(frame(8))
            assert pair.near.publish()
        await arrived()
        # However often it was signalled, it is seen once.
        assert pair.server.ready
        badges = pair.server.take()
        assert badges == [pair.far.handle & 0xFFFF_FFFF]
        assert pair.server.at(badges[0]) is pair.far
        assert not pair.server.ready
        assert pair.server.take() == []
        pair.close()
        with pytest.raises(SessionClosed):
            pair.near.publish()
        assert pair.server.at(badges[0]) is None

    run(main)


def test_a_signal_never_comes_before_what_it_announces(kernel: Kernel) -> None:
    """Whoever waits finds the frame, and the answer, when it is woken."""

    async def main() -> None:
        pair = Pair(kernel)
        out = pair.near.submissions()
        place = out.reserve(64)

        async def serve() -> None:
            for n in range(20):
                await pair.server.wait()
                (got,) = pair.incoming().receive(9, ALL)
                pair.incoming().complete(place, n, got)
                pair.far.publish()

        await arrived()
        pair.server.take()
        task = spawn(serve())
        for n in range(20):
            out.submit(frame(16, n))
            pair.near.publish()
            await pair.client.wait()
            assert out.completed() == [n]
            assert out.read(place) == frame(16, n)
            covered("a signal finds what it announces", found=1)
        await task
        pair.close()

    run(main)
    require(covered("a signal finds what it announces"), "found")


def test_a_nudge_wakes_who_waits_in_the_same_process(kernel: Kernel) -> None:
    async def main() -> None:
        pair = Pair(kernel)
        await arrived()
        pair.client.take()
        waits = spawn(_badges(pair))
        await yield_now()
        pair.client.nudge(77)
        assert await waits == [77]
        assert pair.client.at(77) is None
        pair.close()

    run(main)


@pytest.mark.parametrize(("slots", "ring", "cell"), [(4, 100, 1024), (0, 256, 64), (4, 256, 1000)])
def test_sizes_that_make_no_sense_buy_nothing(
    kernel: Kernel, slots: int, ring: int, cell: int
) -> None:
    pair = Pair(kernel, SPEC)
    used = pair.used
    with pytest.raises(ValueError, match=r"power of two|cell's size|slots"):
        kernel.connect(pair.client, "it", pair.bank, SessionSpec(slots=slots, ring=ring, cell=cell))
    assert pair.used == used
    assert pair.port.accept() == []
    pair.close()
