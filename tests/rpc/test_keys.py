"""Keys that are chosen by their hash: what it takes to decode them is bounded before it is done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypedDict
from uuid import UUID

import msgspec
import pytest

from pinfut.rpc import BadArguments, Interface, MessageTooLarge, connect, method, serve
from pinfut.rpc.contract import MESSAGE
from pinfut.rpc.lab.hostile.raw import call
from pinfut.rpc.objects.codec import SQUARE, Codec
from pinfut.rpc.objects.expansion import foreseen, shortest
from pinfut.rpc.wire.frames import RETURN_HEAD
from tests.rpc.hostile import Raw
from tests.rpc.world import World, quiet, run

compared: list[int] = []


@dataclass(frozen=True)
class Key:
    the_number_of_this_key: int

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        compared.append(1)
        return (
            isinstance(other, Key) and other.the_number_of_this_key == self.the_number_of_this_key
        )


class Held(msgspec.Struct):
    keys: set[Key] = set()


class Item(Interface, Protocol):
    @method
    async def poke(self) -> int: ...


class Keys(Interface, Protocol):
    @method
    async def keys(self, keys: set[Key]) -> int: ...
    @method
    async def held(self, held: list[Held]) -> int: ...
    @method
    async def by(self, by: dict[Key, Item]) -> int: ...
    @method(answer=1 << 17)
    async def give(self, count: int) -> set[Key]: ...
    @method
    async def pairs(self, pairs: list[tuple[Key, int]]) -> int: ...


KEYS, HELD, BY, GIVE, PAIRS = range(5)


class KeysServer(Keys):
    @method
    async def keys(self, keys: set[Key]) -> int:
        return len(keys)

    @method
    async def held(self, held: list[Held]) -> int:
        return sum(len(one.keys) for one in held)

    @method
    async def by(self, by: dict[Key, Item]) -> int:
        return len(by)

    @method(answer=1 << 17)
    async def give(self, count: int) -> set[Key]:
        keys = {Key(n) for n in range(count)}
        compared.clear()
        return keys

    @method
    async def pairs(self, pairs: list[tuple[Key, int]]) -> int:
        return len(pairs)


def keys_of(count: int) -> list[dict[str, int]]:
    return [{"the_number_of_this_key": n} for n in range(count)]


def message(kind: int, count: int) -> list[Any]:
    """Arguments with so many keys."""
    if kind == BY:
        return [
            msgspec.Raw(
                b"\xde"
                + count.to_bytes(2, "big")
                + (b"\x81\xb6the_number_of_this_key\x01\x00") * count
            )
        ]
    return [[{"keys": keys_of(count)}] if kind == HELD else keys_of(count)]


@pytest.fixture(autouse=True)
def _none_compared() -> Iterator[None]:
    compared.clear()
    yield
    compared.clear()


@pytest.mark.parametrize("kind", [KEYS, HELD, BY], ids=["set", "in structs", "to objects"])
@pytest.mark.parametrize(("most", "longest"), [(1 << 20, 16_384), (4096, 1024)])
def test_a_server_compares_no_key_of_a_message_that_is_long(
    most: int, longest: int, kind: int
) -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "keys", KeysServer(), max_message=most),
            connect(world.kernel, "keys", Keys, world.bank("victim")) as victim,
        ):
            raw = Raw(world.kernel, "keys", world.bank("hostile", pages=6000), 64, 1 << 16)
            await raw.bootstrap(Keys)
            count = next(n for n in range(999) if len(payload(kind, n)) > longest)
            raw.send(call(64, 0, kind, payload=payload(kind, count)))
            await quiet()
            assert isinstance(raw.error(), MessageTooLarge)
            assert compared == []
            # One key less is decoded, and that takes the square.
            raw.send(call(65, 0, kind, payload=payload(kind, count - 1)))
            await quiet()
            if kind == BY:
                assert isinstance(raw.error(), BadArguments)  # it names an object that is not there
            else:
                given = raw.lane.submissions.read(0)[RETURN_HEAD.size :]
                assert msgspec.msgpack.decode(given) == count - 1
                assert len(compared) >= (count - 1) * (count - 2) // 2
            assert not raw.closed
            assert await victim.pairs([]) == 0
            raw.leave()
            await quiet()

    run(main)


def payload(kind: int, count: int) -> bytes:
    return msgspec.msgpack.encode(message(kind, count))


def test_a_caller_is_told_before_anything_is_sent_and_what_to_send_instead() -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "keys", KeysServer()),
            connect(world.kernel, "keys", Keys, world.bank(pages=3000), ring=1 << 18) as keys,
        ):
            many = [Key(n) for n in range(1000)]
            with pytest.raises(MessageTooLarge, match="a list of pairs"):
                keys.keys(many)  # type: ignore[arg-type]
            with pytest.raises(MessageTooLarge, match="str, bytes or date as keys"):
                keys.held([Held(keys=many)])  # type: ignore[arg-type]
            assert compared == []
            assert await keys.pairs([(one, 1) for one in many]) == 1000
            assert await keys.keys({Key(1), Key(2)}) == 2

    run(main)


def test_a_result_is_bounded_where_it_is_made_and_where_it_is_read() -> None:
    async def main(world: World) -> None:
        async with (
            serve(world.kernel, "keys", KeysServer()),
            connect(world.kernel, "keys", Keys, world.bank()) as keys,
        ):
            assert len(await keys.give(10)) == 10
            with pytest.raises(MessageTooLarge):
                await keys.give(1000)
            assert compared == []

    run(main)
    decode = Codec(set[Key], Interface).decode
    long = msgspec.msgpack.encode(keys_of(1000))
    assert len(long) > SQUARE
    with pytest.raises(MessageTooLarge):
        decode(long)
    with pytest.raises(MessageTooLarge):
        Codec(dict[Key, Item], Interface).decode_caps(payload(BY, 1000)[1:], lambda n, _: n)
    assert compared == []
    assert len(decode(msgspec.msgpack.encode(keys_of(100)))) == 100


def test_the_bound_is_that_of_the_square() -> None:
    assert shortest(MESSAGE) == SQUARE == 16_384
    for longest in (256, 4096, 1 << 16, 1 << 24):
        assert shortest(longest) ** 2 == 256 * longest


# ---- which hashes can be foreseen ----


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Place(NamedTuple):
    street: str
    number: int


class Street(NamedTuple):
    town: str
    street: str


@dataclass(frozen=True)
class Chain:
    """As many as one likes, each of which has one of two values."""

    on: bool
    more: Chain | None = None


class Named(TypedDict):
    by: dict[str, dict[int, str]]


Naive = Annotated[datetime, msgspec.Meta(tz=False)]

KNOWN: tuple[Any, ...] = (
    *(Any, dict, set, frozenset, list[Any], dict[str, Any]),
    *(set[int], set[float], set[UUID], set[Decimal], set[timedelta], set[datetime], set[time]),
    *(dict[int, str], dict[str | int, str], dict[Annotated[int, msgspec.Meta(ge=0)], str]),
    *(set[Place], set[Key], set[Chain], set[tuple[int, ...]], set[tuple[bool, ...]], Named),
    *(set[frozenset[Level]], dict[tuple[str, int], str], Held, list[list[Held] | None]),
    *(set[tuple[Literal[1, 2], ...]], tuple[int, dict[tuple[str, UUID], None]]),
)

SECRET: tuple[Any, ...] = (
    *(int, list[int], list[UUID], list[tuple[int, Decimal]], dict[str, int], set[str]),
    *(dict[bytes, list[float]], set[date], set[Naive], dict[str | None, int], set[bool]),
    *(dict[Level, int], dict[Literal[1, 2], int], set[tuple[str, ...]], set[Street]),
    *(frozenset[frozenset[str]], Place, Chain, list[Key], set[memoryview]),
)


@pytest.mark.parametrize("kind", KNOWN, ids=str)
def test_hashes_of_numbers_and_of_what_is_made_of_them_can_be_foreseen(kind: Any) -> None:
    assert foreseen(kind)


@pytest.mark.parametrize("kind", SECRET, ids=str)
def test_hashes_of_text_bytes_and_dates_cannot(kind: Any) -> None:
    assert not foreseen(kind)


SALTED = '("a", b"a", d.date(2026, 1, 1), d.datetime(2026, 1, 1), memoryview(b"abc"), ("a", "b"))'
KNOWN_VALUES = (
    '(1, 0.5, (1, 2), uuid.UUID(int=5), decimal.Decimal("0.5"), d.timedelta(3), '
    "d.datetime(2026, 1, 1, tzinfo=d.timezone.utc), d.time(3, tzinfo=d.timezone.utc), (True,))"
)


def hashes(values: str, salt: int) -> list[str]:
    """The hashes of values in a process that was started with this salt."""
    program = f"import datetime as d, decimal, uuid; print(*map(hash, {values}))"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": str(salt)},
        capture_output=True,
        check=True,
        text=True,
    )
    return told.stdout.split()


def test_what_is_called_secret_has_another_hash_in_each_process_and_the_rest_has_not() -> None:
    first, second = hashes(SALTED, 1), hashes(SALTED, 2)
    assert len(first) == 6
    assert [one for one, other in zip(first, second, strict=True) if one == other] == []
    assert len(hashes(KNOWN_VALUES, 1)) == 9
    assert hashes(KNOWN_VALUES, 1) == hashes(KNOWN_VALUES, 2)
