"""An object is used as the interface that it was granted as, whatever else its class implements."""

from __future__ import annotations

from typing import Any, Protocol, cast

import pytest

from pinfut.executor import sleep
from pinfut.rpc import (
    ForeignCapability,
    Interface,
    InterfaceMismatch,
    UnknownMethod,
    Vat,
    connect,
    introduce,
    method,
)
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import Target
from pinfut.rpc.objects.proxy import target_of
from tests.covered import covered, require
from tests.rpc.world import World, only, run


class Files(Interface, Protocol):
    @method
    async def delete(self, name: str) -> str: ...
    @method
    async def close(self) -> str: ...


class Reader(Interface, Protocol):
    @method
    async def read(self, name: str) -> str: ...


class Root(Interface, Protocol):
    @method
    async def reader(self, seconds: float = 0.0) -> Reader: ...
    @method
    async def files(self, seconds: float = 0.0) -> Files: ...
    @method(answer=512)
    async def both(self) -> tuple[Reader, Files]: ...
    @method
    async def wipe(self, files: Files) -> str: ...
    @method
    async def show(self, reader: Reader) -> str: ...
    @method
    async def anything(self) -> Interface: ...


class Both(Files, Reader):
    """Number 0 is `delete` of one interface, and `read` of the other."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    @method
    async def delete(self, name: str) -> str:
        self.deleted.append(name)
        return f"deleted {name}"

    @method
    async def close(self) -> str:
        return "closed"

    @method
    async def read(self, name: str) -> str:
        return f"read {name}"


class RootServer(Root):
    def __init__(self) -> None:
        self.object = Both()

    @method
    async def reader(self, seconds: float = 0.0) -> Reader:
        if seconds:
            await sleep(seconds)
        return self.object

    @method
    async def files(self, seconds: float = 0.0) -> Files:
        if seconds:
            await sleep(seconds)
        return self.object

    @method(answer=512)
    async def both(self) -> tuple[Reader, Files]:
        return self.object, self.object

    @method
    async def wipe(self, files: Files) -> str:
        return await files.delete("all")

    @method
    async def show(self, reader: Reader) -> str:
        return await reader.read("it")

    @method
    async def anything(self) -> Interface:
        return self.object


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["there", "to come"])
def test_a_class_of_two_interfaces_serves_each_by_its_own_numbers(seconds: float) -> None:
    async def main(world: World) -> None:
        async with world.session(Root, RootServer()) as root:
            assert await root.reader(seconds).read("a") == "read a"
            assert await root.files(seconds).delete("a") == "deleted a"
            reader, files = await root.reader(seconds), await root.files(seconds)
            assert (await reader.read("b"), await files.close()) == ("read b", "closed")
            reader, files = await root.both()
            assert (await reader.read("c"), await files.delete("c")) == ("read c", "deleted c")

    run(main)


def test_an_own_object_is_called_back_as_what_it_was_handed_over_as() -> None:
    async def main(world: World) -> None:
        async with world.session(Root, RootServer()) as root:
            own = Both()
            assert await root.show(own) == "read it"
            assert await root.wipe(own) == "deleted all"

    run(main)


def test_the_root_is_served_as_the_interface_that_a_client_connects_as() -> None:
    async def main(world: World) -> None:
        async with world.served("service", Both()):
            async with connect(world.kernel, "service", Reader, world.bank("r")) as reader:
                assert await reader.read("x") == "read x"
            async with connect(world.kernel, "service", Files, world.bank("f")) as files:
                assert await files.delete("x") == "deleted x"
            with pytest.raises(InterfaceMismatch, match="speaks Files and Reader"):
                async with connect(world.kernel, "service", Root, world.bank("n")):
                    raise AssertionError("connected")

    run(main)


def test_what_implements_no_interface_is_refused_and_the_server_goes_on() -> None:
    class Nothing(Interface):
        pass

    async def main(world: World) -> None:
        async with world.served("service", Nothing()), world.served("other", Both()):
            with pytest.raises(InterfaceMismatch, match="speaks no interface"):
                async with connect(world.kernel, "service", Reader, world.bank("n")):
                    raise AssertionError("connected")
            async with connect(world.kernel, "other", Reader, world.bank("r")) as reader:
                assert await reader.read("x") == "read x"

    run(main)


def _by_number(target: Target, method_: Any, number: int) -> Any:
    """A call for a number of the target's own, whatever its interface has there."""
    forged = cast(Method, method_).served_by(method_.function, None, 0)
    forged.number, forged.calling = number, None
    return target.caller.call(None, target, forged, ("x",))


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["awaited", "pipelined"])
def test_no_number_reaches_a_method_of_an_interface_that_was_not_granted(seconds: float) -> None:
    async def main(world: World) -> None:
        async with world.session(Root, RootServer()) as root:
            reader = root.reader(seconds)
            if not seconds:
                await reader
            target = target_of(reader)
            assert target is not None
            answers: list[str] = []
            refused = 0
            for number in range(8):
                try:
                    answers.append(await _by_number(target, Reader.read, number))
                except UnknownMethod:
                    refused += 1
            assert answers == ["read x"]
            require(covered("numbers beyond a facet", refused=refused), "refused")

    run(main)


