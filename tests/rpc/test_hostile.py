"""Hostile peers: whatever they write, the honest side names it, closes, and is whole."""

from __future__ import annotations

import gc
import itertools
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import pytest

from pinfut.executor import sleep, spawn, timeout
from pinfut.rpc import (
    BadArguments,
    GarbageFrame,
    Interface,
    InterfaceMismatch,
    ProtocolError,
    RpcError,
    Session,
    SessionClosed,
    SlotInUse,
    UnknownMethod,
    UnknownObject,
    UnknownReply,
    Vat,
    connect,
    method,
    prices,
    session_of,
)
from pinfut.rpc.contract import RECEIVER, RECEIVER_ANSWER, SENDER, Cap
from pinfut.rpc.wire import frames
from tests.covered import covered, require
from tests.rpc import hostile
from tests.rpc.hostile import CALL, CANCEL, FINISH, Raw, call, cut, release, returned, short
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run

DO = 0  # the number of Desk.do


class Attack:
    """A hostile client of a service that has an honest client too."""

    def __init__(self, world: World, vat: Vat, bank: Any) -> None:
        self.world = world
        self.server = vat
        self.bank = bank

    async def session(self, slots: int = 8) -> Raw:
        """One more session, with the root at hand as export 0 and ids from 1 on."""
        raw = Raw(self.world.kernel, "service", self.bank, slots)
        await raw.bootstrap(Desk)
        return raw

    def served(self, raw: Raw) -> Session:
        """The server's side of a session."""
        (far,) = [one for one in self.server.sessions if one.name == raw.end.name]
        return far

    async def ended(self, raw: Raw, far: Session, error: type[ProtocolError]) -> None:
        """The server has ended the session for that reason, and everything is returned."""
        assert type(far.error) is error
        assert raw.closed, "the attacker is told"
        raw.leave()
        await quiet()
        assert self.bank.pages_used == self.bank.caps_used == 0
        assert far not in self.server.sessions, "the server's table would grow"


def attacked(attack: Callable[[Attack], Any], do: Any = None) -> None:
    """Run an attack beside an honest client, who must not notice."""

    async def main(world: World) -> None:
        server = DeskServer(do=do) if do else DeskServer()
        async with world.served("service", server) as vat:
            async with connect(world.kernel, "service", Desk, world.bank("honest")) as desk:
                slow = desk.nap(1)
                await attack(Attack(world, vat, world.bank("hostile")))
                assert await desk.do(7) == 7
                assert await slow == 1
            await quiet()
            assert vat.process.alive

    run(main)


# ---- frames that no honest client sends ----


FRAMES: list[tuple[str, type[ProtocolError], list[bytes]]] = [
    ("of an unknown kind", GarbageFrame, [short(99, 1)]),
    ("of kind 0", GarbageFrame, [short(0, 1)]),
    ("a return in the ring", GarbageFrame, [returned(1, b"")]),
    ("a call cut short", GarbageFrame, [cut(call(1, 0, DO, 5), 20)]),
    ("a finish cut short", GarbageFrame, [cut(short(FINISH, 1), 12)]),
    ("a cancel that is too long", GarbageFrame, [cut(short(CANCEL, 1) + bytes(8), 24)]),
    ("a release cut short", GarbageFrame, [cut(release(0, 1), 16)]),
    ("of an unknown kind, and long", GarbageFrame, [call(1, 0, DO, 5, kind=99)]),
    ("a length that is not the frame's", GarbageFrame, [call(1, 0, DO, 5, length=1000)]),
    ("that length, pipelined", GarbageFrame, [call(1, 0, DO, 5, length=1000, flags=1)]),
    ("a room too small for an error", GarbageFrame, [call(1, 0, DO, 5, room=10)]),
    ("more capabilities than bytes", GarbageFrame, [call(1, 0, DO, 5, caps=60_000)]),
    ("an id that was used before", SlotInUse, [call(0, 0, DO, 5)]),
    ("an id twice", SlotInUse, [call(9, 0, DO, 5), call(9, 0, DO, 5)]),
    ("an id below the last of its slot", SlotInUse, [call(17, 0, DO, 5), call(9, 0, DO, 5)]),
    ("an id twice, pipelined", SlotInUse, [call(9, 0, DO, 5), call(9, 0, DO, 5, flags=1)]),
    ("a lower id, pipelined", SlotInUse, [call(17, 0, DO, 5), call(9, 0, DO, 5, flags=1)]),
    ("an id before, for the root", SlotInUse, [call(0, 0, 0, kind=6, payload=b"")]),
    ("a room too small, pipelined", GarbageFrame, [call(1, 0, DO, 5, room=10, flags=1)]),
    ("a finish of what has no return", UnknownReply, [short(FINISH, 5)]),
    ("a finish of what is finished", UnknownReply, [short(FINISH, 0)]),
    ("a release of what was never given", GarbageFrame, [release(77, 1)]),
    ("a release of more than was given", GarbageFrame, [release(0, 50)]),
    ("a release of nothing", GarbageFrame, [release(0, 0)]),
    ("a release twice", GarbageFrame, [release(0, 1), release(0, 1)]),
]


