"""Failures with a name: each on the right side, the session usable, every charge returned."""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import msgspec
import pytest

from pinfut import PENDING, LawError, try_join
from pinfut.executor import CancelledError, scope, sleep, spawn
from pinfut.poll import TaskContext
from pinfut.rpc import (
    AnswerTooLarge,
    BadAnswer,
    BadArguments,
    CallCancelled,
    ForeignCapability,
    GarbageFrame,
    Interface,
    InterfaceMismatch,
    MessageTooLarge,
    OutOfPages,
    PeerDied,
    Promise,
    RemoteError,
    RpcError,
    SessionClosed,
    UnknownObject,
    UnknownReply,
    UnknownService,
    connect,
    method,
    serve,
)
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run

# ---- finding the service ----


def test_connecting_to_what_nobody_serves_names_what_is_served() -> None:
    async def main(world: World) -> None:
        async with world.served("there", DeskServer()):
            with pytest.raises(UnknownService, match=r"'missing'.*there"):
                async with connect(world.kernel, "missing", Desk, world.bank()):
                    raise AssertionError("connected")

    run(main)


def test_a_service_with_other_methods_is_an_interface_mismatch() -> None:
    class Fewer(Interface, Protocol, name="Desk"):
        @method
        async def do(self, n: int) -> int: ...

    class FewerServer(Fewer):
        @method
        async def do(self, n: int) -> int:
            return n

    async def main(world: World) -> None:
        async with world.served("service", FewerServer()):
            with pytest.raises(InterfaceMismatch, match="Fewer"):
                async with connect(world.kernel, "service", Desk, world.bank()):
                    raise AssertionError("connected")

    run(main)


def test_a_service_name_can_be_served_once_and_again_after_its_end() -> None:
    async def main(world: World) -> None:
        for n in range(3):
            async with world.session(Desk, DeskServer(), bank=world.bank(str(n))) as desk:
                with pytest.raises(ValueError, match="served already"):
                    async with serve(world.kernel, "service", DeskServer()):
                        raise AssertionError("served twice")
                assert await desk.do(1) == 1

    run(main)


def test_what_is_no_implementation_cannot_be_served() -> None:
    async def main(world: World) -> None:
        for thing in (object(), Desk, 5):
            with pytest.raises(TypeError, match="has to implement an Interface"):
                serve(world.kernel, "x", thing)  # type: ignore[arg-type]
        async with world.session(Desk, DeskServer()) as desk:
            with pytest.raises(TypeError, match="served elsewhere"):
                serve(world.kernel, "x", desk)

    run(main)


@pytest.mark.parametrize(
    "sizes",
    [{"slots": 0}, {"slots": -1}, {"slots": 1 << 20}, {"ring": 100}, {"ring": 32}, {"cell": 100}],
)
def test_sizes_of_a_session_that_make_no_sense_are_refused(sizes: dict[str, int]) -> None:
    async def main(world: World) -> None:
        async with world.served("service", DeskServer()):
            with pytest.raises(ValueError, match=r"\d"):
                async with connect(world.kernel, "service", Desk, world.bank(), **sizes):  # type: ignore[arg-type]
                    raise AssertionError("connected")

    run(main)


# ---- what the caller does wrong ----


def test_arguments_of_a_wrong_type_are_refused_by_the_server_by_name() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            wrong: list[Callable[[], Any]] = [
                lambda: desk.do("5"),  # type: ignore[arg-type]
                lambda: desk.do(None),  # type: ignore[arg-type]
                lambda: desk.do(1.5),  # type: ignore[arg-type]
                lambda: desk.do(True),
                lambda: desk.length("text"),  # type: ignore[arg-type]
                lambda: desk.make(b"bytes"),  # type: ignore[arg-type]
                lambda: desk.nap([1]),  # type: ignore[arg-type]
            ]
            for call in wrong:
                with pytest.raises(BadArguments, match="Desk"):
                    await call()
            assert await desk.do(5) == 5

    run(main)