class Swapped(Interface, Protocol, name="Root"):
    """The root as a client has it that was told wrong: what is a Reader there is Files here."""

    @method
    async def reader(self, seconds: float = 0.0) -> Files: ...
    @method
    async def files(self, seconds: float = 0.0) -> Reader: ...
    @method(answer=512)
    async def both(self) -> tuple[Files, Reader]: ...
    @method
    async def wipe(self, files: Reader) -> str: ...
    @method
    async def show(self, reader: Files) -> str: ...
    @method
    async def anything(self) -> Interface: ...


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["there", "to come"])
def test_a_client_that_expects_another_interface_is_refused_and_nothing_runs(
    seconds: float,
) -> None:
    """The wire cannot tell the two roots apart: names and parameters are the same."""

    async def main(world: World) -> None:
        async with (
            world.served("service", server := RootServer()) as vat,
            connect(world.kernel, "service", Swapped, world.bank()) as root,
        ):
            with pytest.raises(InterfaceMismatch, match="gave a Reader"):
                await root.reader(seconds).delete("precious")
            with pytest.raises(InterfaceMismatch, match="expected an object of Files"):
                await root.reader(seconds)
            with pytest.raises(InterfaceMismatch):
                await root.both()
            with pytest.raises(InterfaceMismatch, match="expected an object of Reader"):
                await root.show(Both())
            assert server.object.deleted == []
            assert not only(vat).peer.open_answers()

    run(main)


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["there", "to come"])
def test_a_facet_that_comes_back_counts_as_what_it_was_granted_as(seconds: float) -> None:
    """The server's own object again, and not as all that its class implements."""

    async def main(world: World) -> None:
        async with world.session(Root, RootServer()) as root:
            reader, files = root.reader(seconds), root.files(seconds)
            if not seconds:
                await reader
                await files
            assert await root.show(reader) == "read it"
            assert await root.wipe(files) == "deleted all"

    run(main)


class Widening(Interface, Protocol, name="Root"):
    """The root as a client has it that hands Readers back as Files."""

    @method
    async def reader(self, seconds: float = 0.0) -> Reader: ...
    @method
    async def files(self, seconds: float = 0.0) -> Files: ...
    @method(answer=512)
    async def both(self) -> tuple[Reader, Files]: ...
    @method
    async def wipe(self, files: Reader) -> str: ...
    @method
    async def show(self, reader: Reader) -> str: ...
    @method
    async def anything(self) -> Interface: ...


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["there", "to come"])
def test_a_facet_is_not_widened_by_handing_it_back(seconds: float) -> None:
    async def main(world: World) -> None:
        async with world.session(Widening, RootServer()) as root:
            reader = root.reader(seconds)
            if not seconds:
                await reader
            assert await root.show(reader) == "read it"
            with pytest.raises(InterfaceMismatch, match="handed out as a Reader"):
                await root.wipe(reader)

    run(main)


