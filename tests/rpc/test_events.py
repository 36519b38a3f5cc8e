"""Events: combined, counted, in the client's memory, and as many as it has armed."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut import join
from pinfut.executor import CancelledError, sleep, spawn, timeout, yield_now
from pinfut.rpc import (
    Bank,
    EventBuffer,
    EventSource,
    GarbageFrame,
    Interface,
    NoEventBuffer,
    OutOfPages,
    PeerDied,
    SessionClosed,
    StillPinned,
    Subscription,
    connect,
    destroy,
    method,
    prices,
    serve,
    session_of,
    subscribe,
)
from pinfut.rpc.records import ARM, BITS, GENERATION, OWNER, SEEN, VERSION, WORDS
from tests.covered import covered, require
from tests.rpc.world import World, only, quiet, run

NAME = "events"


class Watch(Interface, Protocol):
    @method
    async def watch(self, key: int) -> None: ...
    @method
    async def ping(self) -> int: ...


class Server(Watch):
    """Hands the subscriptions to the test."""

    def __init__(self) -> None:
        self.source = EventSource()
        self.made: list[Subscription] = []

    @method
    async def watch(self, key: int) -> None:
        self.made.append(self.source.subscribe(key))

    @method
    async def ping(self) -> int:
        return 7


# ---- the model ----


@dataclass
class Model:
    """What a client may know of one source."""

    key: int
    states: list[bytes] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)
    seen: int = 0
    armed: bool = True
    closed: bool = False


OPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("open", "post", "post", "post", "arm", "arm", "look", "cancel", "close", "again"),
                "look, again, post, look",
            ]
        ),
        st.integers(0, 5),
        st.integers(1, 5),
    ),
    min_size=10,
    max_size=40,
)


def check_looks(events: EventBuffer, models: dict[int, Model], keep: int) -> None:
    """Everything that can be had is had, and nothing else."""
    due = {m.key for m in models.values() if m.armed and (len(m.states) > m.seen or m.closed)}
    got = set()
    while (event := events.take()) is not None:
        assert event.key not in got, "two events for one arming"
        got.add(event.key)
        model = models[event.key]
        fresh = model.states[model.seen :]
        assert list(event.states) == fresh[-keep:], "the newest, in order"
        assert event.lost == len(fresh) - len(event.states), "an exact count"
        assert event.version == len(model.states)
        for bits in model.bits[model.seen :]:
            assert event.bits & bits == bits, "what happened is told"
        assert event.last is model.closed, "the last says so, and no other"
        covered(NAME, looks=1, lost=event.lost, combined=int(len(fresh) > 1))
        model.seen, model.armed = len(model.states), False
        if event.last:
            covered(NAME, last=1, last_without_a_state=int(not event.states))
            check_over(events, event.key)
            del models[event.key]
    assert got == due
    assert events.delivered <= events.armings


def check_over(events: EventBuffer, key: int) -> None:
    """Nothing comes under a key that is over, and nobody can ask for it."""
    for ask in (events.arm, events.cancel):
        with pytest.raises(KeyError):
            ask(key)


def test_events_equal_their_model_in_any_history() -> None:
    """Bank rule 35: a source has one record, in which what happened is ORed, and a cancel takes
    back what is signalled. Bank rule 38: a source that ends gives exactly one last event."""
    follow_events()
    require(
        covered(NAME),
        "looks",
        "lost",
        "combined",
        "opened",
        "posted",
        "armed",
        "cancelled",
        "cancelled_with_an_event",
        "closed_by_the_server",
        "last",
        "last_without_a_state",
        "taken_over",
        "signalled_unasked",
    )


@given(ops=OPS, keep=st.integers(1, 3), size=st.sampled_from([0, 5, 8, 20]))
def follow_events(ops: list[tuple[str, int, int]], keep: int, size: int) -> None:
    async def main(world: World) -> None:
        server = Server()
        with EventBuffer(world.bank("buffer"), places=3, size=size, keep=keep) as events:
            async with (
                serve(world.kernel, "watch", server),
                connect(world.kernel, "watch", Watch, world.bank(), events=events) as root,
            ):
                models: dict[int, Model] = {}
                live: dict[int, Subscription] = {}
                number = 0
                single = [(one, which, n) for what, which, n in ops for one in what.split(", ")]
                for what, which, times in [("open", 0, 1), ("open", 0, 1), *single]:
                    keys = list(models)
                    key = keys[which % len(keys)] if keys else None
                    if what == "open":
                        if len(keys) == 3:
                            with pytest.raises(ValueError, match="in use"):
                                events.open()
                            continue
                        key = events.open()
                        assert key not in live, "a key comes once"
                        models[key] = Model(key)
                        if which % 2:
                            await quiet()
                            check_looks(events, models, keep)  # nobody has subscribed yet
                        await root.watch(key)
                        live[key] = server.made.pop()
                        covered(NAME, opened=1)
                    elif key is None:
                        continue
                    elif what == "post":
                        signals, unasked = live[key].signals, not models[key].armed
                        for _ in range(times):
                            number += 1
                            state, bits = str(number).encode()[:size], 1 << number % 64
                            told = live[key].post(state, bits)
                            assert told is not models[key].closed
                            if told:
                                models[key].states.append(state)
                                models[key].bits.append(bits)
                            covered(NAME, posted=1)
                        # Whoever takes a place over takes it for armed.
                        unasked = unasked and live[key].signals > signals
                        covered(NAME, signalled_unasked=int(unasked))
                    elif what == "arm":
                        events.arm(key)
                        models[key].armed = True
                        covered(NAME, armed=1)
                    elif what == "look":
                        await quiet()
                        check_looks(events, models, keep)
                    elif what == "again":
                        # The same key once more: whoever has it goes on where the other stopped.
                        await root.watch(key)
                        live[key] = server.made.pop()
                        models[key].closed = False
                        covered(NAME, taken_over=1)
                    elif what == "cancel":
                        waited = len(models[key].states) > models[key].seen and models[key].armed
                        events.cancel(key)
                        del models[key]
                        check_over(events, key)
                        covered(NAME, cancelled=1, cancelled_with_an_event=int(waited))
                    else:
                        live[key].close()
                        models[key].closed = True
                        covered(NAME, closed_by_the_server=1)
                await quiet()
                check_looks(events, models, keep)

    run(main)


# ---- waiting ----


class Scene:
    """A client with a buffer, and the server that posts."""

    def __init__(self, world: World, server: Server, events: EventBuffer, root: Watch) -> None:
        self.world, self.server, self.events, self.root = world, server, events, root

    async def opened(self) -> tuple[int, Subscription]:
        key = self.events.open()
        await self.root.watch(key)
        return key, self.server.made[-1]


def scene(body: Any, *, places: int = 4, size: int = 16, keep: int = 2) -> None:
    async def main(world: World) -> None:
        server = Server()
        with EventBuffer(world.bank("buffer"), places=places, size=size, keep=keep) as events:
            async with (
                serve(world.kernel, "watch", server),
                connect(world.kernel, "watch", Watch, world.bank(), events=events) as root,
            ):
                await body(Scene(world, server, events, root))

    run(main)


def test_who_waits_is_woken_and_a_cancelled_wait_takes_no_event() -> None:
    async def body(s: Scene) -> None:
        _, source = await s.opened()

        async def wait() -> bytes:
            return (await s.events.next()).state

        waiting = spawn(wait())
        await sleep(1)
        source.post(b"one")
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        again = spawn(wait())
        assert await again == b"one"
        late = spawn(wait())
        await sleep(1)
        with pytest.raises(RuntimeError, match="waits for these events already"):
            await s.events.next()
        late.cancel()
        with pytest.raises(CancelledError):
            await late

    scene(body)


def test_an_event_between_the_look_and_the_arming_comes_at_once() -> None:
    """Trap T10."""

    async def body(s: Scene) -> None:
        key, source = await s.opened()
        source.post(b"1")
        assert (await s.events.next()).state == b"1"
        signals = source.signals
        source.post(b"2")  # not armed: no signal, and nothing comes
        with pytest.raises(TimeoutError), timeout(1):
            await s.events.next()
        assert source.signals == signals
        s.events.arm(key)
        assert (await s.events.next()).state == b"2"

    scene(body)


def test_a_stream_arms_again_when_it_is_asked_for_the_next() -> None:
    async def body(s: Scene) -> None:
        key, source = await s.opened()
        got = []

        async def consume() -> None:
            async for event in s.events:
                got.append((event.state, event.lost))
                if event.state == b"4":
                    s.events.cancel(key)
                    return

        consumer = spawn(consume())
        for n in range(5):
            source.post(b"%d" % n)
            if n != 2:
                await sleep(1)  # 2 and 3 come together
        await consumer
        assert got == [(b"0", 0), (b"1", 0), (b"3", 0), (b"4", 0)]
        assert s.events.armings == 4

    scene(body)


def test_sources_that_are_ready_come_in_turn() -> None:
    """Row 76: whoever is ready again and again comes behind the others, as often as they are."""

    async def body(s: Scene) -> None:
        sources = dict([await s.opened() for _ in range(4)])
        for source in sources.values():
            source.post(b"x")
        order = []
        for _ in range(40):
            event = await s.events.next()
            order.append(event.key)
            # Whoever came just now is ready again at once, and the newest of all.
            s.events.arm(event.key)
            sources[event.key].post(b"again")
        assert order == list(sources) * 10
        covered("sources in turn", came=len(order), sources=len(set(order)))

    scene(body)


def test_a_source_that_is_ready_all_the_time_waits_for_the_others() -> None:
    async def body(s: Scene) -> None:
        sources = [await s.opened() for _ in range(4)]
        order = []
        for _ in range(3):
            for _, source in sources:
                source.post(b"x")
            for _ in range(4):
                event = await s.events.next()
                order.append(event.key)
                # The first is ready again at once, all the time; the others come before it.
                s.events.arm(event.key)
                sources[0][1].post(b"again")
        for at in range(0, 8, 4):
            assert len(set(order[at : at + 4])) == 4, "each once before any twice"

    scene(body)


def test_a_state_is_there_before_its_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def body(s: Scene) -> None:
        _, source = await s.opened()
        kernel = s.world.kernel
        post = kernel.post_event

        def look_first(number: int, place: int) -> None:
            seen.append(s.events._look(place))
            post(number, place)

        monkeypatch.setattr(
            type(kernel), "post_event", lambda self, number, place: look_first(number, place)
        )
        source.post(b"there", 5)

    scene(body)
    assert [(e.state, e.bits) for e in seen if e is not None] == [(b"there", 5)]


def test_a_source_that_ends_tells_all_who_ask_and_their_streams_end() -> None:
    async def body(s: Scene) -> None:
        _, one = await s.opened()
        await s.opened()
        one.post(b"one")
        got: list[tuple[tuple[bytes, ...], bool]] = []

        async def consume() -> None:
            async for event in s.events:
                got.append((event.states, event.last))
                if not event.states:
                    with pytest.raises(LookupError, match="brings no state"):
                        event.state  # noqa: B018

        consumer = spawn(consume())
        await sleep(1)
        s.server.source.close()
        await consumer
        assert got == [((b"one",), False), ((), True), ((), True)]
        assert s.events.opened == 0
        assert len(s.server.source) == 0
        _, later = await s.opened()
        assert later.post(b"anew")
        event = s.events.take()
        assert event is not None
        assert (event.states, event.version, event.last) == ((b"anew",), 1, False)

    scene(body)


def test_a_source_that_ends_while_nobody_asks_tells_the_next_who_does() -> None:
    async def body(s: Scene) -> None:
        key, source = await s.opened()
        source.post(b"1")
        assert (await s.events.next()).state == b"1"
        source.post(b"2")
        source.close()
        source.close()
        assert not source.post(b"3")
        assert s.events.take() is None
        s.events.arm(key)
        event = await s.events.next()
        assert (event.states, event.last) == ((b"2",), True)
        check_over(s.events, key)
        assert s.events.take() is None

    scene(body)


# ---- who pays, and nobody grows ----


def test_without_a_buffer_there_is_no_event() -> None:
    async def main(world: World) -> None:
        async with world.session(Watch, Server()) as root:
            with pytest.raises(NoEventBuffer, match=r"events=EventBuffer\(bank\)"):
                await root.watch(1 << 16)
            assert await root.ping() == 7

    run(main)


@pytest.mark.parametrize("key", [-1, 0, 5, 1 << 16 | 3, 2 << 16, (1 << 62) - 1, 4 | 1 << 16])
def test_a_key_of_no_open_place_is_refused(key: int) -> None:
    async def body(s: Scene) -> None:
        s.events.open()
        with pytest.raises(NoEventBuffer, match="no open place"):
            await s.root.watch(key)
        assert await s.root.ping() == 7

    scene(body, places=3)


def test_a_subscription_is_paid_by_who_subscribes_and_refunded_once() -> None:
    async def main(world: World) -> None:
        server = Server()
        with EventBuffer(world.bank("buffer"), places=3) as events:
            async with (
                serve(world.kernel, "watch", server) as vat,
                connect(world.kernel, "watch", Watch, world.bank(), events=events) as root,
            ):
                await root.ping()
                account = only(vat).end.account
                before = account.used
                each = prices.SUBSCRIPTION + prices.KEPT
                key = events.open()
                for _ in range(3):
                    await root.watch(key)  # the same place anew: taken over, not added
                    assert account.used == before + each
                await root.watch(events.open())
                assert account.used == before + 2 * each
                server.made[-1].close()
                server.made[-1].close()
                assert account.used == before + each
                assert [one.alive for one in server.made] == [False, False, True, False]
                assert len(server.source) == 4, "the test holds them"
                server.made.clear()
                assert len(server.source) == 1, "and nobody else"

    run(main)


def test_a_cancelled_place_is_let_go_of_by_the_server() -> None:
    """Trap T11: an old key names nothing, and its source writes into nobody's record."""

    async def body(s: Scene) -> None:
        key, first = await s.opened()
        session = first.session
        before = session.end.account.used
        first.post(b"signalled, and never seen")
        s.events.cancel(key)
        assert first.post(b"lost") is False
        assert session.end.account.used == before - prices.SUBSCRIPTION - prices.KEPT
        again = s.events.open()
        assert again != key
        assert s.events.take() is None, "the place is there again, and nobody has subscribed"
        await s.root.watch(again)
        second = s.server.made[-1]
        assert first.post(b"from the past") is False
        assert s.events.take() is None
        second.post(b"now")
        assert (await s.events.next()).states == (b"now",)

    scene(body, places=1, size=32)


