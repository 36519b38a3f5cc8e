"""Bushels and imports: ids that are never used again, counts and charges that are exact."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc.bushel import Bushel
from pinfut.rpc.errors import GarbageFrame, OutOfCaps, OutOfPages, UnknownObject
from pinfut.rpc.kernel import prices
from pinfut.rpc.kernel.bank import PAGE, Bank, Purse
from pinfut.rpc.protocol.imports import Imports
from tests.covered import covered, require
from tests.rpc.protocol.fakes import Costly, Plain, wealthy

NAME = "bushel equals its oracle"


def price(thing: Any) -> int:
    return prices.EXPORT + int(type(thing)._pinfut_charge)


def test_a_bushel_names_each_object_by_one_id_and_no_id_twice() -> None:
    follow_a_bushel()
    require(
        covered(NAME), "granted", "again", "released", "partly", "over", "stale", "index_reused"
    )


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["grant", "grant", "release", "release", "over", "stale", "zero"]),
            st.integers(0, 99),
            st.integers(1, 4),
        ),
        min_size=20,
        max_size=60,
    )
)
def follow_a_bushel(steps: list[tuple[str, int, int]]) -> None:
    purse = wealthy()
    bushel = Bushel(purse)
    things: list[Any] = [Plain(), Costly(), Plain(), Plain(), Costly()]
    ids: dict[int, Any] = {}
    uses: dict[int, int] = {}
    gone: list[int] = []
    counts: Counter[str] = Counter()
    for step, pick, count in steps:
        if step == "grant":
            thing = things[pick % len(things)]
            number = bushel.grant(thing)
            known = [one for one, other in ids.items() if other is thing]
            if known:
                assert [number] == known, "one object under two ids"
                counts["again"] += 1
            else:
                assert number not in ids
                assert number not in gone, "an id was used again"
                counts["granted"] += 1
                counts["index_reused"] += any(
                    one & 0xFFFF_FFFF == number & 0xFFFF_FFFF for one in gone
                )
            ids[number] = thing
            uses[number] = uses.get(number, 0) + 1
        elif step == "release" and ids:
            number = list(ids)[pick % len(ids)]
            count = min(count, uses[number])
            bushel.release(number, count)
            uses[number] -= count
            counts["partly"] += uses[number] > 0
            if not uses[number]:
                gone.append(number)
                del ids[number], uses[number]
                counts["released"] += 1
        elif step == "over" and ids:
            number = list(ids)[pick % len(ids)]
            with pytest.raises(GarbageFrame, match="handed out"):
                bushel.release(number, uses[number] + count)
            counts["over"] += 1
        elif step == "zero" and ids:
            with pytest.raises(GarbageFrame):
                bushel.release(list(ids)[pick % len(ids)], 0)
        elif step == "stale" and gone:
            number = gone[pick % len(gone)]
            with pytest.raises(UnknownObject):
                bushel.get(number)
            with pytest.raises(UnknownObject):
                bushel.release(number, 1)
            counts["stale"] += 1
        assert len(bushel) == len(ids)
        assert all(bushel.get(number) is thing for number, thing in ids.items())
        assert bushel.charged == purse.used == sum(map(price, ids.values()))
        assert purse.caps - purse.free_caps == len(ids)
    bushel.close()
    assert (len(bushel), purse.used, purse.caps - purse.free_caps) == (0, 0, 0)
    purse.close()
    covered(NAME, **counts)


def test_an_object_that_is_released_is_dropped_at_once() -> None:
    bushel = Bushel()
    thing = Plain()
    number = bushel.grant(thing)
    bushel.grant(thing)
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
        number = bushel.grant(Plain())
        assert number not in numbers
        numbers.add(number)
        bushel.release(number, 1)
        gc.collect(0)


@pytest.mark.parametrize("short", ["pages", "caps"])
def test_an_object_that_cannot_be_paid_is_not_handed_out(short: str) -> None:
    bank = Bank("bank", 3 if short == "pages" else 1000, 2 if short == "caps" else 1000)
    purse = Purse(bank)
    bushel = Bushel(purse)
    held = [bushel.grant(Costly())] + ([bushel.grant(Plain())] if short == "caps" else [])
    before = purse.used, purse.free, purse.pages, bank.pages_used, bushel.charged
    in_use = purse.caps - purse.free_caps
    for _ in range(3):
        with pytest.raises(OutOfPages if short == "pages" else OutOfCaps, match="handed out"):
            bushel.grant(Costly())
        assert (
            purse.used,
            purse.free,
            purse.pages,
            bank.pages_used,
            bushel.charged,
        ) == before
        assert purse.caps - purse.free_caps == in_use
        assert len(bushel) == len(held)
    bushel.release(held[0], 1)
    bushel.grant(Costly())


def test_an_index_whose_generations_are_used_up_is_retired() -> None:
    last = (1 << 32) - 1
    bushel = Bushel()
    first = bushel.grant(Plain())
    bushel.release(first, 1)
    bushel._free[:] = [last << 32 | first]  # after four thousand million uses
    number = bushel.grant(Plain())
    assert number == last << 32 | first
    assert number < 1 << 64, "an id has 64 bits on the wire"
    bushel.release(number, 1)
    assert bushel.grant(Plain()) & 0xFFFF_FFFF != first


def test_the_bushel_of_a_client_costs_nothing() -> None:
    bushel = Bushel(None)
    bushel.release(bushel.grant(Costly()), 1)
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
    purse = wealthy()
    imports = Imports(purse)
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
        assert imports.charged == purse.used >= held * prices.IMPORT
        assert held or not purse.used
    imports.close()
    assert (len(imports), purse.used) == (0, 0)
    covered("imports equal their oracle", **counts)


def test_an_import_that_cannot_be_paid_is_not_there() -> None:
    bank = Bank("bank", 1, 0)
    purse = Purse(bank)
    imports = Imports(purse)
    number = 0
    while purse.free >= prices.IMPORT or not purse.pages:
        imports.receive(number)
        number += 1
    with pytest.raises(OutOfPages, match="capability received"):
        imports.receive(number)
    assert len(imports) == number == PAGE // prices.IMPORT
    assert imports.drop(number) == 0