class Editor(Reader, Protocol):
    @method
    async def write(self, text: str) -> str: ...


class Page(Editor):
    @method
    async def read(self, name: str) -> str:
        return f"read {name}"

    @method
    async def write(self, text: str) -> str:
        return f"written {text}"


class Names(Interface, Protocol):
    """Keeps for its clients what it need not know."""

    @method
    async def reader(self, seconds: float = 0.0) -> Reader: ...
    @method
    async def editor(self, seconds: float = 0.0) -> Editor: ...
    @method
    async def put(self, thing: Interface) -> int: ...
    @method
    async def get(self) -> Interface: ...
    @method(answer=512)
    async def listed(self) -> list[Interface]: ...


class NamesServer(Names):
    def __init__(self) -> None:
        self.page = Page()
        self.kept: list[Interface] = []

    @method
    async def reader(self, seconds: float = 0.0) -> Reader:
        await sleep(seconds)
        return self.page

    @method
    async def editor(self, seconds: float = 0.0) -> Editor:
        await sleep(seconds)
        return self.page

    @method
    async def put(self, thing: Interface) -> int:
        self.kept = [await thing]
        return 1

    @method
    async def get(self) -> Interface:
        return self.kept[0]

    @method(answer=512)
    async def listed(self) -> list[Interface]:
        return self.kept


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["there", "to come"])
def test_a_facet_is_not_widened_by_who_takes_and_gives_any_interface(seconds: float) -> None:
    async def main(world: World) -> None:
        async with world.session(Names, NamesServer()) as names:
            refused = passed = 0
            for give, numbers in ((names.reader, 1), (names.editor, 2)):
                thing = give(seconds)
                if not seconds:
                    await thing
                await names.put(thing)
                for back in (await names.get(), *await names.listed()):
                    target = target_of(back)
                    assert target is not None
                    assert await _by_number(target, Reader.read, 0) == "read x"
                    if numbers == 1:
                        with pytest.raises(UnknownMethod):
                            await _by_number(target, Reader.read, 1)
                        refused += 1
                    else:
                        assert await _by_number(target, Reader.read, 1) == "written x"
                        passed += 1
            require(covered("facets of any interface", refused=refused, passed=passed), "refused")

    run(main)


def test_interface_itself_grants_what_an_object_is_when_that_is_one() -> None:
    class One(RootServer):
        @method
        async def anything(self) -> Interface:
            return _Reading()

    async def main(world: World) -> None:
        async with world.session(Root, RootServer()) as root:
            with pytest.raises(Exception, match="Both implements Files and Reader"):
                await root.anything()
        async with (
            world.served("one", One()) as vat,
            connect(world.kernel, "one", Root, world.bank("two")) as root,
        ):
            given = await root.anything()
            exports = only(vat).peer.exports
            assert [facet[2] for facet in exports.things.values()] == [Root, Reader]
            del given

    run(main)


class _Reading(Reader):
    @method
    async def read(self, name: str) -> str:
        return "read by one"


def test_what_is_introduced_is_what_was_granted() -> None:
    async def main(world: World) -> None:
        async with (
            world.served("a", RootServer()),
            world.served("b", RootServer()),
        ):
            vat = Vat(world.kernel, "client")
            bank = world.bank()
            async with (
                connect(world.kernel, "a", Root, bank, vat=vat) as a,
                connect(world.kernel, "b", Root, bank, vat=vat) as b,
            ):
                reader = await introduce(await a.reader(), b)
                assert await b.show(reader) == "read it"
                with pytest.raises((InterfaceMismatch, ForeignCapability, TypeError)):
                    await b.wipe(cast(Any, reader))
                disguised: Any = await a.reader()
                target_of(disguised).interface = Files  # type: ignore[union-attr]
                with pytest.raises(InterfaceMismatch):
                    await introduce(disguised, b)
            await vat.close()

    run(main)