def test_arguments_that_cannot_be_written_are_a_type_error_of_the_caller() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            deep: list[Any] = []
            for _ in range(100_000):
                deep = [deep]
            for value in (object(), 2**64, -(2**63) - 1, deep, {1: object()}):
                with pytest.raises(TypeError, match="cannot send"):
                    desk.do(value)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="cannot send"):
                desk.make("\ud800")
            assert await desk.do(5) == 5
            while deep:
                deep = deep.pop()

    run(main)


def test_bytes_are_counted_as_they_lie_in_memory_and_refused_where_they_are_scattered() -> None:
    scattered: Any = memoryview(b"abcdef")[::2]
    ints: Any = memoryview(array("i", [1, 2]))

    class Views(DeskServer):
        @method
        async def small(self, n: int) -> bytes:
            view: bytes = scattered if n else ints
            return view

    async def main(world: World) -> None:
        async with world.session(Desk, Views()) as desk:
            assert await desk.length(ints) == 8
            with pytest.raises(TypeError, match="contiguous"):
                await desk.length(scattered)
            assert await desk.small(0) == bytes(ints)
            with pytest.raises(BadAnswer, match="contiguous"):
                await desk.small(1)
            assert await desk.do(1) == 1

    run(main)


def test_capabilities_of_a_wrong_type_are_a_type_error_of_the_caller() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            for value in (desk, DeskServer(), 5, None, "x", object()):
                with pytest.raises(TypeError, match="cannot send"):
                    desk.name_of(value)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="cannot send"):
                desk.names_of([ThingServer("a"), 5])  # type: ignore[list-item]
            assert await desk.name_of(ThingServer("fine")) == "fine"

    run(main)


def test_a_message_above_what_the_ring_carries_is_refused_before_it_is_sent() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), ring=1024) as desk:
            assert await desk.length(b"x" * 400) == 400
            for size in (600, 5000, 10_000_000):
                with pytest.raises(MessageTooLarge, match="ring="):
                    desk.length(b"x" * size)
            with pytest.raises(MessageTooLarge):
                desk.names_of([ThingServer(str(n)) for n in range(400)])
            assert await desk.length(b"x" * 400) == 400

    run(main)


def test_a_capability_of_another_session_is_refused_by_name() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with (
            world.served("service", server),
            connect(world.kernel, "service", Desk, world.bank("a")) as one,
            connect(world.kernel, "service", Desk, world.bank("b")) as other,
        ):
            thing = await one.make("t")
            with pytest.raises(ForeignCapability, match="another session"):
                other.name_of(thing)
            with pytest.raises(ForeignCapability):
                other.names_of([ThingServer("mine"), thing])
            with pytest.raises(ForeignCapability):
                other.name_of(one.make("promised", 0.1))
            assert await one.name_of(thing) == "t"
            assert await other.do(1) == 1
            # And in an answer: what one client lent the server is not another's to have.
            await one.keep(ThingServer("lent"))
            with pytest.raises(ForeignCapability):
                await other.kept(0)
            assert await other.do(2) == 2
            await one.forget()

    run(main)


def test_a_call_on_a_released_object_is_an_unknown_object_error() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            assert issubclass(UnknownObject, RpcError)
            with pytest.raises(RemoteError, match="IndexError"):
                await desk.kept(5).name()
            assert await desk.do(1) == 1

    run(main)


# ---- what the handler does wrong ----


class Custom(Exception):
    def __init__(self, name: str, size: int) -> None:
        super().__init__(f"{name} is {size}")


class OwnRpcError(RpcError):
    pass


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("this error has no words")


class Lacking(OutOfPages):
    """Makes itself in a way of its own, so nothing is there that its base has."""

    def __init__(self, one: int, two: int, three: int, four: int) -> None:
        Exception.__init__(self, one, two, three, four)


class Hidden(OutOfPages):
    @property
    def short(self) -> int:
        raise Unexpected("nobody may ask")

    @short.setter
    def short(self, value: int) -> None:
        pass


class Unmade(RemoteError):
    def __init__(self) -> None:
        Exception.__init__(self, "no kind")


