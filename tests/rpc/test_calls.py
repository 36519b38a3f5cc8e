"""Calls as they are meant: data of all kinds, capabilities in every place, identity."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import gc
import uuid
import weakref
from typing import Any, Literal, NamedTuple, Protocol, TypedDict

import msgspec
import pytest

from pinfut import join
from pinfut.executor import current_executor, scope
from pinfut.rpc import Interface, Promise, connect, method, session_of
from pinfut.rpc.wire.imports import Imports
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run


@dataclasses.dataclass
class Point:
    x: int
    y: int = 7


class Reading(msgspec.Struct):
    at: datetime.datetime
    values: list[float]
    point: Point | None = None


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    left: int
    right: str


class Settings(TypedDict):
    depth: int
    label: str


class Mirror(Interface, Protocol):
    @method
    async def text(self, value: str) -> str: ...
    @method
    async def raw(self, value: bytes) -> bytes: ...
    @method
    async def whole(self, value: int) -> int: ...
    @method
    async def real(self, value: float) -> float: ...
    @method
    async def truth(self, value: bool) -> bool: ...
    @method
    async def nothing(self, value: None) -> None: ...
    @method
    async def maybe(self, value: int | None) -> int | None: ...
    @method
    async def either(self, value: int | str) -> int | str: ...
    @method
    async def numbers(self, value: list[int]) -> list[int]: ...
    @method
    async def fixed(self, value: tuple[int, str, bytes]) -> tuple[int, str, bytes]: ...
    @method
    async def row(self, value: tuple[int, ...]) -> tuple[int, ...]: ...
    @method
    async def table(self, value: dict[str, list[int]]) -> dict[str, list[int]]: ...
    @method
    async def unordered(self, value: set[int]) -> set[int]: ...
    @method
    async def point(self, value: Point) -> Point: ...
    @method
    async def reading(self, value: Reading) -> Reading: ...
    @method
    async def colour(self, value: Colour) -> Colour: ...
    @method
    async def word(self, value: Literal["a", "b"]) -> Literal["a", "b"]: ...
    @method
    async def pair(self, value: Pair) -> Pair: ...
    @method
    async def settings(self, value: Settings) -> Settings: ...
    @method
    async def date(self, value: datetime.date) -> datetime.date: ...
    @method
    async def uid(self, value: uuid.UUID) -> uuid.UUID: ...
    @method
    async def anything(self, value: Any) -> Any: ...
    @method
    async def nested(
        self, value: dict[str, list[Point | None]]
    ) -> dict[str, list[Point | None]]: ...


class MirrorServer(Mirror):
    """Gives back what it gets."""

    @method
    async def text(self, value: str) -> str:
        return value

    @method
    async def raw(self, value: bytes) -> bytes:
        return value

    @method
    async def whole(self, value: int) -> int:
        return value

    @method
    async def real(self, value: float) -> float:
        return value

    @method
    async def truth(self, value: bool) -> bool:
        return value

    @method
    async def nothing(self, value: None) -> None:
        return value

    @method
    async def maybe(self, value: int | None) -> int | None:
        return value

    @method
    async def either(self, value: int | str) -> int | str:
        return value

    @method
    async def numbers(self, value: list[int]) -> list[int]:
        return value

    @method
    async def fixed(self, value: tuple[int, str, bytes]) -> tuple[int, str, bytes]:
        return value

    @method
    async def row(self, value: tuple[int, ...]) -> tuple[int, ...]:
        return value

    @method
    async def table(self, value: dict[str, list[int]]) -> dict[str, list[int]]:
        return value

    @method
    async def unordered(self, value: set[int]) -> set[int]:
        return value

    @method
    async def point(self, value: Point) -> Point:
        return value

    @method
    async def reading(self, value: Reading) -> Reading:
        return value

    @method
    async def colour(self, value: Colour) -> Colour:
        return value

    @method
    async def word(self, value: Literal["a", "b"]) -> Literal["a", "b"]:
        return value

    @method
    async def pair(self, value: Pair) -> Pair:
        return value

    @method
    async def settings(self, value: Settings) -> Settings:
        return value

    @method
    async def date(self, value: datetime.date) -> datetime.date:
        return value

    @method
    async def uid(self, value: uuid.UUID) -> uuid.UUID:
        return value

    @method
    async def anything(self, value: Any) -> Any:
        return value

    @method
    async def nested(self, value: dict[str, list[Point | None]]) -> dict[str, list[Point | None]]:
        return value


NOON = datetime.datetime(2024, 5, 1, 12, 0, tzinfo=datetime.UTC)

VALUES: list[tuple[str, Any]] = [
    ("text", ""),
    ("text", "a"),
    ("text", "grüße, 世界 \x00 \U0001f600"),
    ("raw", b""),
    ("raw", bytes(range(256))),
    ("whole", 0),
    ("whole", -(2**63)),
    ("whole", 2**64 - 1),
    ("real", 0.1),
    ("real", float("inf")),
    ("truth", True),
    ("truth", False),
    ("nothing", None),
    ("maybe", None),
    ("maybe", 3),
    ("either", 3),
    ("either", "3"),
    ("numbers", []),
    ("numbers", list(range(100))),
    ("fixed", (1, "two", b"three")),
    ("row", ()),
    ("row", (1, 2, 3)),
    ("table", {"a": [1], "b": []}),
    ("unordered", {3, 1, 2}),
    ("point", Point(1)),
    ("point", Point(-1, 2)),
    ("reading", Reading(NOON, [1.5, -2.0], Point(3))),
    ("reading", Reading(NOON, [])),
    ("colour", Colour.BLUE),
    ("word", "b"),
    ("pair", Pair(1, "r")),
    ("settings", {"depth": 1, "label": "x"}),
    ("date", datetime.date(2024, 5, 1)),
    ("uid", uuid.UUID(int=77)),
    ("anything", {"a": [1, None, 2.5, b"x"]}),
    ("nested", {"a": [Point(1), None]}),
]


def test_data_of_every_kind_comes_back_equal_and_of_the_same_type() -> None:
    async def main(world: World) -> None:
        async with world.session(Mirror, MirrorServer()) as mirror:
            for name, value in VALUES:
                back = await getattr(mirror, name)(value)
                assert back == value, name
                assert type(back) is type(value), name

    run(main)


def test_data_of_every_kind_is_copied_and_not_shared() -> None:
    async def main(world: World) -> None:
        async with world.session(Mirror, MirrorServer()) as mirror:
            point = Point(1)
            assert await mirror.point(point) is not point
            numbers = [1]
            call = mirror.numbers(numbers)
            numbers.append(2)  # too late: the arguments were taken when the call was made
            assert await call == [1]

    run(main)


def test_positional_keyword_and_default_arguments_all_reach_the_handler() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            assert await desk.data(3) == await desk.data(n=3) == b"\3\3\3"
            assert await desk.data(3, 0.5) == await desk.data(seconds=0.5, n=3)
            thing = await desk.make(seconds=0.5, name="t")
            assert await thing.name() == "t"

    run(main)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2.0, 3), {}), ((1,), {"n": 1}), ((), {"other": 1})],
)
def test_a_call_with_arguments_that_no_parameter_takes_is_a_type_error_and_is_not_sent(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            with pytest.raises(TypeError):
                desk.data(*args, **kwargs)
            assert await desk.data(1) == b"\1"

    run(main)


def test_a_call_gives_a_promise_for_data_and_a_proxy_for_a_capability_at_once() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            promise = desk.data(2)
            assert isinstance(promise, Promise)
            thing = desk.make("a")
            interfaces: tuple[Any, Any] = Thing, Desk
            assert [isinstance(thing, each) for each in interfaces] == [True, False]
            assert await promise == b"\2\2"
            assert await thing is thing

    run(main)


def test_a_proxy_is_awaitable_to_itself_any_number_of_times() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            thing = await desk.make("a")
            assert await thing is thing
            assert await (await thing) is thing
            assert await desk is desk
            assert await thing.name() == "a"

    run(main)


def test_two_tasks_can_await_the_same_proxy() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            thing = desk.make("a", 0.5)

            async def wait() -> Thing:
                return await thing

            async with scope() as tasks:
                one, other = tasks.spawn(wait()), tasks.spawn(wait())
            assert one.result() is other.result() is thing

    run(main)


def test_capabilities_as_results_arguments_and_in_containers() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            things = await desk.things(3)
            assert [await thing.name() for thing in things] == ["0", "1", "2"]
            own = ThingServer("own")
            assert await desk.name_of(things[1]) == "1"
            assert await desk.name_of(own) == "own"
            assert await desk.names_of([own, things[2], own]) == ["own", "2", "own"]
            assert await desk.names_of([]) == []

    run(main)


def test_an_own_object_keeps_its_identity_on_a_round_trip() -> None:
    """Bank rule 29: a capability to an own object unwraps to that object."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own, other = ThingServer("own"), ThingServer("other")
            assert await desk.back(own) is own
            assert await desk.back(await desk.back(own)) is own
            assert await desk.back(other) is other
            kept = [await desk.keep(thing) for thing in (own, other, own)]
            assert kept == [1, 2, 3]
            assert [await desk.kept(n) for n in range(3)] == [own, other, own]

    run(main)