def test_who_cannot_pay_for_a_subscription_has_none() -> None:
    async def main(world: World) -> None:
        server = Server()
        bank = world.bank()
        with EventBuffer(world.bank("buffer"), places=64) as events:
            async with (
                serve(world.kernel, "watch", server),
                connect(world.kernel, "watch", Watch, bank, events=events) as root,
            ):
                await root.ping()
                bank.refill(-bank.balance.pages)
                keys = [events.open() for _ in range(30)]
                with pytest.raises(OutOfPages):
                    await join(*[root.watch(key) for key in keys])
                alive = sum(one.alive for one in server.made)
                assert server.source.post(b"x") == alive
                bank.refill(30)
                assert await root.ping() == 7

    run(main)


def test_a_buffer_that_cannot_be_paid_is_not_made() -> None:
    async def main(world: World) -> None:
        bank = world.bank("small", pages=2)
        with pytest.raises(OutOfPages):
            EventBuffer(bank, places=1000, size=64)
        with EventBuffer(bank, places=10, size=64):
            assert bank.pages_used == 1

    run(main)


@pytest.mark.parametrize(
    ("places", "size", "keep"), [(0, 8, 1), (65_537, 8, 1), (1, -1, 1), (1, 8, 0)]
)
def test_a_buffer_of_sizes_that_make_no_sense_is_refused(places: int, size: int, keep: int) -> None:
    async def main(world: World) -> None:
        with pytest.raises(ValueError, match="place"):
            EventBuffer(world.bank(), places=places, size=size, keep=keep)

    run(main)