RAISED: list[tuple[Callable[[], BaseException], str, str]] = [
    (lambda: ValueError("a value"), "ValueError", "a value"),
    (lambda: KeyError("key"), "KeyError", "'key'"),
    (lambda: ZeroDivisionError(), "ZeroDivisionError", ""),
    (lambda: Custom("it", 3), "Custom", "it is 3"),
    (lambda: OwnRpcError("mine"), "OwnRpcError", "mine"),
    (lambda: RemoteError("Passed", "on"), "Passed", "on"),
    (lambda: ExceptionGroup("many", [ValueError("a"), KeyError("b")]), "ExceptionGroup", "many"),
    (
        lambda: BaseExceptionGroup("base", [asyncio.CancelledError()]),
        "BaseExceptionGroup",
        "base",
    ),
    (lambda: GeneratorExit("odd"), "GeneratorExit", "odd"),
    (lambda: TimeoutError("late"), "TimeoutError", "late"),
    (lambda: RecursionError("deep"), "RecursionError", "deep"),
    (lambda: MemoryError("none"), "MemoryError", "none"),
    (lambda: StopAsyncIteration("stop"), "StopAsyncIteration", "stop"),
    (lambda: StopIteration("stop"), "RuntimeError", "StopIteration"),
    (lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "UnicodeDecodeError", "bad"),
    (lambda: FileNotFoundError(2, "no file", "a\udc80b"), "FileNotFoundError", "no file"),
    (lambda: ValueError("\ud800 half a pair"), "ValueError", "half a pair"),
    (lambda: Speechless(), "Speechless", ""),
    (lambda: ValueError("ü" * 100_000), "ValueError", "ü" * 20),
    (lambda: RemoteError(404, b"none"), "404", "b'none'"),  # type: ignore[arg-type]
    (lambda: Lacking(1, 2, 3, 4), "NestedShortage", "(1, 2, 3, 4)"),
    (lambda: Hidden("hidden"), "NestedShortage", "hidden"),
    (lambda: Unmade(), "Unmade", "cannot be told: AttributeError"),
]


@pytest.mark.parametrize("when", ["at once", "after a wait"])
@pytest.mark.parametrize("number", range(len(RAISED)))
def test_whatever_a_handler_raises_is_a_remote_error_with_its_type_and_message(
    number: int, when: str
) -> None:
    make, kind, detail = RAISED[number]

    async def do(n: int) -> int:
        if when == "after a wait":
            await sleep(0.1)
        if n == 1:
            raise make()
        return n

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=do)) as desk:
            other = desk.nap(0.5)
            with pytest.raises(RemoteError) as caught:
                await desk.do(1)
            assert caught.value.kind == kind
            assert detail in caught.value.detail
            assert await desk.do(2) == 2
            assert await other == 0.5

    run(main)


def test_a_remote_error_never_carries_a_traceback_of_the_server() -> None:
    async def do(n: int) -> int:
        secret = "a secret of the server"
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ValueError("what the client sees") from error

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=do)) as desk:
            with pytest.raises(RemoteError) as caught:
                await desk.do(1)
            error = caught.value
            assert error.__cause__ is None
            assert "secret" not in str(error)
            assert "File" not in str(error)
            traceback = error.__traceback__
            while traceback is not None:
                assert traceback.tb_frame.f_code is not do.__code__
                traceback = traceback.tb_next

    run(main)


@pytest.mark.parametrize("wait", [False, True])
def test_a_handler_that_raises_a_cancel_ends_its_call_as_cancelled(wait: bool) -> None:
    async def do(n: int) -> int:
        if wait:
            await sleep(0.1)
        raise CancelledError

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=do)) as desk:
            with pytest.raises(CallCancelled):
                await desk.do(1)
            with pytest.raises(CallCancelled):
                await try_join(desk.do(1), desk.nap(1))
            assert await desk.nap(0.1) == 0.1

    run(main)


