"""What a firm step may do: it is refused at safe points, and settled where it parks."""

from __future__ import annotations

import gc
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Generator
from functools import partial
from importlib import import_module
from operator import methodcaller
from typing import Any

import pytest

from pinfut import payers
from pinfut.payers import PAGE, Payer
from tests.covered import covered, require
from tests.payers.apart import SOAK, apart, audit
from tests.payers.crowd import HANDLERS, run


class Parked:
    """A leaf."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


async def holds(size: int, log: list[str]) -> int:
    data = bytearray(size)
    try:
        await Parked()
    except MemoryError:
        log.append("refused where it waits")
        raise
    return len(data)


@apart
def test_a_step_is_what_it_is_without_a_payer_but_for_who_pays() -> None:
    p = Payer(100)

    async def gives(value: object) -> object:
        got = await Parked()
        assert payers.current() == (p, "firm")
        if isinstance(got, str):
            raise KeyError(got)
        return value

    results: list[object] = [None, (1, 2), ValueError("a value"), StopIteration(3)]
    for value in results:
        coro = gives(value)
        assert isinstance(p.send(coro, None), Parked)
        with pytest.raises(StopIteration) as ended:
            p.send(coro, 5)
        assert ended.value.value is value
        assert payers.current() == (None, "off")
    coro = gives(None)
    p.send(coro, None)
    with pytest.raises(KeyError):
        p.send(coro, "wrong")
    coro = gives(None)
    p.send(coro, None)
    with pytest.raises(ZeroDivisionError):
        p.throw(coro, ZeroDivisionError())
    with pytest.raises(TypeError):
        p.send(iter([]), None)  # type: ignore[arg-type]
    assert payers.current() == (None, "off")
    assert payers.off_call(payers.current) == (None, "off")
    nested = p.firm_call(lambda: payers.off_call(lambda: p.soft_call(payers.current)))
    assert nested == (p, "soft")


@apart
def test_a_handler_over_its_limit_is_refused_and_others_are_not() -> None:
    poor, rich = Payer(128), Payer(10_000)
    log: list[str] = []
    refused = 0
    calls = [holds(1_000_000, log) for _ in range(64)]
    for coro in calls:
        try:
            poor.send(coro, None)
        except MemoryError:
            refused += 1
    assert refused == 64
    assert log == [], "refused at the next safe point, in the step itself"
    poor.due(128)
    assert poor.pages <= 8
    assert rich.send(holds(1_000_000, log), None) is not None
    assert (rich.raised, rich.refused) == (0, 0)


@apart
def test_no_allocation_fails_before_the_reserve_is_used_up() -> None:
    p = Payer(10)
    reserve = payers.reserve()

    def takes(pages: int) -> int:
        return len(bytes(pages * PAGE - 100))

    with pytest.raises(MemoryError):
        p.firm_call(takes, reserve + 11)
    assert (p.refused, p.raised) == (1, 0)
    with pytest.raises(MemoryError):
        p.firm_call(takes, reserve - 10)
    assert (p.refused, p.raised) == (1, 1), "served from the reserve, and told at a safe point"
    assert p.soft_call(takes, reserve + 11), "soft is never refused"
    assert p.refused == 1
    audit(p)


@apart
def test_who_parks_over_the_limit_is_refused_once_and_then_closed() -> None:
    async def keeps(log: list[str]) -> None:
        held = []
        try:
            while True:
                try:
                    held.append(p.soft_call(bytes, 50 * PAGE))  # as a part of pinfut's own would
                    await Parked()
                    log.append("parked")
                except MemoryError:
                    log.append("refused")
        finally:
            log.append("closed")

    async def mends(log: list[str]) -> None:
        held = [p.soft_call(bytes, 50 * PAGE)]
        try:
            await Parked()
        except MemoryError:
            held.clear()
        await Parked()
        log.append("went on")

    p = Payer(20)
    log: list[str] = []
    coro = keeps(log)
    with pytest.raises(MemoryError):
        p.send(coro, None)
    assert log == ["refused", "closed"]
    with pytest.raises(RuntimeError, match="already"):
        coro.send(None)
    log.clear()
    mended = mends(log)
    p.send(mended, None)
    with pytest.raises(StopIteration):
        p.send(mended, None)
    assert log == ["went on"]
    assert p.settle() == 0
    audit(p)


class Buys:
    """For a payer that can pay; how much the step had taken when it bought."""

    def __init__(self, p: Payer, held: list[bytes]) -> None:
        self.p, self.held = p, held
        self.log: list[int] = []

    def buy(self) -> None:
        self.log.append(sum(map(bool, self.held)))
        self.p.limit = self.p.pages

    def look(self) -> None: ...


@apart
def test_pages_that_can_be_bought_are_bought_where_a_step_parks_or_ends_without_a_look() -> None:
    async def fills(held: list[bytes], end: str) -> None:
        for i in range(len(held)):
            held[i] = bytes(PAGE - 40)
        if end == "parks":
            await Parked()
        elif end == "raises":
            raise LookupError

    def fill(limit: int, pages: int, end: str) -> tuple[list[int], int]:
        """When it bought, and the blocks in which something else than the pages lies."""
        p, held = Payer(limit), [b""] * pages
        p.buyer = buys = Buys(p, held)
        p.could = 1_000
        coro = fills(held, end)
        if end == "parks":
            p.send(coro, None)
        else:
            with pytest.raises(StopIteration if end == "ends" else LookupError):
                p.send(coro, None)
        assert p.limit >= p.pages
        audit(p)
        return buys.log, p.blocks - pages

    assert fill(0, 10, "ends")[0] == [10]
    assert fill(0, 10, "raises")[0] == [10]
    unasked = fill(100, 10, "parks")[1]
    assert fill(0, 10, "parks") == ([10], unasked)
    asked, more = fill(0, 60, "parks")
    assert asked[0] < 60, "it took more than it may unasked"
    assert more > unasked, "what a look at its frame makes is its own"


@apart
def test_nothing_is_raised_in_a_frame_of_pinfut_but_the_park_settles_it() -> None:
    code = "def keep(n, held):\n for _ in range(n): held.append(bytes(5000))\n return 'whole'"
    inner = types.ModuleType("pinfut.somewhere")
    exec(code, inner.__dict__)
    p = Payer(20)
    assert p.firm_call(inner.keep, 100, []) == "whole"
    told: list[str] = []

    async def handler(held: list[bytes]) -> None:
        told.append(call(held))  # in a function of the user's, called by pinfut
        await Parked()

    outer = types.ModuleType("pinfut.elsewhere")
    exec("def through(call, *args):\n return call(*args)", outer.__dict__)

    def call(held: list[bytes]) -> str:
        return str(outer.through(fill, held))

    def fill(held: list[bytes]) -> str:
        for _ in range(100):
            held.append(bytes(5000))
        return "whole"

    with pytest.raises(MemoryError):
        p.send(handler([]), None)
    assert told == ["whole"]
    assert p.firm_call(lambda: 1) == 1
    assert p.settle() == 0


@apart
def test_who_goes_on_beyond_the_reserve_is_stopped_before_a_small_block_is_refused() -> None:
    outer = types.ModuleType("pinfut.elsewhere")
    exec("def through(call, *args):\n return call(*args)", outer.__dict__)

    def closures(held: deque[Any]) -> None:
        while True:
            held.append([(x for x in held), lambda: held, {}])

    def catches(held: deque[Any]) -> None:
        while True:
            try:
                closures(held)
            except MemoryError:
                pass

    async def called_by_pinfut(what: Any, held: deque[Any]) -> None:
        outer.through(what, held)

    payers.reserve(500)
    for what in (closures, catches):
        p = Payer(20)
        held = deque[Any]()  # no large block is asked for
        with pytest.raises(MemoryError):
            p.send(called_by_pinfut(what, held), None)
        assert p.refused == 0
        assert 520 < p.peak < 20 + 2 * 500
        held.clear()
        gc.collect()
        audit(p)


@apart
def test_a_large_block_is_refused_beyond_the_reserve_and_a_small_one_beyond_two() -> None:
    payers.reserve(100)
    for grow, reserves in ((list, 1), (deque, 2)):
        p = Payer(10)
        with pytest.raises(MemoryError):
            p.firm_call(grow, map(float, range(10**6)))  # no bytecode runs inside
        assert p.refused > 0
        assert 10 + 100 * (reserves - 1) < p.peak <= 10 + 100 * reserves


@apart
def test_finalizers_run_on_nobodys_account() -> None:
    seen: list[Any] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            seen.append((payers.current(), bytearray(5_000)))

    Cycle()
    p = Payer(1_000)
    p.firm_call(gc.collect)
    assert [state for state, _ in seen] == [(None, "off")]
    assert payers.owner(seen[0][1]) is None
    assert p.firm_call(payers.current) == (p, "firm")


@apart
def test_garbage_is_collected_before_anybody_is_refused() -> None:
    def cycles(count: int) -> None:
        for _ in range(count):
            x: list[Any] = [bytes(3_000)]
            x.append(x)

    gc.set_threshold(100_000)  # so that none comes by itself
    p = Payer(100)
    p.firm_call(cycles, 150)
    assert p.raised == 0
    assert p.peak > 100
    assert p.settle() == 0


@apart
def test_handlers_that_allocate_until_refused_harm_nobody() -> None:
    outcome = run(100_000 if SOAK else 150, seed=11)
    assert not outcome.over_at_rest
    assert outcome.most_over < payers.reserve()
    met = {name for name, end in outcome.ends if end == "MemoryError"}
    assert met == {handler.__name__ for handler in HANDLERS}
    counts = covered("handlers refused", raised=outcome.raised, at_once=outcome.refused)
    require(counts, "raised", "at_once")


def endless(held: list[bytes]) -> None:
    while True:
        held.append(bytes(200))


@apart
def test_another_thread_is_refused_too_while_the_main_thread_sleeps_or_works() -> None:
    # However long it takes on a busy machine until the thread that refuses has had its turn.
    payers.reserve(1 << 17)
    for busy in (False, True):
        p = Payer(100)
        ends: list[str] = []

        def work(p: Payer = p, ends: list[str] = ends) -> None:
            held: list[bytes] = []
            try:
                p.firm_call(endless, held)
            except MemoryError:
                held.clear()
                ends.append("refused")
            ends.append(payers.current()[1])

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        while busy and any(thread.is_alive() for thread in threads):
            sum(range(100))
        for thread in threads:
            thread.join()
        assert ends.count("refused") == 3
        assert ends.count("off") == 3
        assert p.refused == 0, "before the reserve was used up"
        assert p.raised >= 3
    time.sleep(0.05)
    assert sum(range(1_000)) == 499_500, "nothing comes late"


@apart
def test_an_error_that_comes_too_late_is_taken_back_with_the_step() -> None:
    p = Payer(10)
    late: list[str] = []

    def work() -> None:
        # No bytecode runs in the step: it is over its limit, and waits until the error was sent.
        step = [partial(bytes, 40 * PAGE), partial(time.sleep, 0.05)]
        try:
            for _ in range(100):
                p.firm_call(list, map(apply, step))
                if p.raised:
                    break
        except MemoryError:
            late.append("after it")

    apply = methodcaller("__call__")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert late == []
    assert p.raised == 1
    assert p.settle() == 0


@apart
def test_an_error_for_one_step_is_never_sent_into_the_next_of_its_thread() -> None:
    looking, left = threading.Event(), threading.Event()

    class Slow:
        def buy(self) -> None: ...
        def look(self) -> None:
            looking.set()
            left.wait()

    class Rich:
        def buy(self) -> None: ...
        def look(self) -> None:
            second.could = 10**6

    first, second = Payer(10), Payer(10)
    first.buyer, second.buyer = Slow(), Rich()
    ends: list[str] = []

    def over(*then: Any) -> list[Any]:
        return [bytes(40 * PAGE), *(each() for each in then)]

    def go_on() -> None:
        left.set()
        while second.could < 10**6:  # until it was looked at
            time.sleep(0.001)
        sum(range(10_000))

    def work() -> None:
        try:
            held = first.firm_call(over, looking.wait)
            held += second.firm_call(over, go_on)
            ends.append("whole")
        except MemoryError:
            ends.append("refused")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ends == ["whole"]
    assert (first.raised, second.raised) == (0, 0)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the module has another name there")
@apart
def test_an_interpreter_that_is_made_in_a_step_is_made_though_the_step_is_over_its_limit() -> None:
    interpreters = import_module("_xxsubinterpreters")
    p = Payer(50)
    with pytest.raises(MemoryError):
        p.firm_call(lambda: (interpreters.create(isolated=False), list(map(bytes, range(999)))))
    assert p.peak > 2 * 50
    audit(p)
