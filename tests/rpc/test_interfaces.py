"""Declaring interfaces: what works, and what is refused with an error that says the fix."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Sequence  # noqa: F401  # named in what is executed
from typing import Any, Protocol

import pytest

from pinfut.rpc import Interface, InterfaceMismatch, SimKernel, connect, method, serve
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, run

# ---- refused when they are declared ----


def test_a_method_that_is_not_async_is_refused() -> None:
    with pytest.raises(TypeError, match="async def call"):

        class Wrong(Interface, Protocol):
            @method  # type: ignore[arg-type]
            def call(self) -> int: ...


@pytest.mark.parametrize("kind", ["*args", "**kwargs"])
def test_star_arguments_are_refused(kind: str) -> None:
    source = (
        f"class Wrong(Interface, Protocol):\n    @method\n    async def call(self, {kind}): ..."
    )
    names = {"Interface": Interface, "Protocol": Protocol, "method": method, "__name__": __name__}
    with pytest.raises(TypeError, match=r"\*args and \*\*kwargs cannot be called"):
        exec(source, names)


def test_keyword_only_parameters_are_refused() -> None:
    with pytest.raises(TypeError, match="'n' is keyword-only"):

        class Wrong(Interface, Protocol):
            @method
            async def call(self, *, n: int) -> int: ...


def test_an_async_function_without_the_mark_is_refused_in_an_interface() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.call: write @method above it"):

        class Wrong(Interface, Protocol):
            async def call(self) -> int: ...


def test_an_implementation_without_the_mark_is_refused() -> None:
    class Right(Interface, Protocol):
        @method
        async def call(self) -> int: ...

    with pytest.raises(TypeError, match=r"Wrong\.call implements .*write @method above it"):

        class Wrong(Right):
            async def call(self) -> int:  # type: ignore[override]
                return 1


def test_an_implementation_with_other_parameter_names_is_refused() -> None:
    class Right(Interface, Protocol):
        @method
        async def call(self, one: int, two: int) -> int: ...

    for names in ("self, one", "self, two, one", "self, one, two, three", "self, one, zwei"):
        body = f"class Wrong(Right):\n    @method\n    async def call({names}): return 1\n"
        with pytest.raises(TypeError, match=r"Wrong\.call.*takes \(one, two\)"):
            exec(body, {"Right": Right, "method": method, "__name__": __name__})


def test_an_interface_that_extends_two_is_refused() -> None:
    class Left(Interface, Protocol):
        @method
        async def left(self) -> int: ...

    class Right(Interface, Protocol):
        @method
        async def right(self) -> int: ...

    with pytest.raises(TypeError, match="extends one other"):

        class Both(Left, Right, Protocol):
            pass


def test_a_name_belongs_to_an_interface_and_not_to_what_implements_it() -> None:
    with pytest.raises(TypeError, match="name= belongs to an interface"):

        class Wrong(ThingServer, name="Other"):
            pass


# ---- refused when they are used ----


def use(implementation: Interface) -> None:
    """What makes the annotations be looked up."""
    serve(SimKernel(), "x", implementation)


def test_missing_annotations_are_named() -> None:
    class Bare(Interface, Protocol):
        @method
        async def call(self, one, two: int): ...  # type: ignore[no-untyped-def]

    class BareServer(Bare):
        @method
        async def call(self, one, two: int):  # type: ignore[no-untyped-def]
            return 1

    with pytest.raises(TypeError, match=r"call: annotate one, return"):
        use(BareServer())


def test_unknown_names_in_annotations_are_named() -> None:
    class Vague(Interface, Protocol):
        @method
        async def call(self, one: Unheard) -> int: ...  # type: ignore[name-defined]  # noqa: F821

    class VagueServer(Vague):
        @method
        async def call(self, one: Unheard) -> int:  # type: ignore[name-defined]  # noqa: F821
            return 1

    with pytest.raises(TypeError, match="'Unheard' is not known here"):
        use(VagueServer())


class Plain:
    """Neither data that can be written down nor a capability."""


@pytest.mark.parametrize("where", ["argument", "result", "in a list", "in a dataclass"])
def test_types_that_are_no_data_are_refused_by_name(where: str) -> None:
    @dataclasses.dataclass
    class Around:
        plain: Plain

    types_ = {"argument": Plain, "result": Plain, "in a list": list[Plain]}
    kind: Any = types_.get(where, Around)

    async def call(self: Any, one: Any) -> Any:
        return one

    call.__annotations__ = {"one": kind, "return": int}
    if where == "result":
        call.__annotations__ = {"one": int, "return": kind}

    meta: Any = type(Interface)
    body = {"call": method(call), "__module__": __name__}
    interface = meta("Opaque", (Interface, Protocol), body)
    server = meta("OpaqueServer", (interface,), {**body, "call": method(call)})
    with pytest.raises(TypeError, match="plain data and capabilities"):
        use(server())


def test_an_interface_cannot_be_served_without_an_implementation() -> None:
    class Bare(Interface, Protocol):
        @method
        async def call(self) -> int: ...

    with pytest.raises(TypeError):
        use(Bare())  # type: ignore[misc]
    with pytest.raises(TypeError, match="has to implement an Interface"):
        use(Bare)  # type: ignore[arg-type]


# ---- what works ----


class Base(Interface, Protocol):
    @method
    async def first(self) -> str: ...
    @method
    async def second(self, n: int) -> Base: ...


class Sub(Base, Protocol):
    @method
    async def third(self) -> str: ...


class Deep(Sub, Protocol):
    @method
    async def fourth(self, sub: Sub) -> Base: ...


class DeepServer(Deep):
    def __init__(self, name: str = "") -> None:
        self.title = name

    @method
    async def first(self) -> str:
        return f"first{self.title}"

    @method
    async def second(self, n: int) -> Base:
        return DeepServer(f"{self.title}.{n}")

    @method
    async def third(self) -> str:
        return f"third{self.title}"

    @method
    async def fourth(self, sub: Sub) -> Base:
        return sub


def test_an_interface_that_extends_another_has_its_methods_too() -> None:
    async def main(world: World) -> None:
        async with world.session(Deep, DeepServer()) as deep:
            assert [await deep.first(), await deep.third()] == ["first", "third"]
            assert await deep.second(1).second(2).first() == "first.1.2"
            own = DeepServer("own")
            assert await deep.fourth(own) is own
            assert await deep.fourth(deep).first() == "first"

    run(main)


def test_a_service_can_be_connected_to_by_what_it_extends() -> None:
    async def main(world: World) -> None:
        async with world.served("service", DeepServer()):
            for n, interface in enumerate((Base, Sub, Deep)):
                async with connect(world.kernel, "service", interface, world.bank(str(n))) as proxy:
                    assert await proxy.first() == "first"
        async with world.served("service", BaseServer()):
            with pytest.raises(InterfaceMismatch, match="speaks Base"):
                async with connect(world.kernel, "service", Sub, world.bank("s")):
                    raise AssertionError("connected")

    run(main)


class BaseServer(Base):
    @method
    async def first(self) -> str:
        return "base"

    @method
    async def second(self, n: int) -> Base:
        return self


class Inheriting(BaseServer):
    """Overrides one method and inherits the other."""

    @method
    async def first(self) -> str:
        return "inheriting"


def test_an_implementation_may_inherit_methods_of_another() -> None:
    async def main(world: World) -> None:
        async with world.session(Base, Inheriting()) as proxy:
            assert await proxy.first() == "inheriting"
            assert await proxy.second(1).first() == "inheriting"
        async with world.session(Base, BaseServer(), bank=world.bank("b")) as proxy:
            assert await proxy.first() == "base"

    run(main)


def test_an_object_of_an_extending_interface_is_an_argument_for_the_extended_one() -> None:
    async def main(world: World) -> None:
        class SubThing(Thing, Protocol):
            @method
            async def more(self) -> str: ...

        class SubThingServer(SubThing):
            @method
            async def name(self) -> str:
                return "sub"

            @method(answer=8192)
            async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
                return [tag]

            @method
            async def more(self) -> str:
                return "more"

        async with world.session(Desk, DeskServer()) as desk:
            own = SubThingServer()
            assert await desk.name_of(own) == "sub"
            back = await desk.back(own)
            assert back is own

    run(main)


def test_interfaces_declared_inside_a_function_work() -> None:
    async def main(world: World) -> None:
        @dataclasses.dataclass
        class Local:
            n: int

        class Inner(Interface, Protocol):
            @method
            async def echo(self, value: Local) -> Local: ...
            @method
            async def again(self) -> Inner: ...

        class InnerServer(Inner):
            @method
            async def echo(self, value: Local) -> Local:
                return value

            @method
            async def again(self) -> Inner:
                return self

        async with world.session(Inner, InnerServer()) as inner:
            assert await inner.again().again().echo(Local(3)) == Local(3)

    run(main)


class Early(Interface, Protocol):
    @method
    async def later(self, data: LaterData) -> Later: ...
    @method
    async def quoted(self, things: list["Later"]) -> "Later | None": ...  # noqa: UP037


class EarlyServer(Early):
    @method
    async def later(self, data: LaterData) -> Later:
        return LaterServer(data.n)

    @method
    async def quoted(self, things: list["Later"]) -> "Later | None":  # noqa: UP037
        return things[0] if things else None


@dataclasses.dataclass
class LaterData:
    n: int


class Later(Interface, Protocol):
    @method
    async def number(self) -> int: ...


class LaterServer(Later):
    def __init__(self, n: int) -> None:
        self.n = n

    @method
    async def number(self) -> int:
        return self.n


def test_annotations_may_name_what_is_declared_later() -> None:
    async def main(world: World) -> None:
        async with world.session(Early, EarlyServer()) as early:
            assert await early.later(LaterData(4)).number() == 4
            assert await early.quoted([]) is None
            own = LaterServer(5)
            assert await early.quoted([own]) is own

    run(main)


def _module(name: str, source: str) -> Any:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return module


HEAD = """
from __future__ import annotations
import dataclasses
from typing import Protocol
from pinfut.rpc import Interface, method
"""

BOX = (
    HEAD
    + """