@pytest.mark.parametrize("error", [SessionClosed("inner"), PeerDied("inner"), OutOfPages("inner")])
def test_an_rpc_error_of_the_handlers_own_dealings_does_not_end_this_session(
    error: RpcError,
) -> None:
    async def do(n: int) -> int:
        if n == 1:
            raise error
        return n

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=do)) as desk:
            with pytest.raises(RpcError, match="inner"):
                await desk.do(1)
            assert await desk.do(2) == 2

    run(main)


@dataclasses.dataclass
class Record:
    n: int

    def __post_init__(self) -> None:
        if self.n == 0:
            raise ZeroDivisionError("a record of nothing")


class Note(msgspec.Struct):
    n: int


@dataclasses.dataclass
class DataThing(ThingServer):
    """Implements an interface and is a dataclass: it would be sent as its fields."""

    title: str
    told: list[int] = dataclasses.field(default_factory=list)


class Odd(Interface, Protocol):
    @method
    async def text(self, value: Any) -> str: ...
    @method
    async def raw(self, value: Any) -> bytes: ...
    @method
    async def whole(self, value: Any) -> int: ...
    @method
    async def real(self, value: Any) -> float: ...
    @method
    async def nothing(self, value: Any) -> None: ...
    @method
    async def numbers(self, value: Any) -> list[int]: ...
    @method
    async def record(self, value: Any) -> Record: ...
    @method
    async def note(self, value: Any) -> Note: ...
    @method
    async def thing(self, value: Any) -> Thing: ...
    @method
    async def things(self, value: Any) -> list[Thing]: ...
    @method
    async def anything(self, value: Any) -> Any: ...
    @method
    async def take(self, record: Record) -> int: ...


class OddServer(Odd):
    """Gives what the test put into `gives`, of whatever type that is."""

    gives: Any = None

    @method
    async def text(self, value: Any) -> str:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def raw(self, value: Any) -> bytes:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def whole(self, value: Any) -> int:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def real(self, value: Any) -> float:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def nothing(self, value: Any) -> None:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def numbers(self, value: Any) -> list[int]:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def record(self, value: Any) -> Record:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def note(self, value: Any) -> Note:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def thing(self, value: Any) -> Thing:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def things(self, value: Any) -> list[Thing]:
        return self.gives  # type: ignore[no-any-return]

    @method
    async def anything(self, value: Any) -> Any:
        return self.gives

    @method
    async def take(self, record: Record) -> int:
        return record.n


def bad_record() -> Record:
    record = Record(1)
    record.n = "not a number"  # type: ignore[assignment]
    return record


WRONG: list[tuple[str, Any]] = [
    ("text", 5),
    ("text", None),
    ("text", b"bytes"),
    ("text", "\ud800"),
    ("raw", "text"),
    ("raw", "aGk="),
    ("raw", 5),
    ("whole", "5"),
    ("whole", 1.5),
    ("whole", True),
    ("whole", None),
    ("whole", 2**64),
    ("whole", -(2**63) - 1),
    ("real", "1.5"),
    ("real", 2**64),
    ("nothing", 5),
    ("numbers", [1, "2"]),
    ("numbers", 5),
    ("numbers", [2**70]),
    ("record", {"n": "x"}),
    ("record", bad_record()),
    ("record", None),
    ("note", 5),
    ("thing", 5),
    ("thing", None),
    ("thing", DeskServer()),
    ("things", [5]),
    ("things", [ThingServer("a"), DeskServer()]),
    ("things", ThingServer("a")),
    ("things", [DataThing("d")]),
    ("anything", object()),
    ("anything", ThingServer("a")),
    ("anything", 2**70),
]


@pytest.mark.parametrize(
    ("name", "value"), WRONG, ids=[f"{n}-{i}" for i, (n, _) in enumerate(WRONG)]
)
def test_a_handler_that_returns_another_type_is_a_bad_answer(name: str, value: Any) -> None:
    async def main(world: World) -> None:
        server = OddServer()
        async with world.session(Odd, server) as odd:
            server.gives = value
            with pytest.raises(BadAnswer) as caught:
                await getattr(odd, name)(None)
            assert "cannot be read" not in str(caught.value), "the server sees it, not the client"
            server.gives = "fine"
            assert await odd.text(None) == "fine"

    run(main)


