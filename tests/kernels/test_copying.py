"""What only a kernel that copies can show: late mail, and what bounds it while it is under way."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.executor import yield_now
from pinfut.rpc.contract import Endpoint, SessionSpec
from pinfut.rpc.errors import PeerDied, ProtocolError, SessionClosed
from pinfut.rpc.memory.event_buffer import EventBuffer
from pinfut.rpc.records import BITS, END, OWNER, VERSION
from tests.covered import covered, require
from tests.kernels.copying import AT_ONCE, TURN, CopyKernel
from tests.rpc.contract.pair import ALL, SPEC, Pair, arrived, frame, run


def test_a_message_is_delivered_when_it_is_drawn_and_not_seen_before() -> None:
    waits: list[int] = []

    async def main(delay: int) -> None:
        pair = Pair(CopyKernel(delays=(delay,)))
        await arrived()
        pair.server.take()
        pair.near.submissions().submit(frame(24))
        pair.near.publish()
        waited = 0
        while not (got := pair.incoming().receive(9, ALL)):
            assert not pair.server.ready, "the signal brings what it announces"
            assert not pair.incoming().more
            await yield_now()
            waited += 1
            assert waited < 1_000
        assert pair.server.ready
        assert got == [frame(24)]
        waits.append(waited)
        pair.close()

    for delay in (AT_ONCE, TURN, 1, 3):
        run(partial(main, delay))
    assert waits[:2] == [0, 1]
    assert waits == sorted(set(waits)), "the later, the more others run"


SENDS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=10, max_size=40)


async def overtake(seed: int, sends: list[tuple[int, bool]]) -> list[tuple[int, bytes]]:
    """Send over three sessions; what arrived where, in order."""
    kernel = CopyKernel(seed)
    pair = Pair(kernel, SessionSpec(slots=4, ring=4096))
    nears = [pair.near, *(kernel.connect(pair.client, "it", pair.bank, SPEC) for _ in range(2))]
    fars: list[Endpoint] = [pair.far, *pair.port.accept()]
    sent: list[list[bytes]] = [[], [], []]
    came: list[tuple[int, bytes]] = []

    def look() -> None:
        for n, far in enumerate(fars):
            requests = far.requests()
            assert requests is not None
            came.extend((n, one) for one in requests.receive(99, ALL))

    for number, (which, wait) in enumerate(sends):
        sent[which].append(frame(16, number))
        assert nears[which].submissions().submit(sent[which][-1])
        nears[which].publish()
        look()
        if wait:
            await yield_now()
            look()
    await arrived()
    look()
    for n in range(3):
        assert [one for which, one in came if which == n] == sent[n], "in order, and each once"
    order = [frame(16, number) for number in range(len(sends))]
    covered("mail", overtaken=int([one for _, one in came] != order), sent=len(sends))
    covered("mail", at_once=kernel.drawn[AT_ONCE], turn=kernel.drawn[TURN], late=kernel.drawn[4])
    for end in (*nears, *fars):
        end.close()
    assert pair.used == (0, 0)
    return came


def test_mail_of_one_session_keeps_its_order_and_overtakes_that_of_others() -> None:
    """One seed is one order."""
    histories = set()

    @given(seed=st.integers(0, 99), sends=SENDS)
    def follow(seed: int, sends: list[tuple[int, bool]]) -> None:
        seen: list[list[tuple[int, bytes]]] = []

        async def main() -> None:
            seen.append(await overtake(seed, sends))

        run(main)
        run(main)
        assert seen[0] == seen[1]
        histories.add(repr(seen[0]))

    follow()
    assert len(histories) > 10
    require(covered("mail"), "overtaken", "sent", "at_once", "turn", "late")


def test_what_was_published_comes_before_the_end_of_its_sender() -> None:
    """Also when the sender dies; and nothing comes to who has let go."""

    async def main() -> None:
        for kind in (SessionClosed, PeerDied):
            pair = Pair(CopyKernel(delays=(2, 5)))
            pair.near.submissions().submit(frame(24))
            pair.near.publish()
            if issubclass(kind, PeerDied):
                pair.kernel.kill(pair.client)
            else:
                pair.near.close()
            before = pair.far.ending
            assert before is None, "that it was closed is a message as any other"
            await arrived()
            assert type(pair.far.ending) is kind
            assert pair.incoming().receive(9, ALL) == [frame(24)]
            pair.far.close()
            assert pair.used == (0, 0)

    run(main)


def test_a_writer_whose_reader_never_looks_has_so_much_under_way_and_no_more() -> None:
    async def main() -> None:
        kernel = CopyKernel(delays=(3,))
        pair = Pair(kernel, SessionSpec(slots=4, ring=1024))
        out = pair.near.submissions()
        written = 0
        for length in (0, 1, 8, 100, 0, 9) * 60:
            written += out.submit(bytes(length))
            pair.near.publish()
        assert 0 < written <= 1024 // 8
        await arrived()
        assert not out.submit(b"")
        assert len(pair.incoming().receive(999, ALL)) == written
        pair.far.publish()
        await arrived()
        assert out.submit(bytes(out.largest))
        pair.close()

    run(main)


def test_more_answers_than_there_are_slots_end_in_a_protocol_error() -> None:
    async def main() -> None:
        pair = Pair(CopyKernel())
        out, requests = pair.near.submissions(), pair.incoming()
        place = out.reserve(64)
        for x in range(SPEC.slots + 1):
            requests.complete(place, x, frame(8))
        with pytest.raises(ProtocolError):
            pair.far.publish()
        # In two halves they are the caller's to find.
        pair = Pair(CopyKernel())
        out, requests = pair.near.submissions(), pair.incoming()
        place = out.reserve(64)
        for x in range(2 * SPEC.slots):
            requests.complete(place, x, frame(8))
            pair.far.publish()
        await arrived()
        with pytest.raises(ProtocolError):
            out.completed()
        pair.close()

    run(main)


def test_events_under_way_are_one_for_each_place_whatever_is_posted() -> None:
    async def main() -> None:
        kernel = CopyKernel(delays=(6,))
        bank = kernel.bank("buffer", pages=9)
        with EventBuffer(bank, places=2, size=8, keep=1) as buffer:
            pair = Pair(kernel, SessionSpec(slots=4, ring=4096, events=buffer))
            key = buffer.open()
            records = pair.far.events()
            assert records is not None
            words, at = records.memory.cast("Q"), (key & 0xFFFF) * (records.shape.record >> 3)
            words[at + OWNER] = key >> 16
            for version in range(1, 50):
                words[at + VERSION] = version
                words[at + BITS] = 1 << version
                pair.far.post_event(key & 0xFFFF)
                if version % 10 == 0:
                    await yield_now()
                under_way = kernel._sides[pair.near.number]  # type: ignore[attr-defined]
                assert len(under_way.queue) <= 1
            assert buffer.take() is None, "nothing has come"
            await arrived()
            event = buffer.take()
            assert event is not None
            assert (event.version, event.lost, event.last) == (49, 48, False)
            assert event.bits == sum(1 << version for version in range(1, 50)), "all are told"
            # What is posted to a place that was closed meanwhile changes nothing.
            words[at + END] = key >> 16
            pair.far.post_event(key & 0xFFFF)
            buffer.cancel(key)
            again = buffer.open()
            await arrived()
            assert buffer.take() is None
            assert again != key
            pair.close()

    run(main)