def test_a_buffer_stays_while_its_session_is_there() -> None:
    """What the server uses cannot be taken from under it; destroying the bank waits for it."""

    async def main(world: World) -> None:
        server = Server()
        bank = world.bank("buffer")
        events = EventBuffer(bank, places=2)
        async with (
            serve(world.kernel, "watch", server),
            connect(world.kernel, "watch", Watch, world.bank(), events=events) as root,
        ):
            await root.watch(events.open())
            with pytest.raises(StillPinned):
                events.free()
            again = connect(world.kernel, "watch", Watch, world.bank("b"), events=events)
            with pytest.raises(ValueError, match="for one session"):
                await again.__aenter__()
            assert server.source.post(b"still") == 1
        with pytest.raises(ValueError, match="for one session"):
            events.require_unused()
        events.free()
        events.free()
        with pytest.raises(SessionClosed, match="freed"):
            events.open()

    run(main)


def test_a_bank_that_is_destroyed_takes_its_buffer_with_the_session() -> None:
    async def main(world: World) -> None:
        server = Server()
        bank = world.kernel.bank("goes", pages=100)
        events = EventBuffer(bank, places=2)
        async with serve(world.kernel, "watch", server):
            connecting = connect(world.kernel, "watch", Watch, bank, events=events)
            root = await connecting.__aenter__()
            await root.watch(events.open())
            ending = spawn(destroy_it(bank))
            with pytest.raises(SessionClosed):
                await events.next()
            await connecting.__aexit__(None, None, None)
            await ending
            assert server.source.post(b"nobody") == 0
            with pytest.raises(SessionClosed):
                await events.next()

    run(main)