def test_a_dataclass_that_implements_an_interface_can_be_handed_out_by_itself() -> None:
    async def main(world: World) -> None:
        server = OddServer()
        async with world.session(Odd, server) as odd:
            server.gives = DataThing("d")
            assert await (await odd.thing(None)).name() == "d"

    run(main)


def test_an_argument_whose_class_refuses_it_is_a_bad_argument() -> None:
    async def main(world: World) -> None:
        server = OddServer()
        async with world.session(Odd, server) as odd:
            record = Record(1)
            record.n = 0
            with pytest.raises(RpcError):
                await odd.take(record)
            assert await odd.take(Record(4)) == 4

    run(main)


def test_an_answer_above_its_room_is_an_error_that_says_what_to_declare() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            assert await desk.small(1000) == b"s" * 1000
            for size in (1024, 5000, 1_000_000):
                with pytest.raises(AnswerTooLarge, match=r"@method\(answer="):
                    await desk.small(size)
            assert await desk.small(1) == b"s"

    run(main)


class Crowd(Interface, Protocol):
    @method(answer=256)
    async def few(self, n: int) -> list[Thing]: ...
    @method(answer=3_000_000)
    async def many(self, n: int) -> list[Thing]: ...
    @method
    async def total(self, things: list[Thing]) -> int: ...


class CrowdServer(Crowd):
    def __init__(self) -> None:
        self.thing = ThingServer("one")

    @method(answer=256)
    async def few(self, n: int) -> list[Thing]:
        return [ThingServer(str(i)) for i in range(n)]

    @method(answer=3_000_000)
    async def many(self, n: int) -> list[Thing]:
        return [self.thing] * n

    @method
    async def total(self, things: list[Thing]) -> int:
        return len(things)


def test_capabilities_of_an_answer_that_is_too_large_are_taken_back() -> None:
    async def main(world: World) -> None:
        async with world.session(Crowd, CrowdServer()) as crowd:
            (bank,) = world.banks
            await crowd.few(1)
            await quiet()
            before = bank.balance
            for _ in range(20):
                with pytest.raises(AnswerTooLarge):
                    await crowd.few(200)
            await quiet()
            assert bank.balance.caps >= before.caps - 16
            assert bank.balance.pages >= before.pages - 1

    run(main)


def test_more_capabilities_than_a_message_can_count_are_refused_by_name() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=4000)
        async with world.session(Crowd, CrowdServer(), bank=bank, ring=1 << 22) as crowd:
            assert len(await crowd.many(1000)) == 1000
            with pytest.raises(RpcError):
                await crowd.many(70_000)
            own = ThingServer("own")
            with pytest.raises((RpcError, TypeError)):
                await crowd.total([own] * 70_000)
            assert await crowd.total([own] * 3) == 3

    run(main)


# ---- results ----


def test_a_result_is_taken_once_and_a_second_await_is_a_law_error() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            promise = desk.do(1)
            assert await promise == 1
            for _ in range(2):
                with pytest.raises(LawError):
                    await promise
            broken = desk.fail("x")
            failing = broken.do(1)
            with pytest.raises(RemoteError):
                await failing
            with pytest.raises(LawError):
                await failing
            assert await desk.do(2) == 2

    run(main)


def test_a_failing_call_among_many_fails_alone() -> None:
    async def do(n: int) -> int:
        await sleep(0.01 * (n % 5))
        if n % 7 == 0:
            raise ValueError(str(n))
        return n

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=do), slots=4) as desk:
            results: dict[int, int | str] = {}

            async def one(n: int) -> None:
                try:
                    results[n] = await desk.do(n)
                except RemoteError as error:
                    results[n] = error.detail

            async with scope() as tasks:
                for n in range(50):
                    tasks.spawn(one(n))
            assert results == {n: str(n) if n % 7 == 0 else n for n in range(50)}

    run(main)