# The number of Desk.keep, and what says in its arguments which capability of the frame is meant.
KEEP = next(n for n, one in enumerate(Desk._pinfut_methods) if one.name == "keep")
FIRST = msgspec.msgpack.encode((0,))


def capability(kind: int, number: int) -> tuple[Cap, ...]:
    return (Cap(kind, number, Thing._pinfut_id),)


@pytest.mark.parametrize(("error", "frames"), [f[1:] for f in FRAMES], ids=[f[0] for f in FRAMES])
def test_a_frame_that_no_honest_client_sends_ends_its_session_and_no_other(
    error: type[ProtocolError], frames: list[bytes]
) -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        raw.send(*frames)
        await quiet()
        await on.ended(raw, far, error)

    attacked(attack)


def test_a_capability_of_no_kind_is_not_handed_over_and_what_names_it_ends_the_session() -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        with pytest.raises(UnknownObject):
            raw.send(call(1, 0, KEEP, caps=capability(99, 5), payload=FIRST))
        raw.send(call(1, 0, KEEP, caps=1, payload=FIRST))
        await quiet()
        await on.ended(raw, far, GarbageFrame)

    attacked(attack)


def test_a_capability_that_no_parameter_takes_is_released_and_the_call_is_made() -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        arguments = msgspec.msgpack.encode((5,))
        raw.send(call(1, 0, DO, caps=capability(SENDER, 7), payload=arguments))
        await quiet()
        assert raw.replies() == [1]
        assert far.error is None
        back = raw.end.requests()
        assert back is not None
        assert back.receive(8, 1 << 16) == [release(7, 1)]
        raw.leave()
        await quiet()
        assert on.bank.pages_used == 0

    attacked(attack)


def test_calls_that_name_what_is_not_there_are_answered_and_the_session_goes_on() -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        wrong = [
            (UnknownMethod, call(1, 0, 1000)),
            (UnknownObject, call(2, 1234, DO, 5)),
            (UnknownObject, call(3, 1 << 32, DO, 5)),
            (UnknownObject, call(4, 60, DO, 5, flags=1)),
            (UnknownObject, call(5, 5, DO, 5, flags=1)),
            (BadArguments, call(6, 0, DO)),
            (BadArguments, call(7, 0, DO, "5")),
            (BadArguments, call(9, 0, DO, 1, 2)),
            (BadArguments, call(10, 0, DO, payload=b"")),
            (BadArguments, call(11, 0, DO, payload=b"\xc1")),
            (BadArguments, call(12, 0, DO, payload=b"\x91" * 3000)),
            (BadArguments, call(13, 0, DO, payload=msgspec.msgpack.encode({"n": 1}))),
            (BadArguments, call(14, 0, 4, payload=b"\x92\xa1\xff\x00")),
        ]
        for expected, frame in wrong:
            raw.send(frame)
            await quiet()
            assert raw.replies() == [int.from_bytes(frame[8:16], "little")]
            assert type(raw.error()) is expected, frame
        raw.send(call(15, 0, DO, 5))
        await quiet()
        assert raw.replies() == [15]
        assert far.error is None
        raw.leave()
        await quiet()
        assert on.bank.pages_used == 0

    attacked(attack)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("place", [4, 77_777, 1 << 31, (1 << 32) - 1])