async def destroy_it(bank: Bank) -> None:
    await destroy(bank)


@pytest.mark.parametrize("how", ["client closes", "server closes", "client dies", "server dies"])
def test_every_end_of_a_session_ends_its_events(how: str) -> None:
    async def main(world: World) -> None:
        server = Server()
        events = EventBuffer(world.bank("buffer"), places=2)
        vat = await serve(world.kernel, "watch", server).__aenter__()
        connecting = connect(world.kernel, "watch", Watch, world.bank(), events=events)
        root = await connecting.__aenter__()
        await root.watch(events.open())
        made = server.made.pop()

        async def wait() -> Any:
            return await events.next()

        waiting = spawn(wait())
        await quiet()
        if how == "client closes":
            session_of(root).close(SessionClosed("closed"))
        elif how == "server closes":
            await vat.close()
        elif how == "client dies":
            connecting._own.kill()  # type: ignore[union-attr]
        else:
            vat.kill()
        await quiet()
        with pytest.raises(PeerDied if "dies" in how else SessionClosed):
            await waiting
        if how != "server dies":
            assert made.post(b"late") is False
        await connecting.__aexit__(None, None, None)
        if how != "server closes":
            await vat.close()
        del made
        assert len(server.source) == 0, "and it takes no collector for that"
        await quiet()
        events.free()

    run(main)