# ---- closing ----


def test_calls_on_a_closed_session_raise_session_closed_at_once() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            thing = await desk.make("t")
        for call in (lambda: desk.do(1), lambda: thing.name(), lambda: desk.make("x")):
            with pytest.raises(SessionClosed, match="closed by this side"):
                call()
        del call

    run(main)


def test_calls_that_are_open_when_the_session_closes_end_with_session_closed() -> None:
    async def main(world: World) -> None:
        async def expect(awaitable: Any) -> str:
            with pytest.raises(SessionClosed) as caught:
                await awaitable
            return type(caught.value).__name__

        async with world.served("service", DeskServer()):
            async with connect(world.kernel, "service", Desk, world.bank(), slots=4) as desk:
                waiting = [
                    spawn(expect(call))
                    for call in (
                        desk.nap(100),
                        desk.make("t", 100),
                        desk.make("t", 100).name(),
                        desk.nap(100),  # from here on there is no slot
                        desk.nap(100),
                        desk.make("u").name(),
                    )
                ]
                await sleep(0.1)
            assert [await task for task in waiting] == ["SessionClosed"] * 6

    run(main)


def test_a_service_that_ends_while_calls_are_open_cancels_its_handlers() -> None:
    async def main(world: World) -> None:
        ended: list[int] = []

        async def do(n: int) -> int:
            try:
                await sleep(100)
            finally:
                ended.append(n)
            return n

        bank = world.bank()
        async with serve(world.kernel, "service", DeskServer(do=do)) as server:
            client = connect(world.kernel, "service", Desk, bank)
            desk = await client.__aenter__()
            calls = [desk.do(n) for n in range(5)]
            await sleep(0.1)
            assert len(server.sessions) == 1
        assert sorted(ended) == list(range(5))
        for call in calls:
            with pytest.raises(SessionClosed, match="server closed"):
                await call
        with pytest.raises(SessionClosed):
            desk.do(1)
        await client.__aexit__(None, None, None)
        with pytest.raises(UnknownService):
            async with connect(world.kernel, "service", Desk, bank):
                raise AssertionError("connected")

    run(main)


def test_an_error_in_the_clients_block_closes_the_session_and_passes_on() -> None:
    async def main(world: World) -> None:
        async with world.served("service", DeskServer()):
            slow: list[Any] = []

            async def visit() -> None:
                async with connect(world.kernel, "service", Desk, world.bank()) as desk:
                    slow.append(desk.nap(100))
                    await sleep(0.1)
                    raise KeyError("mine")

            with pytest.raises(KeyError, match="mine"):
                await visit()
            with pytest.raises(SessionClosed):
                await slow[0]

    run(main)


class Unexpected(BaseException):
    """What no handler of errors expects."""


@dataclass
class Lease:
    """An argument that looks at itself when it is decoded, and at who encodes it."""

    left: int

    def __post_init__(self) -> None:
        if self.left in ODD:
            raise ODD[self.left]


class Unsayable(Exception):
    def __str__(self) -> str:
        raise Unexpected("nobody may ask")

    __repr__ = __str__


ODD: dict[int, BaseException] = {
    1: Unexpected("odd"),
    2: CancelledError("cancelled by an argument"),
    3: SystemExit(3),
    4: GeneratorExit(),
    5: Unsayable(),
}


class Leases(Interface, Protocol):
    @method
    async def use(self, lease: Lease) -> int: ...
    @method
    async def make(self, left: int) -> Lease: ...
    @method
    async def fail(self, left: int) -> int: ...


class LeasesServer(Leases):
    @method
    async def use(self, lease: Lease) -> int:
        return lease.left

    @method
    async def make(self, left: int) -> Lease:
        lease = Lease(0)
        lease.left = left
        return lease

    @method
    async def fail(self, left: int) -> int:
        error = ODD[left]
        if isinstance(error, SystemExit):
            raise ValueError("what ends a program is for who runs it")
        raise error


