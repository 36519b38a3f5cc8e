"""Calls on objects of this process through their interface, with no session between."""

from __future__ import annotations

from typing import ClassVar

import pytest

from pinfut import executor, join
from pinfut.executor import NoExecutor, VirtualClock, current_executor, sleep, timeout
from pinfut.rpc import method
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run


async def walk(desk: Desk) -> list[object]:
    """A program that cannot know whether the desk is here or elsewhere."""
    seen: list[object] = []
    seen.append(await desk.do(3))
    seen.append(await desk.data(4))
    seen.append(await desk.desk("a").desk("b", 0.1).make("c", 0.1).name())
    thing = await desk.make("t")
    seen.append(await join(*[thing.tell(n) for n in range(5)]))
    promise = desk.make("slow", 0.1)
    seen.append(await join(*[promise.tell(n) for n in range(5)]))
    seen.append(await desk.name_of(desk.make("argument", 0.1)))
    seen.append(await desk.names_of([thing, desk.make("x"), ThingServer("own")]))
    seen.append(await desk.same(thing, thing))
    own = ThingServer("own")
    seen.append(await desk.back(own) is own)
    seen.append(await desk.back(own).name())
    seen.append([await each.name() for each in await desk.things(3)])
    for broken in (
        lambda: desk.fail("at once").name_of(own),
        lambda: desk.fail("late", 0.1).desk("b").make("c").name(),
        lambda: desk.fail("itself", 0.1),
        lambda: desk.name_of(desk.fail("argument", 0.1).make("x")),
        lambda: desk.names_of([thing, desk.fail("in a list").make("x")]),
    ):
        try:
            await broken()
        except Exception as error:
            seen.append(str(error).removeprefix("ValueError: "))
    began = current_executor().now()
    await join(*[desk.nap(1) for _ in range(10)])
    seen.append(round(current_executor().now() - began, 3))
    with pytest.raises(TypeError):
        desk.do(1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        desk.make()  # type: ignore[call-arg]
    return seen


def test_a_program_behaves_alike_on_an_object_and_on_its_proxy() -> None:
    async def main(world: World) -> tuple[list[object], list[object]]:
        here = await walk(DeskServer())
        async with world.session(Desk, DeskServer()) as desk:
            there = await walk(desk)
        return here, there

    here, there = run(main)
    assert here == there
    assert len(here) == 17


def test_calls_on_one_local_object_arrive_in_order() -> None:
    async def main(world: World) -> None:
        desk = DeskServer()
        await join(*[desk.tell(n, 0.1 * (n % 3)) for n in range(30)])
        assert desk.told == list(range(30))

    run(main)


def test_calls_on_a_local_promise_and_on_what_comes_keep_their_order() -> None:
    async def main(world: World) -> None:
        thing = DeskServer().make("t", 0.1)
        early = [thing.tell(n) for n in range(5)]
        there = await thing
        late = [thing.tell(n) for n in range(5, 10)]
        assert (await join(*early, *late))[-1] == list(range(10))
        assert isinstance(there, ThingServer)
        assert await there.tell(10) == list(range(11))

    run(main)


def test_awaiting_a_local_object_gives_the_object_itself() -> None:
    async def main(world: World) -> None:
        thing = ThingServer("t")
        assert await thing is thing
        promise: Thing = DeskServer().back(thing)
        assert await promise is thing

    run(main)


class Formatted(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"there is no {name}")
        self.name = name


class Kept(Exception):
    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(code)
        self.reason = reason


class Coded(Exception):
    WORDS: ClassVar[dict[int, str]] = {1: "one"}

    def __init__(self, code: int) -> None:
        super().__init__(self.WORDS[code])


def test_errors_of_any_shape_go_down_a_local_chain_unchanged() -> None:
    class Broken(DeskServer):
        @method
        async def fail(self, message: str, seconds: float = 0.0) -> Desk:
            await sleep(seconds)
            if message == "kept":
                raise Kept(7, reason="because")
            if message == "coded":
                raise Coded(1)
            raise Formatted(message)

    async def main(world: World) -> None:
        desk = Broken()
        for _ in range(2):
            with pytest.raises(Formatted, match=r"^there is no door$") as caught:
                await desk.fail("door").desk("x").make("y").name()
            assert caught.value.name == "door"
            with pytest.raises(Kept) as kept:
                await desk.fail("kept", 0.1).desk("x").make("y")
            assert kept.value.args == (7,)
            assert kept.value.reason == "because"
            with pytest.raises(Coded, match=r"^one$"):
                await desk.fail("coded").desk("x").make("y")
        broken = desk.fail("door")
        for _ in range(3):
            with pytest.raises(Formatted, match=r"^there is no door$"):
                await broken

    run(main)


def test_a_local_call_that_times_out_leaves_the_object_usable() -> None:
    async def main(world: World) -> None:
        desk = DeskServer()
        with pytest.raises(TimeoutError), timeout(0.1):
            await desk.nap(1)
        with pytest.raises(TimeoutError), timeout(0.1):
            await desk.desk("x", 1).make("y").name()
        assert await desk.do(1) == 1
        await sleep(3)
        await quiet()

    run(main)


def test_a_local_call_needs_a_running_executor() -> None:
    with pytest.raises(NoExecutor):
        DeskServer().do(1)


def test_local_calls_need_no_kernel() -> None:
    async def main() -> str:
        return await DeskServer().desk("a").make("b").name()

    assert executor.run(main(), clock=VirtualClock()) == "a/b"


class Counts:
    """No interface of its own: a part of those that have one."""

    @method
    async def do(self, n: int) -> int:
        return n


class Parent(DeskServer):
    @method
    async def make(self, name: str, seconds: float = 0.0) -> Thing:
        return ThingServer(f"parent's {name}")


class Child(Counts, Parent):
    @method
    async def do(self, n: int) -> int:
        return 10 + await super().do(n)

    @method
    async def make(self, name: str, seconds: float = 0.0) -> Thing:
        return super().make(f"child's {name}")

    @method
    async def name_of(self, thing: Thing) -> str:
        return await super().make("own").name()


def test_a_method_may_call_the_one_that_it_overrides() -> None:
    """Of a parent that nobody has used by itself, and of one that implements nothing."""

    async def ask(desk: Desk) -> tuple[object, ...]:
        thing = ThingServer("x")
        return await join(desk.do(1), desk.make("y").name(), desk.name_of(thing))

    async def main(world: World) -> None:
        expected = (11, "parent's child's y", "parent's own")
        async with world.session(Desk, Child()) as desk:
            assert await ask(desk) == expected
        assert await ask(Child()) == expected

    run(main)