def test_a_place_for_the_answer_that_does_not_exist_ends_the_session(
    place: int, slow: bool
) -> None:
    async def do(n: int) -> int:
        if slow and n == 5:
            await sleep(0.1)
        return n

    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        raw.send(call(1, 0, DO, 5, place=place))
        await sleep(0.2)
        await on.ended(raw, far, GarbageFrame)

    attacked(attack, do)


def test_an_answer_larger_than_its_place_ends_the_session() -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        # Desk.small(3000) with a room that the cell does not have.
        raw.send(call(1, 0, 2, 3000, room=100_000))
        await quiet()
        await on.ended(raw, far, GarbageFrame)

    attacked(attack)


# ---- the words of the ring ----


@pytest.mark.parametrize("tail", [1 << 63, (1 << 64) - 1, 1_000_000, 3])
def test_a_tail_that_makes_no_sense_ends_the_session(tail: int) -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        hostile.overwrite(raw.lane, hostile.tail_of(raw.lane), hostile.word(tail))
        raw.lane.signal()
        await quiet()
        await on.ended(raw, far, GarbageFrame)

    attacked(attack)


@pytest.mark.parametrize("length", [0, 1, 7, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_a_length_that_makes_no_sense_ends_the_session(length: int) -> None:
    async def attack(on: Attack) -> None:
        raw = await on.session()
        far = on.served(raw)
        lane = raw.lane
        ring = lane.submissions
        at = hostile.tail_of(lane) + 32 + ring.tail % ring.capacity
        assert ring.submit(short(CANCEL, 1))
        hostile.overwrite(lane, at, length.to_bytes(4, "little"))
        lane.send()
        await quiet()
        await on.ended(raw, far, GarbageFrame)

    attacked(attack)


# ---- answers that no honest server gives ----


def deceived(deceive: Callable[[Session, int, int], None], error: type[ProtocolError]) -> None:
    """A server that answers a call of `do` and one of `make` as `deceive` says."""

    async def never(n: int) -> int:
        await sleep(1000)
        return n

    async def main(world: World) -> None:
        async def ends_with(awaitable: Any) -> BaseException:
            with pytest.raises(SessionClosed) as caught:
                await awaitable
            return caught.value

        bank = world.bank()
        async with world.served("service", DeskServer(do=never)) as vat:
            async with connect(world.kernel, "service", Desk, bank) as desk:
                near, far = session_of(desk), only(vat)
                data, thing = desk.do(1), desk.make("t", 1000)
                waiting = [spawn(ends_with(each)) for each in (data, thing, thing.name())]
                await quiet()
                first, second = far.peer.open_answers()[:2]
                deceive(far, first.x, second.x)
                with timeout(1):
                    ends = [await each for each in waiting]
                assert type(near.error) is error
                assert all(isinstance(end, SessionClosed) for end in ends)
                assert any(type(end) is error for end in ends)
                with pytest.raises(error):
                    desk.do(2)
            assert bank.pages_used == 0

    run(main)


def place_of(far: Session, x: int) -> int:
    (answer,) = [one for one in far.peer.open_answers() if one.x == x]
    return answer.place


def claim(far: Session, completed: int) -> None:
    """Say how many calls are answered in all."""
    lane = hostile.other_lane(far)
    hostile.overwrite(lane, 0, hostile.word(completed))
    lane.signal()


LIES: list[tuple[str, type[ProtocolError], Callable[[Session, int, int], None]]] = [
    ("a reply to an id never used", UnknownReply, lambda s, x, y: hostile.post(s, 5000)),
    ("a reply to an old id", UnknownReply, lambda s, x, y: hostile.post(s, 0)),
    ("a reply to the largest id", UnknownReply, lambda s, x, y: hostile.post(s, 2**64 - 1)),
    (
        "a capability that is none",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, y), y, returned(y, b"")),
    ),
    (
        "a return for another id",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, returned(x + 64, b"\x01")),
    ),
    (
        "a return of another kind",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, returned(x, b"\x01", kind=1)),
    ),
    (
        "a return with a length beyond its place",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, b"\xff\xff\xff\x7f" + bytes(12)),
    ),
    (
        "a return with the length 0",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, bytes(16)),
    ),
    (
        "a return cut short",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, b"\x08\0\0\0\2\4\0\0"),
    ),
    (
        "more capabilities than bytes",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, returned(x, b"\x01", caps=900)),
    ),
    (
        "an error that cannot be read",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, x), x, returned(x, b"\xc1", flags=5)),
    ),
    (
        "an unreadable error for a capability",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, y), y, returned(y, b"\xc1", flags=5)),
    ),
    (
        "a capability that was not handed over",
        GarbageFrame,
        lambda s, x, y: hostile.answer(s, place_of(s, y), y, returned(y, bytes([9]) * 17, caps=1)),
    ),
    (
        "more completions than slots",
        GarbageFrame,
        lambda s, x, y: claim(s, 100_000),
    ),
    (
        "fewer completions than before",
        GarbageFrame,
        lambda s, x, y: claim(s, 0),
    ),
]