def test_posts_make_no_server_grow() -> None:
    """Rule 36, row 92: however many come and nobody looks."""

    async def body(s: Scene) -> None:
        for _ in range(4):
            await s.opened()
        s.server.source.post(b"warm", 1)
        await quiet()
        gc.collect()
        tracemalloc.start()
        try:
            grown = []
            # In three parts, the least of which counts: other threads of the tests allocate, too.
            for part in (range(3_000), range(3_000, 6_000), range(6_000, 10_000)):
                before = tracemalloc.get_traced_memory()[0]
                for n in part:
                    s.server.source.post(b"%d" % n, n)
                await quiet()
                gc.collect()
                grown.append(tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
        assert min(grown) < 1024, "not a byte for each, nor a bit"
        event = s.events.take()
        assert event is not None
        assert event.states == (b"9998", b"9999")
        assert event.lost == 10_001 - 2

    scene(body)


def test_who_never_looks_stalls_nobody() -> None:
    async def main(world: World) -> None:
        server = Server()
        with (
            EventBuffer(world.bank("slow buffer"), places=1) as slow,
            EventBuffer(world.bank("quick buffer"), places=1) as quick,
        ):
            async with (
                serve(world.kernel, "watch", server),
                connect(world.kernel, "watch", Watch, world.bank("a"), events=slow) as one,
                connect(world.kernel, "watch", Watch, world.bank("b"), events=quick) as other,
            ):
                await one.watch(slow.open())
                key = quick.open()
                await other.watch(key)
                for n in range(50):
                    assert server.source.post(b"%d" % n) == 2
                    assert (await quick.next()).state == b"%d" % n
                    quick.arm(key)
                event = await slow.next()
                assert (event.state, event.lost) == (b"49", 49)

    run(main)


def test_one_who_leaves_changes_nobody_elses_charge() -> None:
    async def main(world: World) -> None:
        server = Server()
        with (
            EventBuffer(world.bank("x"), places=1) as leaving,
            EventBuffer(world.bank("y"), places=1) as staying,
        ):
            stays = world.bank("stays")
            async with (
                serve(world.kernel, "watch", server),
                connect(world.kernel, "watch", Watch, stays, events=staying) as one,
            ):
                await one.watch(staying.open())
                alone = stays.pages_used
                async with connect(
                    world.kernel, "watch", Watch, world.bank("goes"), events=leaving
                ) as other:
                    await other.watch(leaving.open())
                    assert server.source.post(b"x") == 2
                    assert stays.pages_used == alone
                assert stays.pages_used == alone
                server.made.clear()
                assert server.source.post(b"y") == 1

    run(main)


def test_a_post_writes_nothing_into_the_rings() -> None:
    """Row 88: events are not in anybody's way."""

    async def body(s: Scene) -> None:
        _, source = await s.opened()
        await quiet()
        session = session_of(s.root)
        channel = s.world.kernel.channel_of(session.end)
        assert channel is not None
        before = bytes(channel.lanes[0].memories[0])
        trips = session.round_trips
        for n in range(100):
            source.post(b"%d" % n)
            await yield_now()
        assert bytes(channel.lanes[0].memories[0]) == before
        assert len(channel.lanes) == 1, "the server has no ring of its own"
        assert session.round_trips == trips

    scene(body)


def test_a_state_that_is_too_long_is_refused_or_cut() -> None:
    async def body(s: Scene) -> None:
        _, source = await s.opened()
        with pytest.raises(ValueError, match="room for 16"):
            source.post(bytes(17))
        assert s.server.source.post(b"0123456789abcdefgh") == 1
        assert (await s.events.next()).state == b"0123456789abcdef"

    scene(body)


# ---- hostile memory ----


def test_whatever_a_client_writes_a_post_stays_in_its_record() -> None:
    post_into_what_a_client_writes()
    require(covered(NAME), "hostile_words", "hostile_words_that_end_it")


@given(
    writes=st.lists(
        st.tuples(
            st.sampled_from([GENERATION, ARM, SEEN, OWNER, VERSION, BITS, WORDS]),
            st.integers(0, (1 << 64) - 1),
        ),
        max_size=12,
    )
)
def post_into_what_a_client_writes(writes: list[tuple[int, int]]) -> None:
    async def body(s: Scene) -> None:
        _, source = await s.opened()
        _, other = await s.opened()
        other.post(b"untouched")
        words = s.events.memory.cast("Q")
        record = s.events.shape.record
        second = bytes(s.events.memory[record : 2 * record])
        for n, (word, value) in enumerate(writes):
            words[word] = value
            posted, signals = source.posted, source.signals
            told = source.post(b"%d" % n)
            assert source.posted == posted + told
            assert source.signals <= signals + 1
            covered(NAME, hostile_words=1, hostile_words_that_end_it=int(not told))
        assert bytes(s.events.memory[record : 2 * record]) == second
        assert not any(s.events.memory[2 * record :]), "nor behind it"
        assert await s.root.ping() == 7

    scene(body)


def look_again(events: EventBuffer, key: int) -> None:
    events.arm(key)
    events.take()


@pytest.mark.parametrize(
    ("word", "value"), [(VERSION, 0), (WORDS, 17), (WORDS, (1 << 64) - 1), (WORDS + 3, 1 << 63)]
)
def test_what_a_server_cannot_have_written_is_refused(word: int, value: int) -> None:
    async def body(s: Scene) -> None:
        key, source = await s.opened()
        source.post(b"a")
        await s.events.next()
        source.post(b"b")
        source.post(b"c")
        s.events.memory.cast("Q")[word] = value
        with pytest.raises(GarbageFrame):
            look_again(s.events, key)

    scene(body)


def test_what_is_written_over_while_it_is_copied_counts_as_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(s: Scene) -> None:
        key, source = await s.opened()
        for n in range(3):
            source.post(b"%d" % n)
        copy = EventBuffer._copy
        copies = []

        def slow(self: EventBuffer, place: int, number: int) -> bytes:
            state = copy(self, place, number)
            copies.append(number)
            if len(copies) == 2:
                source.post(b"3")  # stands where number 2 stood
            return state

        monkeypatch.setattr(EventBuffer, "_copy", slow)
        event = s.events.take()
        assert event is not None
        assert (event.states, event.lost) == ((b"2",), 2)
        s.events.arm(key)
        event = s.events.take()
        assert event is not None
        assert (event.states, event.lost) == ((b"3",), 0)
        covered(NAME, torn=1)

    scene(body)


def test_subscribing_is_for_handlers() -> None:
    with pytest.raises(RuntimeError, match="no call is being served"):
        subscribe(1 << 16)


def test_who_waits_for_events_is_told_of_the_end_as_its_own_side_sees_it() -> None:
    """And not what the server ended the session for."""

    async def main(world: World) -> None:
        with EventBuffer(world.bank("buffer"), places=4, size=16, keep=2) as events:
            async with (
                serve(world.kernel, "watch", Server()) as vat,
                connect(world.kernel, "watch", Watch, world.bank(), events=events),
            ):

                async def wait() -> None:
                    await events.next()

                waiting = spawn(wait())
                await quiet()
                only(vat).close(GarbageFrame("something that the server alone has seen"))
                with pytest.raises(SessionClosed, match="the server closed"):
                    await waiting

    run(main)
