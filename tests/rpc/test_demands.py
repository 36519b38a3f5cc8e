"""`Own` and `Same`: what a parameter demands is looked at before a handler starts."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

import msgspec
import pytest

from pinfut.executor import sleep
from pinfut.rpc import (
    BadArguments,
    ForeignCapability,
    Interface,
    Own,
    Same,
    UnknownObject,
    Vat,
    connect,
    introduce,
    method,
    serve,
    session_of,
)
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run


class Holder(msgspec.Struct):
    """A structure with a demand inside."""

    thing: Own[Thing]


class Safe(Interface, Protocol):
    @method
    async def make(self, seconds: float = 0.0) -> Thing: ...
    @method
    async def pair(self, before: str, own: Own[Thing], same: Same[Thing]) -> str: ...
    @method
    async def mine(self, thing: Own[Thing]) -> str: ...
    @method
    async def from_here(self, thing: Same[Thing]) -> str: ...
    @method
    async def lend(self, thing: Thing) -> Thing: ...


class SafeServer(Safe):
    def __init__(self) -> None:
        self.thing = ThingServer("own")
        self.started = 0

    @method
    async def make(self, seconds: float = 0.0) -> Thing:
        if seconds:
            await sleep(seconds)
        return self.thing

    @method
    async def pair(self, before: str, own: Thing, same: Thing) -> str:
        self.started += 1
        return f"{before} {await own.name()} {await same.name()}"

    @method
    async def mine(self, thing: Own[Thing]) -> str:
        self.started += 1
        return await thing.name() if thing is self.thing else "another"

    @method
    async def from_here(self, thing: Thing) -> str:
        self.started += 1
        return await thing.name()

    @method
    async def lend(self, thing: Thing) -> Thing:
        return thing


def test_what_was_handed_out_here_is_taken_as_the_object_itself() -> None:
    async def main(world: World) -> None:
        async with world.session(Safe, SafeServer()) as safe:
            thing = await safe.make()
            assert await safe.mine(thing) == "own"
            assert await safe.from_here(thing) == "own"
            assert await safe.pair("b", thing, thing) == "b own own"

    run(main)


@pytest.mark.parametrize("name", ["mine", "from_here"])
def test_an_object_of_the_caller_is_refused_and_charged_nothing(name: str) -> None:
    async def main(world: World) -> None:
        server = SafeServer()
        async with (
            world.served("safe", server) as vat,
            connect(world.kernel, "safe", Safe, world.bank()) as safe,
        ):
            thing = await safe.make()
            await quiet()
            far = only(vat)
            account: Any = far.end.account
            before = account.used, account.caps - account.free_caps, account.pages
            own = ThingServer("the caller's")
            for _ in range(40):
                with pytest.raises(ForeignCapability, match="argument 1 has to be what was"):
                    await getattr(safe, name)(own)
                assert len(far.peer.imports) == 0
            with pytest.raises(ForeignCapability, match="argument 3"):
                await safe.pair("b", thing, own)
            await quiet()
            assert (account.used, account.caps - account.free_caps, account.pages) == before
            assert server.started == 0
            # The caller has its object back: it is handed out no more.
            assert len(session_of(safe).peer.exports) == 0

    run(main)


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["that has come", "that has not come"])
def test_a_promise_is_refused_whether_it_has_come_or_not(seconds: float) -> None:
    async def main(world: World) -> None:
        server = SafeServer()
        async with world.session(Safe, server) as safe:
            promise = safe.make(seconds)
            with pytest.raises(ForeignCapability, match="a promise was passed: await it"):
                await safe.mine(promise)
            assert await safe.mine(await promise) == "own"
            assert server.started == 1

    run(main)


def test_same_takes_what_is_served_elsewhere_and_own_does_not() -> None:
    async def main(world: World) -> None:
        async with world.served("a", DeskServer()), world.served("b", SafeServer()):
            vat = Vat(world.kernel, "client")
            bank = world.bank(pages=800)
            async with (
                connect(world.kernel, "a", Desk, bank, vat=vat) as desk,
                connect(world.kernel, "b", Safe, bank, vat=vat) as safe,
            ):
                thing = await introduce(await desk.make("far"), safe)
                assert await safe.from_here(thing) == "far"
                with pytest.raises(ForeignCapability, match="is served elsewhere"):
                    await safe.mine(thing)
            await vat.close()

    run(main)


def test_what_was_released_or_invented_is_refused() -> None:
    async def main(world: World) -> None:
        async with world.session(Safe, SafeServer()) as safe:
            thing: Any = await safe.make()
            thing._pinfut_target.id += 1 << 32
            with pytest.raises(UnknownObject):
                await safe.mine(thing)
            thing._pinfut_target.id -= 1 << 32

    run(main)


def test_an_argument_that_is_no_capability_is_a_bad_one() -> None:
    async def main(world: World) -> None:
        async with world.session(Plain, SafeServer()) as safe:
            with pytest.raises((BadArguments, ForeignCapability)):
                await safe.mine("no capability")
            with pytest.raises((BadArguments, ForeignCapability)):
                await safe.mine(5)

    run(main)


class Plain(Interface, Protocol, name="Safe"):
    """As a client has it that sends what it likes."""

    @method
    async def make(self, seconds: float = 0.0) -> Thing: ...
    @method
    async def pair(self, before: str, own: Thing, same: Thing) -> str: ...
    @method
    async def mine(self, thing: str | int) -> str: ...
    @method
    async def from_here(self, thing: Thing) -> str: ...
    @method
    async def lend(self, thing: Thing) -> Thing: ...


def taking(kind: Any) -> Interface:
    """An object whose method takes a value of this type."""

    class Takes(Interface, Protocol):
        @method
        async def call(self, value: kind) -> None: ...

    class TakesServer(Takes):
        @method
        async def call(self, value: kind) -> None:
            return None

    return TakesServer()


def giving(kind: Any) -> Interface:
    """An object whose method gives a value of this type."""

    class Gives(Interface, Protocol):
        @method
        async def call(self) -> kind: ...

    class GivesServer(Gives):
        @method
        async def call(self) -> kind:
            raise AssertionError

    return GivesServer()


def serves(thing: Interface) -> None:
    async def main(world: World) -> None:
        serve(world.kernel, "it", thing)

    run(main)


@pytest.mark.parametrize(
    "kind",
    [list[Own[Thing]], Holder, Own[Thing] | None, Annotated[list[Same[Thing]], "x"], Own[int]],
)
def test_a_demand_inside_of_a_parameter_is_refused_by_name(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"are for the whole of a parameter, "):
        serves(taking(kind))


@pytest.mark.parametrize("kind", [Own[Thing], list[Same[Thing]]])
def test_a_demand_on_a_result_is_refused_by_name(kind: Any) -> None:
    with pytest.raises(TypeError, match="are for the whole of a parameter, and not for a result"):
        serves(giving(kind))


def test_a_class_that_demands_more_than_its_interface_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match=r"lend demands more of 'thing' than <method Safe\.lend>"):

        class Demanding(SafeServer):
            @method
            async def lend(self, thing: Own[Thing]) -> Thing:
                return thing

    with pytest.raises(TypeError, match="from_here demands more of 'thing'"):

        class Stricter(SafeServer):
            @method
            async def from_here(self, thing: Own[Thing]) -> str:
                return await thing.name()


@pytest.mark.parametrize("kind", [msgspec.Raw, list[msgspec.Raw], dict[str, msgspec.Raw]])
@pytest.mark.parametrize("having", [taking, giving])
def test_raw_messages_are_refused_by_name(having: Any, kind: Any) -> None:
    with pytest.raises(TypeError, match=r"msgspec\.Raw would be sent unseen.*use bytes"):
        serves(having(kind))