def test_whatever_code_of_a_message_raises_ends_its_call_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Decoding, encoding and describing an error run code of the application's classes. What
    that raises is the call's, and the server, its dispatcher and the others go on."""
    ended = Counter[str]()

    async def main(world: World) -> None:
        async with (
            world.served("leases", LeasesServer()) as vat,
            connect(world.kernel, "leases", Leases, world.bank("odd")) as leases,
            connect(world.kernel, "leases", Leases, world.bank("victim")) as victim,
        ):
            for left in ODD:
                lease = Lease(0)
                lease.left = left
                for what, call in (
                    ("decoded", leases.use(lease)),
                    ("encoded", leases.make(left)),
                    ("raised", leases.fail(left)),
                ):
                    with pytest.raises(RpcError):
                        await call
                    ended[what] += 1
                    assert await victim.use(Lease(7)) == 7
            assert vat.process.alive
            assert len(vat.sessions) == 2

    run(main)
    assert ended == {"decoded": 5, "encoded": 5, "raised": 5}
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []


class Key(msgspec.Struct, frozen=True):
    n: int

    def __hash__(self) -> int:
        raise Unexpected("nobody may ask")


class Mortal(msgspec.Struct, weakref=True):
    """Raises when it is let go of."""

    n: int

    def __post_init__(self) -> None:
        weakref.finalize(self, self.cry)

    @staticmethod
    def cry() -> None:
        raise Unexpected("too late")

    def __del__(self) -> None:
        raise Unexpected("too late")