class Shelf(Interface, Protocol):
    @method
    async def take(self) -> Box: ...

class Box(Interface, Protocol):
    @method
    async def {name}(self) -> int: ...

class BoxServer(Box):
    @method
    async def {name}(self) -> int: return {n}

class ShelfServer(Shelf):
    @method
    async def take(self) -> Box: return BoxServer()
"""
)

DATA = (
    HEAD
    + """
@dataclasses.dataclass
class Box:
    n: int

class Store(Interface, Protocol):
    @method
    async def put(self, box: Box) -> Box: ...

class StoreServer(Store):
    @method
    async def put(self, box: Box) -> Box: return Box(box.n + 1)
"""
)


def test_modules_that_use_the_same_names_for_their_interfaces_do_not_mix_them_up() -> None:
    async def main(world: World) -> None:
        one = _module("tests_box_one", BOX.format(name="one", n=1))
        two = _module("tests_box_two", BOX.format(name="two", n=2))
        data = _module("tests_box_data", DATA)
        # The one that was declared first is looked up last.
        async with world.session(data.Store, data.StoreServer(), bank=world.bank("d")) as store:
            assert await store.put(data.Box(1)) == data.Box(2)
        async with world.session(two.Shelf, two.ShelfServer(), bank=world.bank("two")) as shelf:
            assert await shelf.take().two() == 2
        async with world.session(one.Shelf, one.ShelfServer(), bank=world.bank("one")) as shelf:
            assert await shelf.take().one() == 1

    run(main)


def test_isinstance_asks_for_the_class_and_not_for_the_shape() -> None:
    class Lookalike:
        async def name(self) -> str:
            return ""

        async def tell(self, tag: int, seconds: float = 0.0) -> list[int]:
            return []

    interface: Any = Thing  # type checkers know structural protocols only
    assert isinstance(ThingServer("t"), interface)
    assert not isinstance(Lookalike(), interface)
    assert not isinstance(DeskServer(), interface)
    assert issubclass(ThingServer, interface)
    assert not issubclass(Lookalike, interface)


def test_an_implementation_may_have_methods_of_its_own() -> None:
    class More(ThingServer):
        def plain(self) -> str:
            return "plain"

        async def coroutine(self) -> str:
            return "coroutine"

    async def main(world: World) -> None:
        async with world.session(Thing, More("m")) as thing:
            assert await thing.name() == "m"
            assert More("x").plain() == "plain"
            assert await More("x").coroutine() == "coroutine"
            with pytest.raises(AttributeError):
                thing.plain()  # type: ignore[attr-defined]

    run(main)


class Careful(Interface, Protocol):
    @method(frame=5000, answer=500)
    async def call(self, n: int = 3, text: str = "t") -> str: ...


class CarefulServer(Careful):
    @method(frame=5000, answer=500)
    async def call(self, n: int = 3, text: str = "t") -> str:
        return text * n


def test_defaults_are_those_of_the_interface_that_the_caller_has() -> None:
    async def main(world: World) -> None:
        async with world.session(Careful, CarefulServer()) as careful:
            assert await careful.call() == "ttt"
            assert await careful.call(text="x") == "xxx"
            assert await careful.call(1) == "t"

    run(main)


def test_a_class_that_leaves_a_method_out_is_refused_where_it_is_written() -> None:
    class Files(Interface, Protocol):
        @method
        async def read(self, name: str) -> bytes: ...
        @method
        async def delete(self, name: str) -> None: ...

    with pytest.raises(TypeError, match=r"Half does not implement .*delete.*async def delete"):

        class Half(Files):
            @method
            async def read(self, name: str) -> bytes:
                return b""

    with pytest.raises(TypeError, match="delte is a method of no interface"):

        class Misspelt(Files):
            @method
            async def read(self, name: str) -> bytes:
                return b""

            @method
            async def delte(self, name: str) -> None:
                return None

    class Reads(Files):
        @method
        async def read(self, name: str) -> bytes:
            return b"read"

        @method
        async def delete(self, name: str) -> None:
            return None

    class Deletes(Reads):  # what it inherits is implemented
        @method
        async def delete(self, name: str) -> None:
            return None

    assert [one.name for one in Deletes._pinfut_methods] == ["read", "delete"]

    with pytest.raises(TypeError, match=r"Slip\.delet is called almost as 'delete'"):

        class Slip(Reads):  # and not what it means to override
            async def delet(self, name: str) -> None:
                return None

    with pytest.raises(TypeError, match=r"Stray\.remove is a method of no interface"):

        class Stray(Reads):
            @method
            async def remove(self, name: str) -> None:
                return None


class Typed(Interface, Protocol):
    @method
    async def call(self, n: int, names: list[str]) -> float | None: ...
    @method
    async def thing(self) -> Thing: ...


OTHERWISE = {
    "a parameter": ("n: str, names: list[str]", "float | None", "Thing", "takes str as 'n'"),
    "inside of one": (
        "n: int, names: list[int]",
        "float | None",
        "Thing",
        "takes .*int.* as 'names'",
    ),
    "less than asked": ("n: bool, names: list[str]", "float | None", "Thing", "takes bool as 'n'"),
    "a result": ("n: int, names: list[str]", "str", "Thing", "returns str"),
    "a wider result": ("n: int, names: list[str]", "float | str | None", "Thing", "returns .*str"),
    "an object": ("n: int, names: list[str]", "float | None", "Desk", "returns Desk"),
}
ALIKE = {
    "the same": ("n: int, names: list[str]", "float | None", "Thing"),
    "wider parameters": ("n: int | str, names: Sequence[Any]", "float | None", "Thing"),
    "a narrower result": ("n: object, names: list[str]", "int", "ThingServer"),
    "none": ("n: float, names: Any", "None", "Thing"),
}


def _written(takes: str, gives: str, thing: str) -> None:
    """A class as somebody might write it."""
    body = (
        f"class Server(Typed):\n"
        f"    @method\n    async def call(self, {takes}) -> {gives}: return None\n"
        f"    @method\n    async def thing(self) -> {thing}: return ThingServer('t')\n"
    )
    exec(body, names := {**globals(), "__name__": __name__})
    use(names["Server"]())


@pytest.mark.parametrize("case", OTHERWISE)
def test_a_class_that_declares_a_method_with_other_types_is_refused_where_it_is_written(
    case: str,
) -> None:
    takes, gives, thing, said = OTHERWISE[case]
    with pytest.raises(TypeError, match=said) as caught:
        _written(takes, gives, thing)
    assert "__init_subclass__" in [frame.name for frame in caught.traceback]


@pytest.mark.parametrize("case", ALIKE)
def test_a_class_may_take_more_and_give_less_than_its_interface_says(case: str) -> None:
    _written(*ALIKE[case])


def test_types_that_are_known_later_are_compared_before_the_class_is_used() -> None:
    names: dict[str, Any] = {**globals(), "__name__": __name__}
    exec(
        "class Server(Typed):\n"
        "    @method\n    async def call(self, n: 'Afterwards', names: list[str]) -> None: ...\n"
        "    @method\n    async def thing(self) -> Thing: ...\n"
        "class Afterwards: pass\n",
        names,
    )
    with pytest.raises(TypeError, match="takes Afterwards as 'n'"):
        use(names["Server"]())


def test_what_an_interface_has_already_is_not_declared_again() -> None:
    with pytest.raises(TypeError, match=r"Again\.name is declared already, by Thing"):

        class Again(Thing, Protocol):
            @method
            async def name(self) -> str: ...

    class Other(Interface, Protocol):
        @method
        async def name(self) -> str: ...

    with pytest.raises(TypeError, match="extends one other, and Thing and Other are two"):

        class Two(Thing, Other, Protocol):
            pass

    with pytest.raises(TypeError, match=r"Lent\.own is <method Other\.name> already"):

        class Lent(Interface, Protocol):
            own: Any = Other.name


def test_no_method_is_called_release() -> None:
    with pytest.raises(TypeError, match=r"Lock\.release: .* no method is called that"):

        class Lock(Interface, Protocol):
            @method
            async def release(self) -> None: ...  # type: ignore[override]
