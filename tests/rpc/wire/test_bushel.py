"""Bushels and imports: ids that are never used again, counts and charges that are exact."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut.rpc import prices
from pinfut.rpc.bank.bank import PAGE, Bank, SessionAccount
from pinfut.rpc.bank.share import Share
from pinfut.rpc.errors import GarbageFrame, OutOfCaps, OutOfPages, UnknownObject
from pinfut.rpc.objects.interface import Interface, method, resolve
from pinfut.rpc.wire.exports import Bushel
from pinfut.rpc.wire.imports import Imports
from tests.bounded import rounds
from tests.covered import covered, require
from tests.rpc.wire.fakes import Costly, Plain, Thing, wealthy

NAME = "bushel equals its oracle"


def price(thing: Any) -> int:
    return prices.EXPORT + int(type(thing)._pinfut_charge)


def test_a_bushel_names_each_object_by_one_id_and_no_id_twice() -> None:
    """Rows 45 to 48: index and generation, and a released id names nothing (T2)."""

    follow_a_bushel()
    require(
        covered(NAME),
        "granted",
        "again",
        "released",
        "partly",
        "over",
        "stale",
        "index_reused",
        "reused_in_a_crowd",
        "held_when_released",
        "back_while_held",
        "emptied",
    )


@settings(max_examples=max(100, settings().max_examples))
@given(
    beside=st.sampled_from([0, 0, 24]),
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("grant", "grant", "grant", "release", "release", "release", "over", "stale"),
                    *("zero", "hold", "unhold", "all", "hold, release", "hold, release, grant"),
                ]
            ),
            st.integers(0, 99),
            st.integers(1, 4),
        ),
        min_size=20,
        max_size=60,
    ),
)
def follow_a_bushel(beside: int, steps: list[tuple[str, int, int]]) -> None:
    """`beside`: so many objects stay, and the tables have no reason to be made small."""
    account = wealthy()
    bushel = Bushel(account)
    things: list[Any] = [Plain(), Costly(), Plain(), Plain(), Costly()]
    kept: dict[int, Any] = {}  # what is handed out, or held by an answer
    uses: Counter[int] = Counter()
    holds: Counter[int] = Counter()
    gone: set[int] = set()
    counts: Counter[str] = Counter()

    def forget(number: int) -> None:
        if not (uses[number] or holds[number]):
            del kept[number]
            gone.add(number)
            counts["emptied"] += not kept

    def grant(thing: Any) -> None:
        number = bushel.grant(thing, Thing)
        known = [one for one, other in kept.items() if other is thing]
        if known:
            assert [number] == known, "one object under two ids"
            counts["again"] += 1
            counts["back_while_held"] += not uses[number]
        else:
            assert number not in kept
            assert number not in gone, "an id was used again"
            counts["granted"] += 1
            reused = any(one & 0xFFFF_FFFF == number & 0xFFFF_FFFF for one in gone)
            counts["index_reused"] += reused
            counts["reused_in_a_crowd"] += reused and beside > 0
        assert number < 1 << 64, "an id has 64 bits on the wire"
        kept[number] = thing
        uses[number] += 1

    def release(number: int, count: int) -> None:
        bushel.release(number, count)
        uses[number] -= count
        counts["partly"] += uses[number] > 0
        counts["released"] += not uses[number]
        counts["held_when_released"] += not uses[number] and holds[number] > 0
        forget(number)

    crowd = [Plain() for _ in range(beside)]
    for thing in crowd:
        grant(thing)
    stay = set(kept)
    for step, pick, count in steps:
        out = [number for number in kept if uses[number] and number not in stay]
        number = out[pick % len(out)] if out else -1
        if step == "grant":
            grant(things[pick % len(things)])
        elif step == "stale" and gone:
            old = sorted(gone)[pick % len(gone)]
            with pytest.raises(UnknownObject):
                bushel.get(old)
            with pytest.raises(UnknownObject):
                bushel.release(old, 1)
            counts["stale"] += 1
        elif step == "unhold" and any(holds.values()):
            number = next(one for one in kept if holds[one])
            bushel.unhold(number)
            holds[number] -= 1
            forget(number)
        elif not out:
            continue
        elif step == "release":
            release(number, min(count, uses[number]))
        elif step == "all":
            for one in out:
                release(one, uses[one])
        elif step == "over":
            with pytest.raises(GarbageFrame, match="handed out"):
                bushel.release(number, uses[number] + count)
            counts["over"] += 1
        elif step == "zero":
            with pytest.raises(GarbageFrame):
                bushel.release(number, 0)
        elif step.startswith("hold"):
            bushel.hold(number)
            holds[number] += 1
            if "release" in step:
                thing = kept[number]
                release(number, uses[number])
                if "grant" in step:
                    grant(thing)
        assert len(bushel) == len(kept)
        assert set(bushel.things) == {one for one in kept if uses[one]}
        for one, thing in kept.items():
            if uses[one]:
                assert bushel.get(one) is bushel.things[one]
                assert bushel.get(one)[0] is thing
            else:
                with pytest.raises(UnknownObject):
                    bushel.get(one)
        assert bushel.charged == account.used == sum(map(price, kept.values()))
        assert account.caps - account.free_caps == len(kept)
    bushel.close()
    assert (len(bushel), account.used, account.caps - account.free_caps) == (0, 0, 0)
    account.close()
    covered(NAME, **counts)


def test_an_object_that_is_released_is_dropped_at_once() -> None:
    bushel = Bushel()
    thing = Plain()
    number = bushel.grant(thing, Thing)
    bushel.grant(thing, Thing)
    watch = weakref.ref(thing)
    del thing
    bushel.release(number, 1)
    assert watch() is not None
    bushel.release(number, 1)
    assert watch() is None


def test_an_object_made_where_a_released_one_was_gets_an_id_of_its_own() -> None:
    """Python gives a new object the id() of a dead one; the bushel has to forget it."""
    bushel = Bushel()
    numbers = set()
    for _ in range(50):
        number = bushel.grant(Plain(), Thing)
        assert number not in numbers
        numbers.add(number)
        bushel.release(number, 1)
        gc.collect(0)


@pytest.mark.parametrize("short", ["pages", "caps"])
def test_an_object_that_cannot_be_paid_is_not_handed_out(short: str) -> None:
    """Bank rule 31: a capability has its place before it is sent."""

    bank = Bank("bank", 3 if short == "pages" else 1000, 2 if short == "caps" else 1000)
    account = SessionAccount(Share(bank))
    bushel = Bushel(account)
    held = [bushel.grant(Costly(), Thing)]
    held += [bushel.grant(Plain(), Thing)] if short == "caps" else []
    before = account.used, account.free, account.pages, bank.pages_used, bushel.charged
    in_use = account.caps - account.free_caps
    for _ in range(3):
        with pytest.raises(OutOfPages if short == "pages" else OutOfCaps, match="handed out"):
            bushel.grant(Costly(), Thing)
        assert (
            account.used,
            account.free,
            account.pages,
            bank.pages_used,
            bushel.charged,
        ) == before
        assert account.caps - account.free_caps == in_use
        assert len(bushel) == len(held)
    bushel.release(held[0], 1)
    bushel.grant(Costly(), Thing)


CROWD = 200
"""Objects that stay, so that a bushel has no reason to make its tables smaller."""


@pytest.mark.parametrize("beside", [0, 1, CROWD], ids=["alone", "beside one", "in a crowd"])
def test_an_index_whose_generations_are_used_up_is_retired(beside: int) -> None:
    """Trap T3: a generation never comes round."""

    last = (1 << 32) - 1
    bushel = Bushel()
    first = bushel.grant(Plain(), Thing)
    others = [Plain() for _ in range(beside)]
    for other in others:
        bushel.grant(other, Thing)
    bushel.release(first, 1)
    # After four thousand million uses:
    if bushel.table._free:
        bushel.table._free[:] = [last << 32 | first]
    else:
        bushel.table._next = last << 32 | first
    number = bushel.grant(Plain(), Thing)
    assert number == last << 32 | first
    assert number < 1 << 64, "an id has 64 bits on the wire"
    bushel.release(number, 1)
    seen = {number}
    for _ in range(5):
        number = bushel.grant(Plain(), Thing)
        assert number not in seen
        assert 0 <= number < 1 << 64
        assert number & 0xFFFF_FFFF != first, "every generation of this index was used before"
        seen.add(number)
        bushel.release(number, 1)


def test_ids_are_never_used_twice_however_many_objects_come_and_go() -> None:
    come_and_go()
    require(covered("bushel, crowds"), "granted", "index_reused", "crowds", "nearly_empty")


@given(
    waves=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 100), st.booleans()), min_size=5, max_size=15
    )
)
def come_and_go(waves: list[tuple[int, int, bool]]) -> None:
    account = wealthy()
    bushel = Bushel(account)
    held: dict[int, Any] = {bushel.grant(root := Plain(), Thing): root}
    ever = set(held)
    reused = nearly_empty = 0
    for count, percent, newest_first in waves:
        for _ in range(count):
            thing = Plain()
            number = bushel.grant(thing, Thing)
            assert number not in ever, "an id was used again"
            assert number < 1 << 64
            reused += number >> 32 > 0
            ever.add(number)
            held[number] = thing
        going = list(held)[1:]
        for number in (going[::-1] if newest_first else going)[: len(going) * percent // 100]:
            bushel.release(number, 1)
            del held[number]
        nearly_empty += len(held) == 1
        assert len(bushel) == len(held)
        assert all(bushel.get(number)[0] is thing for number, thing in held.items())
        assert account.used == len(held) * price(root)
    for number in ever - set(held):
        with pytest.raises(UnknownObject):
            bushel.get(number)
    covered(
        "bushel, crowds",
        granted=len(ever),
        index_reused=reused,
        crowds=sum(count > 100 for count, _, _ in waves),
        nearly_empty=nearly_empty,
    )


def test_an_object_that_stays_does_not_make_the_indices_of_the_others_run_out() -> None:
    """An index has 32 bits. What comes and goes beside a root object that stays must not
    use one up each time, or the ids run into those of another generation."""
    bushel = Bushel()
    bushel.grant(root := Plain(), Thing)
    highest = 0
    for _ in range(300):
        numbers = [bushel.grant(Plain(), Thing) for _ in range(100)]
        highest = max(highest, *(number & 0xFFFF_FFFF for number in numbers))
        for number in numbers:
            bushel.release(number, 1)
    assert bushel.get(0)[0] is root
    assert highest < 1000


@pytest.mark.parametrize("stays", [0, 1, 7, 39])
def test_no_index_stands_for_two_objects_at_once(stays: int) -> None:
    """Else a released id of one of them would come again as the next generation of the other."""
    bushel = Bushel()
    ever: set[int] = set()
    for _ in range(5):
        numbers = [bushel.grant(Plain(), Thing) for _ in range(40)]
        kept = numbers[stays]
        for number in numbers:
            if number != kept:
                bushel.release(number, 1)
        again = [bushel.grant(Plain(), Thing) for _ in range(40)]
        indices = {number & 0xFFFF_FFFF for number in (kept, *again)}
        assert len(indices) == 41
        assert not ever & {*numbers, *again}, "an id was used again"
        ever |= {*numbers, *again}
        for number in (kept, *again):
            bushel.release(number, 1)
    assert len(bushel) == 0


def test_the_bushel_of_a_client_costs_nothing() -> None:
    bushel = Bushel(None)
    bushel.release(bushel.grant(Costly(), Thing), 1)
    bushel.close()


# ---- imports ----


def test_imports_count_how_often_an_object_came_and_how_many_stand_for_it() -> None:
    follow_imports()
    require(covered("imports equal their oracle"), "last", "not_last", "unknown", "many")


@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 3)),
        min_size=10,
        max_size=60,
    )
)
def follow_imports(steps: list[tuple[bool, int]]) -> None:
    account = wealthy()
    imports = Imports(account)
    received: Counter[int] = Counter()
    proxies: Counter[int] = Counter()
    counts: Counter[str] = Counter()
    for receive, number in steps:
        if receive:
            imports.receive(number)
            received[number] += 1
            proxies[number] += 1
        else:
            released = imports.drop(number)
            if not proxies[number]:
                assert released == 0
                counts["unknown"] += 1
                continue
            proxies[number] -= 1
            if proxies[number]:
                assert released == 0
                counts["not_last"] += 1
            else:
                assert released == received[number], "the Release has to name every time"
                counts["last"] += 1
                counts["many"] += released > 1
                del received[number], proxies[number]
        held = sum(1 for n in proxies if proxies[n])
        assert len(imports) == held
        assert imports.charged == account.used >= held * prices.IMPORT
        assert held or not account.used
    imports.close()
    assert (len(imports), account.used) == (0, 0)
    covered("imports equal their oracle", **counts)


@pytest.mark.parametrize(
    ("caps", "error", "most"),
    [(1000, OutOfPages, PAGE // prices.IMPORT), (3, OutOfCaps, 3)],
    ids=["pages", "caps"],
)
def test_an_import_that_cannot_be_paid_is_not_there(
    caps: int, error: type[Exception], most: int
) -> None:
    bank = Bank("bank", 1, caps)
    account = SessionAccount(Share(bank))
    imports = Imports(account)

    def receive_all() -> None:
        for number in rounds("an import is refused", 2 * PAGE):
            imports.receive(number)

    with pytest.raises(error, match="capability received"):
        receive_all()
    number = len(imports)
    assert number == most
    assert imports.drop(number) == 0
    assert (account.used, account.caps - account.free_caps) == (most * prices.IMPORT, most)
    imports.close()
    assert (account.used, account.caps - account.free_caps) == (0, 0)


def test_one_object_as_two_interfaces_has_two_ids_each_on_its_own() -> None:
    class Other(Interface, Protocol):
        @method
        async def other(self) -> int: ...

    class Two(Plain, Other):
        @method
        async def other(self) -> int:
            return 1

    resolve(Two)
    bushel = Bushel(account := wealthy())
    two = Two()
    first, second = bushel.grant(two, Thing), bushel.grant(two, Other)
    assert first != second
    assert (bushel.grant(two, Other), len(bushel)) == (second, 2)
    assert [one.name for one in bushel.get(first)[1]] == ["poke", "next"]
    assert [one.name for one in bushel.get(second)[1]] == ["other"]
    bushel.release(first, 1)
    with pytest.raises(UnknownObject):
        bushel.get(first)
    assert bushel.get(second)[0] is two
    told: list[int] = []
    bushel.watch(two, lambda: told.append(len(bushel)))
    assert bushel.grant(two, Thing) not in (first, second)
    bushel.release(second, 2)
    assert told == [], "it is here as a Thing"
    bushel.close()
    assert (told, account.used, account.caps - account.free_caps) == ([0], 0, 0)


def test_each_answer_that_holds_an_object_keeps_it() -> None:
    account = wealthy()
    bushel = Bushel(account)
    number = bushel.grant(Plain(), Thing)
    bushel.hold(number)
    bushel.hold(number)
    bushel.release(number, 1)
    bushel.unhold(number)
    assert len(bushel) == 1
    assert account.used == bushel.charged > 0
    bushel.unhold(number)
    assert (len(bushel), account.used) == (0, 0)


def test_a_bushel_that_is_closed_calls_nothing_any_more() -> None:
    """Also of what was handed out and is not released, and of more than the tables begin with."""
    bushel = Bushel(wealthy())
    for count in (1, 100):
        numbers = [bushel.grant(Plain(), Thing) for _ in range(count)]
        assert set(bushel.things) == set(numbers)
        bushel.close()
        assert bushel.things == {}
        assert bushel.charged == 0