def test_an_object_of_the_server_keeps_its_identity_on_a_round_trip() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server) as desk:
            mine = ThingServer("mine")
            server.keeping.append(mine)
            there = await desk.kept(0)
            assert await desk.same(there, await desk.kept(0))
            assert await desk.keep(there) == 2
            assert server.keeping[1] is mine

    run(main)


def test_an_object_can_be_handed_back_and_forth_many_times() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own = ThingServer("own")
            for _ in range(20):
                assert await desk.back(own) is own
            thing = await desk.make("t")
            for _ in range(20):
                thing = await desk.back(thing)
            assert await thing.name() == "t"
            assert await desk.same(thing, thing)

    run(main)


def test_the_server_calls_the_clients_own_objects() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            own = ThingServer("own")
            names = await join(*[desk.name_of(own) for _ in range(100)])
            assert set(names) == {"own"}

    run(main)


def test_an_object_that_the_server_kept_can_be_called_in_later_calls() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server) as desk:
            own = ThingServer("own")
            await desk.keep(own)
            assert await desk.kept(0) is own
            assert await server.keeping[0].name() == "own"
            assert await desk.forget() == 1

    run(main)


def test_an_object_is_released_at_the_server_when_its_proxy_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 41: proxies are counted here; one Release names every time that the object came; with
    the last it goes, unless it is on its way once more."""
    sent: list[int] = []
    drop = Imports.drop

    def counted(self: Imports, number: int) -> int:
        released = drop(self, number)
        sent.extend([released] if released else [])
        return released

    monkeypatch.setattr(Imports, "drop", counted)

    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server) as desk:
            server.keeping.append(ThingServer("t"))
            gone = weakref.ref(server.keeping[0])
            thing = await desk.kept(0)
            again = await desk.kept(0)
            server.keeping.clear()
            del thing
            await quiet()
            assert gone() is not None, "a second proxy stands for it"
            assert await again.name() == "t"
            assert sent == []
            del again
            await quiet()
            gc.collect()
            assert gone() is None
            assert sent == [2], "one Release for both times"
            # Its Release crosses the answer that hands it out once more.
            server.keeping.append(ThingServer("u"))
            gone = weakref.ref(server.keeping[0])
            thing = await desk.kept(0)
            coming = desk.kept(0)
            del thing
            await quiet()
            server.keeping.clear()
            assert sent == [2, 1]
            assert await coming.name() == "u"
            del coming
            await quiet()
            assert sent == [2, 1, 1]
            assert gone() is None

    run(main)


def test_an_own_object_is_released_at_the_client_when_the_server_lets_go_of_it() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server) as desk:
            own = ThingServer("own")
            gone = weakref.ref(own)
            await desk.keep(own)
            del own
            await quiet()
            assert gone() is not None
            await desk.forget()
            await quiet()
            gc.collect()
            assert gone() is None

    run(main)


def test_objects_that_are_made_and_dropped_cost_nothing_in_the_end() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            (bank,) = world.banks

            async def some() -> None:
                before = bank.balance
                things = await desk.things(50)
                assert bank.balance.pages < before.pages
                assert bank.balance.caps < before.caps
                del things
                await quiet()

            start = bank.balance
            await some()
            # The spare page of the account, the spare lot, and a page that a wave leaves behind.
            assert bank.balance.pages >= start.pages - 2
            assert bank.balance.caps >= start.caps - 16
            before = bank.balance
            for _ in range(20):
                await some()
            assert bank.balance == before

    run(main)


class Holder(msgspec.Struct):
    label: str
    thing: Thing
    more: list[Thing] = []


@dataclasses.dataclass
class Shelf:
    things: dict[str, Thing]
    best: Thing | None = None


class Cupboard(Interface, Protocol):
    @method
    async def holder(self) -> Holder: ...
    @method
    async def shelf(self) -> Shelf: ...
    @method
    async def first(self, shelf: Shelf) -> str: ...
    @method
    async def maybe(self, give: bool) -> Thing | None: ...
    @method
    async def labelled(self, pair: tuple[str, Thing]) -> tuple[Thing, str]: ...


class CupboardServer(Cupboard):
    @method
    async def holder(self) -> Holder:
        return Holder("h", ThingServer("a"), [ThingServer("b")])

    @method
    async def shelf(self) -> Shelf:
        return Shelf({"x": ThingServer("x")}, ThingServer("y"))

    @method
    async def first(self, shelf: Shelf) -> str:
        assert shelf.best is None
        return await next(iter(shelf.things.values())).name()

    @method
    async def maybe(self, give: bool) -> Thing | None:
        return ThingServer("m") if give else None

    @method
    async def labelled(self, pair: tuple[str, Thing]) -> tuple[Thing, str]:
        return pair[1], pair[0]


def test_capabilities_in_structs_dataclasses_options_and_tuples() -> None:
    async def main(world: World) -> None:
        async with world.session(Cupboard, CupboardServer()) as cupboard:
            holder = await cupboard.holder()
            assert holder.label == "h"
            assert [await holder.thing.name(), await holder.more[0].name()] == ["a", "b"]
            shelf = await cupboard.shelf()
            assert shelf.best is not None
            assert await shelf.best.name() == "y"
            shelf.best = None
            assert await cupboard.first(shelf) == "x"
            assert await cupboard.first(Shelf({"own": ThingServer("own")})) == "own"
            assert await cupboard.maybe(False) is None
            given = await cupboard.maybe(True)
            assert given is not None
            assert await given.name() == "m"
            own = ThingServer("own")
            assert await cupboard.labelled(("l", own)) == (own, "l")

    run(main)


def test_handlers_run_concurrently_and_a_slow_one_delays_nobody() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            clock = current_executor()
            slow = desk.nap(5)
            began = clock.now()
            assert await join(*[desk.nap(1) for _ in range(20)]) == (1,) * 20
            assert clock.now() - began == pytest.approx(1)
            assert await slow == 5
            assert clock.now() - began == pytest.approx(5)

    run(main)


def test_answers_come_in_any_order_each_to_its_own_call() -> None:
    """Bank rule 32: an id differs from every id in progress (trap T1)."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            naps = [0.5, 0.1, 0.9, 0.3, 0.0]
            assert await join(*[desk.nap(nap) for nap in naps]) == tuple(naps)

    run(main)