@pytest.mark.parametrize(("error", "lie"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_an_answer_that_no_honest_server_gives_ends_the_session_with_a_name(
    error: type[ProtocolError], lie: Callable[[Session, int, int], None]
) -> None:
    deceived(lie, error)


def test_a_reply_that_comes_twice_is_an_unknown_reply() -> None:
    def lie(far: Session, x: int, y: int) -> None:
        place = place_of(far, x)
        hostile.other_lane(far).requests.complete(place, x, returned(x, b"\x01"))
        hostile.post(far, x)  # behind that one

    deceived(lie, UnknownReply)


def interface_id(interface: Any) -> int:
    return int(interface._pinfut_id)


def test_the_object_that_an_own_capability_names_has_to_be_one_that_was_lent() -> None:
    async def main(world: World) -> None:
        async def never(n: int) -> int:
            await sleep(1000)
            return n

        async with (
            world.served("service", DeskServer(do=never)) as vat,
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            thing = desk.make("t", 1000)
            await quiet()
            far = only(vat)
            (answer,) = far.peer.open_answers()
            cap = (Cap(RECEIVER, 4711, interface_id(Thing)),)
            with pytest.raises(UnknownObject, match="holds nothing"):
                hostile.answer(far, answer.place, answer.x, returned(answer.x, b"", caps=cap))
            hostile.answer(far, answer.place, answer.x, returned(answer.x, b"", caps=1))
            with pytest.raises(RpcError), timeout(1):
                await thing

    run(main)


def number_of(name: str) -> int:
    """The number of a method of Desk."""
    (number,) = [one.number for one in Desk._pinfut_methods if one.name == name]
    return number


def named(number: int, interface: Any) -> tuple[Cap, ...]:
    """An object of the reader's own, said to be of `interface`."""
    return (Cap(RECEIVER, number, interface_id(interface)),)


def test_an_own_object_that_comes_back_as_what_it_is_not_never_reaches_a_handler() -> None:
    """Row 57: unwrapped to the object that was handed out, and of the type that is wanted, or
    refused before anything is called on it."""
    reached: list[object] = []

    class Looking(DeskServer):
        @method
        async def keep(self, thing: Thing) -> int:
            reached.append(thing)
            return len(reached)

    async def main(world: World) -> None:
        root = Looking()
        async with world.served("service", root) as vat:
            bank = world.bank()
            raw = Raw(world.kernel, "service", bank)
            await raw.bootstrap(Desk)
            body = msgspec.msgpack.encode((0,))
            wrong = [
                # The root is no Thing, whatever its descriptor says that it is; nor is what an
                # earlier call gave.
                [call(1, 0, number_of("keep"), payload=body, caps=named(0, Thing))],
                [call(2, 0, number_of("keep"), payload=body, caps=named(0, Desk))],
                [
                    call(3, 0, number_of("desk"), "d", 0.0, flags=2),
                    call(4, 0, number_of("keep"), place=1, payload=body, caps=promised(3)),
                ],
            ]
            for frames in wrong:
                raw.send(*frames)
                await quiet()
                assert raw.replies()[-1] == int.from_bytes(frames[-1][8:16], "little")
                assert type(raw.error(len(frames) - 1)) is InterfaceMismatch
            assert reached == []
            # What is of the type is the object itself.
            raw.send(call(5, 0, number_of("make"), "t", 0.0, flags=2))
            await quiet()
            raw.send(call(6, 0, number_of("keep"), place=1, payload=body, caps=promised(5)))
            await quiet()
            assert [type(one) for one in reached] == [ThingServer]
            assert only(vat).error is None
            raw.leave()
        covered("own capabilities", refused=len(wrong), reached=len(reached))

    run(main)


def promised(x: int) -> tuple[Cap, ...]:
    """What call `x` of the writer gives, said to be a Thing."""
    return (Cap(RECEIVER_ANSWER, x, interface_id(Thing)),)


@pytest.mark.parametrize("how", ["awaited", "called"])
def test_an_answer_that_is_an_own_object_of_another_kind_is_a_mismatch(how: str) -> None:
    """Row 57, at the client: the server hands its Thing back where a Desk is promised."""

    async def main(world: World) -> None:
        server = DeskServer()
        async with (
            world.served("service", server) as vat,
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            own = ThingServer("own")
            await desk.keep(own)  # export 0 of the client
            promise = desk.desk("d", 1000)
            await quiet()
            far = only(vat)
            (answer,) = far.peer.open_answers()
            mine = returned(answer.x, b"", caps=named(0, Desk))
            hostile.answer(far, answer.place, answer.x, mine)
            await quiet()
            with pytest.raises(InterfaceMismatch, match=r"expected a Desk, .* as a Thing"):
                await (promise if how == "awaited" else promise.do(1))

    run(main)


@pytest.mark.parametrize("last", [b"", b"\xc1"], ids=["no capability", "no error"])
def test_an_own_object_is_there_though_the_last_call_on_its_promise_had_garbage(
    last: bytes,
) -> None:
    """A promise is one of the client's own objects, and the answers to the calls that were sent on
    it are what it waits for: the session ends in the midst of these."""

    async def main(world: World) -> None:
        async with (
            world.served("service", DeskServer()) as vat,
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            near, far, own = session_of(desk), only(vat), DeskServer()
            number = near.peer.exports.grant(own, Desk)
            promise = desk.desk("d", 1000)
            on_it = promise.make("t")
            waiting = [spawn(wait(one)) for one in (promise, on_it)]
            await quiet()
            first, second = far.peer.open_answers()
            requests = hostile.other_lane(far).requests
            # The server holds it, since it was handed over before.
            near.end.hand_over((Cap(SENDER, number, interface_id(Desk)),))
            mine = returned(first.x, b"", flags=0, caps=named(number, Desk))
            far.end.hand_over(named(number, Desk), first.place)
            requests.complete(first.place, first.x, mine)
            garbage = returned(second.x, last, flags=1 if last else 0)
            requests.complete(second.place, second.x, garbage)
            hostile.post(far)
            with timeout(1):
                ends = [await one for one in waiting]
            assert type(near.error) is GarbageFrame
            assert ends[0] is own
            assert isinstance(ends[1], GarbageFrame)

    async def wait(promise: Any) -> Any:
        try:
            return await promise
        except RpcError as error:
            return error

    run(main)


# ---- capabilities that are released and given back ----


class Listener(Interface, Protocol):
    @method
    async def on_one(self, thing: Thing) -> Thing: ...


class Feed(Interface, Protocol):
    @method
    async def listen(self, listener: Listener) -> str: ...


class FeedServer(Feed):
    """Calls its clients back, with an object of its own."""

    @method
    async def listen(self, listener: Listener) -> str:
        return await (await listener.on_one(ThingServer("its"))).name()


class Slow(Listener):
    @method
    async def on_one(self, thing: Thing) -> Thing:
        await sleep(1)
        return thing


def test_what_was_released_and_is_given_back_all_the_same_ends_that_session_alone() -> None:
    """A client that is called back with an object releases it, and then refuses the call, which
    says that it has not taken what came with it."""

    async def main(world: World) -> None:
        async with (
            world.served("feed", FeedServer()) as vat,
            connect(world.kernel, "feed", Feed, world.bank("honest")) as honest,
            connect(world.kernel, "feed", Feed, world.bank("hostile")) as feed,
        ):
            near = session_of(feed)
            (far,) = [one for one in vat.sessions if one.name == near.name]
            waiting = feed.listen(Slow())
            await quiet()
            (called,) = near.peer.open_answers()
            (number,) = set(far.peer.exports.things) - {0}
            hostile.send(near, release(number, 1))
            await quiet()
            refused = msgspec.msgpack.encode((1, "Refused", ""))
            flags = frames.ERROR | frames.NO_FINISH | frames.RETURN_ARGS
            hostile.answer(near, called.place, called.x, returned(called.x, refused, flags=flags))
            with pytest.raises(SessionClosed):
                await waiting
            assert type(far.error) is GarbageFrame
            assert await honest.listen(Slow()) == "its"

    run(main)


def test_a_call_that_waits_can_be_given_up_whatever_was_released_of_what_it_names() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("service", DeskServer()) as vat,
            connect(world.kernel, "service", Desk, world.bank(), slots=1) as desk,
        ):
            near, own = session_of(desk), ThingServer("own")
            await desk.keep(own)
            nap, waits = desk.nap(1), desk.back(own)
            await quiet()
            (number,) = near.peer.exports.things
            hostile.send(only(vat), release(number, 2))  # one of these was not sent
            await quiet()
            assert not near.peer.exports.things
            waits.release()
            assert await nap == 1
            assert await desk.length(b"abc") == 3

    run(main)


class Sorter(Interface, Protocol):
    @method(answer=lambda things: 64 + 32 * len(things))
    async def turn(self, things: list[Thing]) -> list[Thing]: ...
    @method(answer=lambda count: 64 + 32 * count)
    async def repeat(self, count: int) -> list[Thing]: ...


class SorterServer(Sorter):
    def __init__(self) -> None:
        self.thing = ThingServer("its")

    @method
    async def turn(self, things: list[Thing]) -> list[Thing]:
        return things[::-1]

    @method
    async def repeat(self, count: int) -> list[Thing]:
        return [self.thing] * count


@pytest.mark.parametrize("whose", ["the client's", "the server's"])
def test_an_answer_that_names_one_object_often_is_paid_until_it_is_finished(whose: str) -> None:
    """The object is paid once; what the answer keeps of each time that it names it, as often."""
    count, answers, room = 1000, 16, 20_000

    async def main(world: World) -> None:
        async with world.served("sorter", SorterServer()) as vat:
            raw = Raw(world.kernel, "sorter", world.bank(pages=1000), 32, 1 << 17)
            await raw.bootstrap(Sorter)
            places = [raw.lane.submissions.reserve(room) for _ in range(answers)]

            async def ask(n: int) -> None:
                if whose == "the client's":
                    caps = (Cap(SENDER, 7, interface_id(Thing)),) * count
                    frame = call(n, 0, 0, list(range(count)), room=room, place=places[n], caps=caps)
                else:
                    frame = call(n, 0, 1, count, room=room, place=places[n])
                raw.send(frame)
                await quiet()

            for n in range(1, 3):  # with what is there once
                await ask(n)
            channel = raw.channel
            assert channel is not None
            charged, lying = raw.charged.used, channel.caps.used
            gc.collect()
            tracemalloc.start()
            for n in range(3, answers):
                await ask(n)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            paid = raw.charged.used - charged + prices.CAP_ENTRY * (channel.caps.used - lying)
            covered("answers that name one object often", grown=grown, paid=paid)
            assert only(vat).error is None
            assert len(raw.replies()) == answers - 1
            assert 0 < grown <= paid
            raw.send(*[short(FINISH, n) for n in range(3, answers)])
            await quiet()
            assert raw.charged.used == charged
            raw.leave()

    run(main)


# ---- the lane for calls back ----


BELOW = ("an id below the last of its slot", "a lower id, pipelined")
BACK = [frame for frame in FRAMES if "release" not in frame[0] and "finish" not in frame[0]]
BACK = [frame for frame in BACK if "before" not in frame[0] and frame[0] not in BELOW]
BACK.append((BELOW[0], SlotInUse, [call(128, 0, 0), call(64, 0, 0)]))


@pytest.mark.parametrize(("error", "frames"), [f[1:] for f in BACK], ids=[f[0] for f in BACK])
def test_a_frame_that_no_honest_server_sends_ends_the_session_at_the_client(
    error: type[ProtocolError], frames: list[bytes]
) -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.served("service", DeskServer()) as vat:
            async with connect(world.kernel, "service", Desk, bank) as desk:
                own = ThingServer("own")
                assert await desk.name_of(own) == "own"
                near, far = session_of(desk), only(vat)
                waiting = desk.nap(1000)
                await quiet()
                hostile.send(far, *frames)
                with pytest.raises(error), timeout(1):
                    await waiting
                assert type(near.error) is error
            assert bank.pages_used == 0

    run(main)


def test_a_client_that_answers_a_call_back_with_garbage_loses_its_session_alone() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with (
            world.served("service", server) as vat,
            connect(world.kernel, "service", Desk, world.bank("honest")) as honest,
            connect(world.kernel, "service", Desk, world.bank("hostile")) as desk,
        ):
            near = session_of(desk)
            (far,) = [one for one in vat.sessions if one.name == near.name]

            async def never(n: int) -> int:
                await sleep(1000)
                return n

            waiting = desk.name_of(DeskThing(never))
            await quiet()
            (call_back,) = near.peer.open_answers()
            hostile.answer(near, call_back.place, call_back.x, returned(99, b""))
            await quiet()
            assert type(far.error) is GarbageFrame
            with pytest.raises(SessionClosed):
                await waiting
            assert await honest.do(1) == 1

    run(main)


class DeskThing(ThingServer):
    """Does not answer."""

    def __init__(self, do: Any) -> None:
        super().__init__("slow")
        self.doing = do

    @method
    async def name(self) -> str:
        return str(await self.doing(0))


# ---- noise ----

NOISE_CLIENT = ("closed", "open", "frames", "replies")
NOISE_SERVER = ("value", "session ended", "refused")


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_bytes_from_a_client_never_take_the_server_down(first: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(first, first + 10):
        ends += noise_from_a_client(seed)
    require(covered("noise from a client", **ends), *NOISE_CLIENT)


def noise_from_a_client(seed: int) -> Counter[str]:
    draw = random.Random(seed)
    ids = itertools.count(1)
    ended: Counter[str] = Counter()

    def noise() -> bytes:
        kind = draw.choice([CALL] * 20 + [CANCEL] * 5 + [2, FINISH, 4, 6, 0, 200])
        frame = bytearray(
            call(
                next(ids) if draw.random() < 0.97 else draw.randrange(40),
                draw.choice([0, 0, 0, 1, 1 << 32, draw.getrandbits(64)]),
                draw.choice([DO, DO, 4, 5, draw.randrange(20), draw.getrandbits(16)]),
                *[draw.choice([0, "x", None, b"x", 1.5, [0]]) for _ in range(draw.randrange(4))],
                flags=draw.choice([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 255]),
                room=draw.choice([256, 1000, 1024] * 10 + [0, draw.getrandbits(32)]),
                place=draw.choice([0, 1, 2, 3] * 10 + [4, 1 << 31]),
                caps=draw.choice([0] * 20 + [1, 2]),
                kind=kind,
            )
        )
        if kind in (FINISH, CANCEL) and draw.random() < 0.95:
            frame = bytearray(short(kind, draw.randrange(12), draw.randrange(2)))
        if draw.random() < 0.05:
            frame[draw.randrange(5, len(frame))] = draw.randrange(256)
        return bytes(frame)

    async def attack(on: Attack) -> None:
        for _ in range(10):
            raw = await on.session()
            far = on.served(raw)
            for _ in range(draw.randrange(1, 12)):
                if raw.closed:
                    break
                raw.send(noise())
                ended["frames"] += 1
                await sleep(draw.choice([0, 1e-6, 1e-3]))
            ended["closed" if far.error is not None else "open"] += 1
            ended["replies"] += len(raw.replies())
            raw.leave()
            await quiet()
            assert on.bank.pages_used == on.bank.caps_used == 0

    attacked(attack)
    return ended


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_bytes_from_a_server_never_hang_or_break_the_client(first: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(first, first + 10):
        ends += noise_from_a_server(seed)
    require(covered("noise from a server", **ends), *NOISE_SERVER)


def noise_from_a_server(seed: int) -> Counter[str]:
    draw = random.Random(seed)
    ends: Counter[str] = Counter()

    async def never(n: int) -> int:
        await sleep(1000)
        return n

    async def main(world: World) -> None:
        async def count(awaitable: Any) -> None:
            try:
                await awaitable
            except SessionClosed:
                ends["session ended"] += 1
            except RpcError:
                ends["refused"] += 1
            else:
                ends["value"] += 1

        for round_ in range(5):
            bank = world.bank(f"c{round_}")
            async with (
                world.served("service", DeskServer(do=never)) as vat,
                connect(world.kernel, "service", Desk, bank) as desk,
            ):
                far = only(vat)
                calls: list[Any] = [desk.do(1), desk.make("t", 900), desk.things(3)]
                calls += [desk.back(ThingServer("own")), desk.do(2)]
                calls.append(calls[1].name())
                waiting = [spawn(count(each)) for each in calls]
                calls.clear()
                await quiet()
                for answer in draw.sample(far.peer.open_answers(), 3):
                    body = bytes(draw.getrandbits(8) for _ in range(draw.randrange(40)))
                    if draw.random() < 0.5:
                        body = msgspec.msgpack.encode(
                            draw.choice([5, [0, 1], "x", None, (1, "K", "m"), [0]])
                        )
                    caps: int | tuple[Cap, ...] = draw.choice([0, 0, 1, 2])
                    if draw.random() < 0.4:
                        # What a server may hand over: whatever it says is its own.
                        caps = (Cap(SENDER, draw.randrange(3), 7),)
                    frame = returned(
                        answer.x,
                        body,
                        flags=draw.randrange(8),
                        caps=caps,
                    )
                    if far.error is None and only(vat).error is None:
                        x = answer.x if draw.random() < 0.9 else draw.getrandbits(8)
                        hostile.answer(far, answer.place, x, frame)
                    await quiet()
                    if not vat.sessions:
                        break
            for each in waiting:
                with timeout(1):
                    await each
            assert bank.pages_used == 0

    run(main)
    return ends
