"""Payloads: what is data, what is a capability, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Generic, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.rpc.contract import MAX_CAPS
from pinfut.rpc.errors import RpcError, UnknownObject
from pinfut.rpc.objects.codec import Codec, CodecError
from pinfut.rpc.objects.interface import Interface, method
from tests.covered import covered, require
from tests.rpc.wire.fakes import Plain, Thing

X = TypeVar("X")


class Other(Interface, Protocol):
    @method
    async def other(self) -> None: ...


class OtherImpl(Other):
    @method
    async def other(self) -> None:
        return None


@dataclasses.dataclass
class Leaky(Thing):
    """Implements an interface, and would be sent as data if nobody looked."""

    secret: int

    @method
    async def poke(self, n: int) -> int:
        return n

    @method
    async def next(self) -> Thing:
        return self


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


@dataclasses.dataclass
class Holder:
    thing: Thing
    n: int = 0


@dataclasses.dataclass
class Box(Generic[X]):
    thing: Thing
    value: X


@dataclasses.dataclass
class GenericBox(Generic[X]):
    value: X


class Node(msgspec.Struct):
    kids: list[Node] = []
    thing: Thing | None = None


class PlainNode(msgspec.Struct):
    kids: list[PlainNode] = []
    n: int = 0


class Dict(TypedDict):
    thing: Thing


class Tuple(NamedTuple):
    thing: Thing
    n: int


Alias: Any = NewType("Alias", Thing)  # type: ignore[misc]  # mypy forbids protocols here

WITH: list[tuple[Any, Callable[[Any], Any]]] = [
    (Thing, lambda t: t),
    (Plain, lambda t: t),
    (Thing | None, lambda t: t),
    (list[Thing], lambda t: [t]),
    (tuple[int, Thing], lambda t: (1, t)),
    (tuple[Thing, ...], lambda t: (t,)),
    (dict[str, list[Thing]], lambda t: {"a": [t]}),
    (Annotated[Thing, "x"], lambda t: t),
    (Alias, lambda t: t),
    (Holder, lambda t: Holder(t, 3)),
    (list[Holder | None], lambda t: [None, Holder(t, 3)]),
    (Box[int], lambda t: Box(t, 3)),
    (GenericBox[Thing], lambda t: GenericBox(t)),
    (Node, lambda t: Node([Node([], t)])),
    (Dict, lambda t: {"thing": t}),
    (Tuple, lambda t: Tuple(t, 3)),
]
WITHOUT: list[Any] = [
    *(int, str, bytes, float, bool, type(None), Any, Point, PlainNode),
    *(list[int], dict[str, Point], int | None, tuple[int, str], GenericBox[int]),
]
names = [str(kind).replace("tests.rpc.wire.", "") for kind, _ in WITH]


@pytest.mark.parametrize(("kind", "make"), WITH, ids=names)
def test_a_capability_is_set_aside_wherever_it_stands(kind: Any, make: Any) -> None:
    codec = Codec(kind, Interface)
    assert codec.has_caps
    thing = Plain()
    payload, things = codec.encode_caps(make(thing))
    ((found, declared),) = things
    assert found is thing
    assert Thing in declared.__mro__
    asked: list[tuple[int, Any]] = []

    def resolve(index: int, wanted: Any) -> object:
        asked.append((index, wanted))
        return thing

    assert msgspec.to_builtins(codec.decode_caps(payload, resolve), enc_hook=id) == (
        msgspec.to_builtins(make(thing), enc_hook=id)
    )
    assert [index for index, _ in asked] == [0]
    assert all(Thing in wanted.__mro__ for _, wanted in asked)
    assert b"a thing" not in payload


@pytest.mark.parametrize(("kind", "make"), WITH, ids=names)
def test_a_dataclass_that_implements_an_interface_is_never_sent_as_data(
    kind: Any, make: Any
) -> None:
    with pytest.raises(CodecError):
        Codec(kind, Interface).encode_caps(make(Leaky(77)))


@pytest.mark.parametrize(("kind", "make"), WITH, ids=names)
@pytest.mark.parametrize(
    "wrong", [0, "0", {"poke": 1}, object()], ids=["a number", "text", "a dict", "an object"]
)
def test_what_is_no_capability_does_not_pass_for_one(kind: Any, make: Any, wrong: Any) -> None:
    """A number least of all: on the wire it would be the index of another capability."""
    with pytest.raises(CodecError):
        Codec(kind, Interface).encode_caps(make(wrong))


@pytest.mark.parametrize("kind", WITHOUT, ids=str)
def test_a_type_without_capabilities_is_plain_data(kind: Any) -> None:
    codec = Codec(kind, Interface)
    assert not codec.has_caps
    with pytest.raises(CodecError):
        codec.encode_checked(Plain())
    with pytest.raises(CodecError):
        codec.encode(Plain())


class Neither:
    pass


@pytest.mark.parametrize("kind", [Neither, list[Neither], type, Callable[[], int]], ids=str)
def test_a_type_that_is_neither_data_nor_an_interface_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError):
        Codec(kind, Interface)


VALUES: list[tuple[Any, Any, bool]] = [
    (int, 3, True),
    (int, "3", False),
    (int, 3.5, False),
    (int, True, False),
    (bool, True, True),
    (bool, 1, False),
    (float, 1.5, True),
    (float, 1, True),
    (float, True, False),
    (str, "a", True),
    (str, b"a", False),
    (bytes, b"a", True),
    (bytes, "a", False),
    (type(None), None, True),
    (type(None), 0, False),
    (list[int], [1, 2], True),
    (list[int], [1, "2"], False),
    (dict[str, int], {"a": 1}, True),
    (dict[str, int], {1: 1}, False),
    (Point, Point(1, 2.0), True),
    (Point, Point("1", 2.0), False),  # type: ignore[arg-type]
    (list[Point], [Point(1), Point(None)], False),  # type: ignore[arg-type]
    (PlainNode, PlainNode([PlainNode([], 5)]), True),
    (PlainNode, PlainNode([PlainNode([], "5")]), False),  # type: ignore[arg-type]
    (tuple[int, str], (1, "a"), True),
    (tuple[int, str], (1,), False),
    (int | None, None, True),
    (int | None, "x", False),
]


@pytest.mark.parametrize(("kind", "value", "right"), VALUES, ids=str)
def test_a_value_is_sent_only_if_the_other_side_can_read_it_as_its_type(
    kind: Any, value: Any, right: bool
) -> None:
    codec = Codec(kind, Interface)
    if right:
        assert codec.decode(codec.encode_checked(value)) == value
    else:
        with pytest.raises(CodecError):
            codec.encode_checked(value)


@pytest.mark.parametrize("wrong", [0, 1, 2], ids=str)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_number_among_capabilities_does_not_stand_for_one_of_them(wrong: int, at: int) -> None:
    mixed: list[Any] = [Plain(), Plain()]
    mixed.insert(at, wrong)
    for kind, value in (
        (list[Thing], mixed),
        (list[Holder], [Holder(one) for one in mixed]),
        (tuple[Thing, Thing, Thing], tuple(mixed)),
    ):
        with pytest.raises(CodecError):
            Codec(kind, Interface).encode_caps(value)


def test_a_capability_of_another_interface_is_the_business_of_whoever_resolves() -> None:
    payload, things = Codec(list[Thing], Interface).encode_caps([Plain(), Plain()])
    assert len(things) == 2

    def refuse(index: int, wanted: Any) -> object:
        raise UnknownObject(f"no {index}")

    with pytest.raises(UnknownObject):
        Codec(list[Thing], Interface).decode_caps(payload, refuse)


def test_an_object_of_another_interface_is_refused_before_it_is_sent() -> None:
    with pytest.raises((*CodecError, RpcError)):
        Codec(list[Thing], Interface).encode_caps([OtherImpl()])
    with pytest.raises((*CodecError, RpcError)):
        Codec(Holder, Interface).encode_caps(Holder(OtherImpl()))  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [True, 1.0, "0", None, [0], {"a": 0}, b"\x00"], ids=repr)
def test_only_a_number_is_taken_for_the_index_of_a_capability(index: Any) -> None:
    def resolve(index: int, wanted: Any) -> object:
        raise AssertionError(f"{index!r} was taken for an index")

    for kind, value in ((Thing, index), (list[Thing], [index]), (Holder, {"thing": index})):
        with pytest.raises(CodecError):
            Codec(kind, Interface).decode_caps(msgspec.msgpack.encode(value), resolve)


def test_the_capabilities_of_one_message_are_bounded() -> None:
    codec = Codec(list[Thing], Interface)
    thing = Plain()
    assert len(codec.encode_caps([thing] * MAX_CAPS)[1]) == MAX_CAPS
    with pytest.raises(CodecError):
        codec.encode_caps([thing] * (MAX_CAPS + 1))


def test_no_bytes_make_decoding_raise_anything_unexpected() -> None:
    decode_noise()
    require(covered("codec, noise"), "refused", "decoded")


@settings(max_examples=max(400, settings().max_examples))
@given(
    which=st.sampled_from(range(len(WITH))),
    noise=st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.one_of(
                st.none(), st.integers(0, 1), st.integers(-3, 3), st.text(max_size=3), st.booleans()
            ),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(["thing", "n", "value", "kids", "a"]), inner, max_size=3
                ),
            ),
            max_leaves=6,
        ).map(msgspec.msgpack.encode),
    ),
)
def decode_noise(which: int, noise: bytes) -> None:
    def resolve(index: int, wanted: Any) -> object:
        if not 0 <= index < 2:
            raise ValueError(f"there is no capability {index}")
        return Plain()

    try:
        Codec(WITH[which][0], Interface).decode_caps(noise, resolve)
    except CodecError:
        covered("codec, noise", refused=1)
    else:
        covered("codec, noise", decoded=1)