def test_a_session_that_is_used_for_long_gives_all_ids_out_and_holds_nothing() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=3) as desk:
            (bank,) = world.banks
            await join(desk.nap(0), desk.nap(0.001))  # an account keeps a spare page from then on
            await quiet()
            before = bank.balance
            for i in range(300):
                assert await desk.do(i) == i
                slow, fast = desk.nap(0.002), desk.nap(0.001)
                assert await join(slow, fast) == (0.002, 0.001)
            await quiet()
            assert bank.balance == before

    run(main)


def test_repr_of_a_proxy_tells_its_interface_its_session_and_its_state() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            thing = desk.make("a")
            assert "Thing" in repr(thing)
            assert "promised" in repr(thing)
            await thing
            assert session_of(thing).name in repr(thing)
            assert "imported" in repr(thing)

    run(main)


def test_session_of_gives_the_session_and_refuses_an_own_object() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            assert session_of(await desk.make("a")) is session_of(desk)
            with pytest.raises(TypeError, match="did not come over a session"):
                session_of(ThingServer("own"))

    run(main)


def test_a_session_can_be_opened_again_and_again_on_one_bank() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        whole = bank.balance
        async with world.served("service", DeskServer()):
            for n in range(20):
                async with connect(world.kernel, "service", Desk, bank) as desk:
                    assert await desk.do(n) == n
                assert bank.balance == whole

    run(main)