class Shy:
    """Is nothing that was asked for, and nobody may ask what it is."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise Unexpected("nobody may ask")

    def __repr__(self) -> str:
        raise Unexpected("nobody may ask")


class Strange(Interface, Protocol):
    @method
    async def hashed(self, keys: set[Key]) -> int: ...
    @method
    async def weighed(self, keys: dict[str, Key], rest: bytes) -> int: ...
    @method
    async def dropped(self, thing: Mortal) -> int: ...
    @method
    async def shy(self) -> Desk: ...
    @method
    async def shy_data(self) -> list[int]: ...


class StrangeServer(Strange):
    @method
    async def hashed(self, keys: set[Key]) -> int:
        return len(keys)

    @method
    async def weighed(self, keys: dict[str, Key], rest: bytes) -> int:
        return len(keys)

    @method
    async def dropped(self, thing: Mortal) -> int:
        return thing.n

    @method
    async def shy(self) -> Desk:
        return Shy()  # type: ignore[return-value]

    @method
    async def shy_data(self) -> list[int]:
        return [Shy()]  # type: ignore[list-item]


def test_what_classes_of_a_message_do_when_they_are_hashed_asked_or_let_go_of_is_the_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda about: unraisable.append(about.exc_type))

    async def main(world: World) -> None:
        async with (
            world.served("odd", StrangeServer()) as vat,
            connect(world.kernel, "odd", Strange, world.bank("odd")) as odd,
            connect(world.kernel, "odd", Strange, world.bank("victim")) as victim,
        ):
            keys = [Key(n) for n in range(3)]
            with pytest.raises(BadArguments):
                # As who wants to hurt writes it: a list is a set on its way.
                await odd.hashed(keys)  # type: ignore[arg-type]
            assert await odd.weighed({"a": keys[0]}, bytes(5000)) == 1
            assert await odd.dropped(Mortal(3)) == 3
            for call in (odd.shy, odd.shy_data):
                with pytest.raises(BadAnswer):
                    await call()
                assert await victim.weighed({}, b"") == 0
            assert vat.process.alive
            assert len(vat.sessions) == 2

    run(main)
    # Its own side lets go of one, and the server of the other.
    assert unraisable.count(Unexpected) >= 3


OURS: list[type[RpcError]] = [GarbageFrame, UnknownReply, SessionClosed, OutOfPages, UnknownObject]


@dataclass
class Liar:
    """Raises an error of the library when it is decoded, or looked at."""

    which: int
    # How often one may be decoded before that: whoever sends an object beside it does so, too.
    truths: ClassVar[int] = 0

    def __post_init__(self) -> None:
        Liar.truths -= self.which >= 0
        if self.which >= 0 and Liar.truths < 0:
            raise OURS[self.which]("a lie")


class Sly(msgspec.Struct, frozen=True):
    which: int

    def __hash__(self) -> int:
        raise OURS[self.which]("a lie")


class Liars(Interface, Protocol):
    @method
    async def plain(self, liar: Liar) -> int: ...
    @method
    async def beside(self, liar: Liar, desk: Desk) -> int: ...
    @method
    async def keys(self, keys: set[Sly]) -> int: ...
    @method
    async def answer(self, which: int) -> Liar: ...
    @method
    async def answer_beside(self, which: int) -> tuple[Desk, Liar]: ...


class LiarsServer(Liars):
    def __init__(self) -> None:
        self.desk = DeskServer()

    @method
    async def plain(self, liar: Liar) -> int:
        return liar.which

    @method
    async def beside(self, liar: Liar, desk: Desk) -> int:
        return liar.which

    @method
    async def keys(self, keys: set[Sly]) -> int:
        return len(keys)

    @method
    async def answer(self, which: int) -> Liar:
        return lie(which)

    @method
    async def answer_beside(self, which: int) -> tuple[Desk, Liar]:
        return self.desk, lie(which)


def lie(which: int) -> Liar:
    liar = Liar(-1)
    liar.which = which
    return liar


@pytest.mark.parametrize("which", range(len(OURS)), ids=[kind.__name__ for kind in OURS])
def test_an_error_of_the_library_that_a_message_s_class_raises_is_no_word_of_the_library(
    which: int,
) -> None:
    """It accuses nobody of breaking the protocol, and asks nobody for memory."""

    async def main(world: World) -> None:
        async with (
            world.served("liars", LiarsServer()) as vat,
            connect(world.kernel, "liars", Liars, world.bank()) as liars,
        ):
            keys: Any = [Sly(which)]  # a set on its way
            asked: list[tuple[int, type[Exception], Callable[[], Promise[Any]]]] = [
                (0, BadArguments, lambda: liars.plain(lie(which))),
                (0, BadArguments, lambda: liars.keys(keys)),
                (0, TypeError, lambda: liars.beside(lie(which), DeskServer())),
                (1, BadArguments, lambda: liars.beside(lie(which), DeskServer())),
                (0, BadAnswer, lambda: liars.answer(which)),  # the server looks first
                (1, BadAnswer, lambda: liars.answer(which)),
                (0, BadAnswer, lambda: liars.answer_beside(which)),
                (1, BadAnswer, lambda: liars.answer_beside(which)),
            ]
            for truths, refusal, ask in asked:
                Liar.truths = truths
                with pytest.raises(refusal, match=f"{OURS[which].__name__}: a lie"):
                    await ask()
            assert await liars.plain(Liar(-1)) == -1
            assert (await liars.answer(-1)).which == -1
            assert len(vat.sessions) == 1

    run(main)


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_exits_ends_the_run_of_its_server(waits: bool) -> None:
    """As any task of the program does: it is the server's own code that says so."""

    async def main(world: World) -> None:
        async def do(n: int) -> int:
            if waits:
                await sleep(1)
            raise SystemExit(n)

        async with (
            world.served("service", DeskServer(do=do)),
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            await desk.do(3)

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 3


def test_a_waker_that_raises_is_reported_and_every_other_answer_arrives() -> None:
    class Bad:
        def wake(self) -> None:
            raise ArithmeticError("a bad waker")

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer()) as desk:
            one = desk.nap(1.0)
            assert one.poll(TaskContext(Bad())) is PENDING
            other, thing = desk.nap(1.0), desk.make("t", 1.0)
            desk.nap(1.0).drop()
            assert (await other, await thing.name(), await one) == (1.0, "t", 1.0)
        (told,) = world.logged
        assert "mark_ready" in told
        world.logged.clear()

    run(main)
