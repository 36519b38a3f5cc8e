"""Sessions on arenas: what a server holds for a client lies in pages that the client has bought."""

from __future__ import annotations

import gc
import logging
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import pytest

from pinfut import executor
from pinfut.combinators import join
from pinfut.executor import VirtualClock, sleep, spawn, to_thread, yield_now
from pinfut.payers import PAGE, off_call, owner
from pinfut.rpc import (
    Bank,
    Interface,
    OutOfPages,
    RemoteError,
    SessionClosed,
    SimKernel,
    Vat,
    charge,
    connect,
    current_session,
    keep,
    leaks,
    method,
    prices,
    retry_with_refill,
    serve,
)
from pinfut.rpc.kernel.memory_mode import tell_prices
from pinfut.rpc.objects.interface import resolve
from pinfut.rpc.session import purse
from tests.covered import covered
from tests.payers.apart import SOAK, apart, audit

MEGA = 1_000_000


class Desk(Interface, Protocol):
    @method
    async def hold(self, size: int) -> int: ...
    @method
    async def holds_below(self, how: str, size: int) -> int: ...
    @method
    async def keeps(self, size: int) -> int: ...
    @method
    async def leaves(self, size: int) -> int: ...
    @method
    async def kept_priced(self, size: int) -> int: ...
    @method
    async def catches(self, size: int) -> str: ...
    @method
    async def greedy(self, how: int, keeping: int) -> int: ...
    @method
    async def echo(self, data: bytes) -> bytes: ...


left_behind: list[Any] = []


async def _holds(size: int) -> int:
    data = bytearray(size)
    await sleep(60)
    return len(data)


def _in_a_thread(size: int) -> bytearray:
    return bytearray(size)


def _cycle(n: int) -> list[Any]:
    found: list[Any] = [bytes(200)]
    found.append(found)
    return found


TAKING: tuple[Callable[[int], Any], ...] = (
    bytearray,
    lambda n: bytearray(5_000),
    lambda n: {f"key {n}": str(n) * 9},
    _cycle,
    lambda n: _cycle(n)[0],
    lambda n: [(i, 2.5 * i) for i in range(50)],
)


class Clerk(Desk):
    def __init__(self) -> None:
        self.log: list[str] = []

    @method
    async def hold(self, size: int) -> int:
        return await _holds(size)

    @method
    async def holds_below(self, how: str, size: int) -> int:
        if how == "task":
            return await spawn(_holds(size))
        if how == "join":
            return sum(await join(_holds(size), _holds(1)))
        data = await to_thread(_in_a_thread, size)
        await sleep(60)
        return len(data)

    @method
    async def keeps(self, size: int) -> int:
        left_behind.append([bytes(1_000) for _ in range(size // 1_000)])
        return size

    @method
    async def leaves(self, size: int) -> int:
        spawn(_holds(size))
        return size

    @method
    async def kept_priced(self, size: int) -> int:
        with charge(current_session()):
            left_behind.append(keep("memory that no payer sees", size))
        return size

    @method
    async def catches(self, size: int) -> str:
        try:
            data = [bytearray(10_000) for _ in range(size // 10_000)]
        except MemoryError:
            return "caught"
        return f"has {len(data)}"

    @method
    async def greedy(self, how: int, keeping: int) -> int:
        """Takes more and more until it is refused, and waits with what it has then."""
        held: list[Any] = []
        try:
            while True:
                held.append(TAKING[how](len(held)))
                if how % 2:
                    await yield_now()
        except MemoryError:
            if keeping < len(held):
                del held[keeping:]
            await sleep(1)
        return len(held)

    @method
    async def echo(self, data: bytes) -> bytes:
        return data


Opened = tuple[Desk, Bank, Vat]


@asynccontextmanager
async def opened(pages: int, slots: int = 64) -> AsyncIterator[Opened]:
    kernel = SimKernel(memory="arenas")
    bank = kernel.bank("client", pages=pages)
    async with serve(kernel, "desk", Clerk()) as vat:
        async with connect(kernel, "desk", Desk, bank, slots=slots) as desk:
            await sleep(0.1)
            yield desk, bank, vat
        left_behind.clear()
        await sleep(100)
    assert bank.pages_used == 0


def run(test: Callable[[], Awaitable[None]]) -> None:
    executor.run(test(), clock=VirtualClock())  # type: ignore[arg-type]


def paid(vat: Vat) -> tuple[int, int]:
    """Pages that are paid for its only session's payer, and in use."""
    (session,) = vat.sessions
    assert session.purse is not None
    session.settle(session.purse)
    return session.purse.payer.limit, session.purse.payer.pages


@apart
def test_what_a_handler_holds_over_an_await_is_paid_whatever_it_is() -> None:
    async def main() -> None:
        async with opened(20_000) as (desk, bank, vat):
            before = bank.pages_used
            calls = [desk.hold(MEGA) for _ in range(64)]
            await sleep(1)
            grown = (bank.pages_used - before) * PAGE
            assert 64 * MEGA <= grown <= 1.03 * 64 * MEGA
            bought, used = paid(vat)
            assert used <= bought <= used + 2
            del calls
            await sleep(1)
            assert (bank.pages_used - before) * PAGE < MEGA / 4

    run(main)


@apart
def test_a_client_that_cannot_pay_gets_the_error_on_each_call_and_the_server_does_not_grow() -> (
    None
):
    async def main() -> None:
        async with opened(128) as (desk, bank, _vat):
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            calls = [desk.hold(MEGA) for _ in range(64)]
            await sleep(1)
            refused = 0
            for call in calls:
                with pytest.raises(OutOfPages) as caught:
                    await call
                refused += caught.value.bank == "client" and caught.value.begun
            del calls, call, caught
            assert refused == 64
            assert tracemalloc.get_traced_memory()[0] - before < MEGA / 4
            tracemalloc.stop()
            assert await desk.hold(10_000) == 10_000, "what it can pay for is done"
            assert bank.pages_used <= 128

    run(main)


@apart
def test_what_is_gone_that_a_step_had_left_is_sold_when_its_session_is_looked_at() -> None:
    async def main() -> None:
        async with opened(2_000) as (desk, bank, _vat):
            before = bank.pages_used
            await desk.keeps(MEGA)
            assert (bank.pages_used - before) * PAGE >= MEGA
            left_behind.clear()
            await desk.echo(b"")
            await sleep(1)
            assert bank.pages_used <= before + 8

    run(main)


@apart
def test_one_client_out_of_pages_takes_nothing_from_another() -> None:
    async def main() -> None:
        kernel = SimKernel(memory="arenas")
        poor, rich = kernel.bank("poor", pages=128), kernel.bank("rich", pages=10_000)
        async with (
            serve(kernel, "desk", Clerk()) as vat,
            connect(kernel, "desk", Desk, poor) as one,
            connect(kernel, "desk", Desk, rich) as other,
        ):
            await sleep(0.1)
            outcomes: list[str | None] = []

            async def tell(call: Awaitable[int]) -> None:
                try:
                    outcomes.append(str(await call))
                except OutOfPages as error:
                    outcomes.append(error.bank)

            for _ in range(20):
                spawn(tell(one.hold(MEGA)))
                spawn(tell(other.hold(MEGA)))
            await sleep(100)
            assert outcomes.count("poor") == 20
            assert outcomes.count(str(MEGA)) == 20
            first, second = vat.sessions
            for session in (first, second):
                assert session.purse is not None
                audit(session.purse.payer)

    run(main)


@apart
def test_what_a_handler_has_others_do_is_paid_by_its_client() -> None:
    async def main() -> None:
        for how in ("task", "join", "thread"):
            async with opened(2_000) as (desk, _bank, vat):
                call = desk.holds_below(how, MEGA)
                await sleep(30)
                assert paid(vat)[1] * PAGE >= MEGA, how
                assert await call >= MEGA
                with pytest.raises((OutOfPages, RemoteError)):
                    await desk.holds_below(how, 9 * MEGA)
                while paid(vat)[1] >= 100:  # the thread lets go of it when it has its turn
                    await to_thread(time.sleep, 0.001)

    run(main)


@apart
def test_a_handler_may_catch_it_and_say_so() -> None:
    async def main() -> None:
        async with opened(128) as (desk, bank, _vat):
            assert await desk.catches(4 * MEGA) == "caught"
            assert await desk.catches(100_000) == "has 10"
            assert bank.pages_used <= 128

    run(main)


@apart
def test_at_rest_nothing_is_held_that_is_not_paid() -> None:
    rounds = 10_000 if SOAK else 50
    draw = random.Random(51).randrange

    async def main() -> None:
        counts = dict.fromkeys(("refused", "kept", "over"), 0)
        async with opened(300) as (desk, bank, vat):
            (session,) = vat.sessions
            assert session.purse is not None
            payer = session.purse.payer

            async def one() -> None:
                try:
                    await desk.greedy(draw(len(TAKING)), draw(100))
                    counts["kept"] += 1
                except (OutOfPages, RemoteError):
                    counts["refused"] += 1

            for _ in range(rounds):
                for _ in range(1 + draw(4)):
                    spawn(one())
                for _ in range(4):  # while they wait with what they have, and then
                    await sleep(0.4)
                    if payer.pages > payer.limit:
                        gc.collect()  # garbage is not held
                        counts["over"] += payer.settle() > 0
                    assert bank.pages_used <= 300
                await sleep(2)
                gc.collect()
            audit(payer)
        assert counts["over"] == 0
        assert counts["refused"] > rounds // 10
        assert counts["kept"] > rounds // 10

    run(main)


@apart
def test_a_session_that_was_over_its_limit_by_garbage_alone_is_looked_at_again_by_itself() -> None:
    outcomes: list[bool] = []

    def settle(one: purse.Purse) -> bool:
        return outcomes.pop() if outcomes else really(one)

    async def main() -> None:
        async with opened(128) as (_desk, _bank, vat):
            (session,) = vat.sessions
            assert session.purse is not None
            session.purse.refusal = OutOfPages("no page", "client", 1)
            calls: Any = session._calls_in
            outcomes.extend((False, False))  # no collection is allowed so soon, nor a second later
            session.settle(session.purse)
            await sleep(2)
            assert calls.refusal is not None
            assert outcomes == []
            outcomes.append(False)  # and it is met once more
            session.settle(session.purse)
            assert calls.refusal is not None
            await sleep(2)
            assert calls.refusal is None
            assert outcomes == []

    really = purse.Purse.settle
    purse.Purse.settle = settle  # type: ignore[assignment, method-assign]
    run(main)


@apart
def test_while_what_was_left_cannot_be_paid_no_call_begins_and_a_refill_helps() -> None:
    async def main() -> None:
        async with opened(128) as (desk, bank, vat):
            (session,) = vat.sessions
            assert session.purse is not None
            # Made by the server itself, which is never refused.
            left_behind.append(session.purse.payer.soft_call(bytes, MEGA))
            session.settle(session.purse)
            for _ in range(3):
                with pytest.raises(OutOfPages) as caught:
                    await desk.echo(b"")
                assert not caught.value.begun
            assert await retry_with_refill(lambda: desk.echo(b"again"), bank) == b"again"
            assert paid(vat)[1] * PAGE > MEGA

    run(main)


@apart
def test_a_refill_lets_a_refused_call_be_done() -> None:
    async def main() -> None:
        async with opened(60) as (desk, bank, _vat):
            with pytest.raises(OutOfPages) as caught:
                await desk.hold(MEGA)
            bank.refill(pages=caught.value.short + 10)
            assert await desk.hold(MEGA) == MEGA

    run(main)


@apart
def test_what_is_kept_by_its_declared_size_is_paid_on_top() -> None:
    async def main() -> None:
        async with opened(2_000) as (desk, bank, _vat):
            await desk.keeps(200_000)
            before = bank.pages_used
            await desk.kept_priced(MEGA)
            await sleep(1)
            assert (bank.pages_used - before) * PAGE >= MEGA

    run(main)


@apart
def test_what_a_session_left_in_the_server_is_listed_and_the_servers_own() -> None:
    async def main() -> None:
        kernel = SimKernel(memory="arenas")
        bank = kernel.bank("client", pages=2_000)
        async with serve(kernel, "desk", Clerk()):
            async with connect(kernel, "desk", Desk, bank) as desk:
                await desk.keeps(100_000)
            await sleep(1)
            assert bank.pages_used == 0
            found = [each for each in leaks() if isinstance(each.held, list | bytes)]
            # The list itself may be one that the interpreter had kept for reuse.
            holders = (left_behind, left_behind[0])
            assert {id(each.container) for each in found} <= {id(holder) for holder in holders}
            assert len(found) >= 1
            assert str(found[0]).endswith(" in list")
            del found, holders
            left_behind.clear()
            assert not [each for each in leaks() if isinstance(each.held, bytes)]

    run(main)


class Log(logging.Handler):
    """What pinfut.rpc has logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        logger = logging.getLogger("pinfut.rpc")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += record.getMessage().splitlines()


@apart
def test_a_server_tells_at_its_end_what_sessions_have_left_and_nothing_else() -> None:
    async def main(size: int) -> list[str]:
        kernel = SimKernel(memory="arenas")
        bank = kernel.bank("client", pages=2_000)
        log = Log()
        async with serve(kernel, "desk", Clerk()), connect(kernel, "desk", Desk, bank) as desk:
            await desk.echo(b"x")
            if size:
                await desk.keeps(size)
        left_behind.clear()
        return log.lines

    assert executor.run(main(0), clock=VirtualClock()) == []
    first, *each = executor.run(main(100_000), clock=VirtualClock())
    assert first.startswith("server 'desk': sessions that are over have left ")
    assert 1 <= len(each) <= 10
    assert each[0].endswith(" in list")


def test_a_server_says_once_that_it_runs_on_prices() -> None:
    async def main() -> list[str]:
        tell_prices.cache_clear()
        log = Log()
        kernel = SimKernel(memory="prices")
        async with serve(kernel, "desk", Clerk()), serve(kernel, "other", Clerk()):
            return log.lines

    (line,) = executor.run(main())
    assert line.startswith("what clients hold is paid by declared prices, and not by where it lies")


@apart
def test_sessions_that_come_and_go_leave_no_page_in_the_server() -> None:
    async def main() -> None:
        kernel = SimKernel(memory="arenas")
        bank = kernel.bank("client", pages=20_000, caps=20_000)
        async with serve(kernel, "desk", Clerk()) as vat:
            left = []
            for many in (100, 400):
                async with AsyncExitStack() as stack:
                    for _ in range(many):
                        one = connect(kernel, "desk", Desk, bank, slots=4)
                        desk = await stack.enter_async_context(one)
                        assert await desk.echo(b"x") == b"x"
                await sleep(1)
                assert not vat.sessions
                gc.collect()
                left.append(purse.server().pages)
            assert left[1] <= left[0] + 8  # tables that grew, and counters, but none for each

    run(main)


@apart
def test_a_task_that_outlives_its_session_goes_on_at_the_servers_expense() -> None:
    async def main() -> None:
        async with opened(2_000) as (desk, bank, _vat):
            assert await desk.leaves(MEGA) == MEGA
            await sleep(1)
            assert bank.pages_used * PAGE >= MEGA

    run(main)  # `opened` waits for the task, and finds the bank empty


@apart
def test_nothing_drifts_however_long_a_client_is_busy() -> None:
    rounds = 25_000 if SOAK else 60

    async def main() -> None:
        async with opened(1_000) as (desk, bank, vat):

            async def some() -> None:
                for size in range(0, 400, 20):
                    assert len(await desk.echo(bytes(size))) == size
                calls = [desk.hold(2_000) for _ in range(20)]
                await sleep(1)
                del calls
                await sleep(1)

            # By then the interpreter has as many freed objects for reuse as it ever keeps.
            for _ in range(100):
                await some()
            gc.collect()
            first, charged = paid(vat), bank.pages_used
            for _ in range(rounds):
                await some()
            gc.collect()
            assert paid(vat)[1] <= first[1] + 2
            assert bank.pages_used <= charged + 4
            (session,) = vat.sessions
            assert session.purse is not None
            audit(session.purse.payer)
        covered("operations of a busy client", of=rounds * 40)

    run(main)


@apart
def test_a_server_that_is_killed_gives_everything_back_once() -> None:
    async def main() -> None:
        kernel = SimKernel(memory="arenas")
        bank = kernel.bank("client", pages=2_000)
        vat = Vat(kernel, "desk")
        vat.listen("desk", Clerk())
        async with connect(kernel, "desk", Desk, bank) as desk:
            call = desk.hold(MEGA)
            await sleep(1)
            assert bank.pages_used * PAGE > MEGA
            vat.kill()
            with pytest.raises(Exception, match="died"):
                await call
        await sleep(1)
        assert bank.pages_used == 0

    run(main)


class Part(Interface, Protocol):
    @method
    async def part(self, n: int) -> Part: ...


class Piece(Part):
    @method
    async def part(self, n: int) -> Part:
        return self


class Parts(Part):
    def __init__(self) -> None:
        self.parts: dict[int, Piece] = {}

    @method
    async def part(self, n: int) -> Part:
        return off_call(self._part, n)

    def _part(self, n: int) -> Piece:
        return self.parts.setdefault(n, Piece())


@apart
def test_what_sessions_share_lies_in_no_sessions_pages_and_is_paid_by_one_that_is_left() -> None:
    """Row 42: else what is left of one session would lie in its pages, which nobody pays then."""

    async def main() -> None:
        resolve(Piece)  # what is made once for a class is nobody's
        resolve(Parts)
        kernel = SimKernel(memory="arenas")
        bank = kernel.bank("client", pages=2_000, caps=2_000)
        async with serve(kernel, "parts", Parts()) as server:
            client = Vat(kernel, "client")
            first, second = (client.connect("parts", bank) for _ in range(2))
            roots: list[Any] = [await one.bootstrap(Part) for one in (first, second)]
            held = [await roots[n % 2].part(n) for n in range(250)]
            held += [await roots[1].part(n) for n in range(250)]
            one, other = server.sessions
            table = other.peer.exports.table
            assert table is one.peer.exports.table
            assert len(table.entries) == 251
            shared = [table, table.entries, table.payers, table._free, *table.entries]
            shared += [part for it in table.entries.values() for part in (it, it.number, it.key)]
            found = [(type(it), str(it)[:50], owner(it)) for it in shared if owner(it) is not None]
            assert found == [], found[:9]
            del shared
            assert table.account is one.end.account
            del one
            first.close(SessionClosed("enough"))
            await sleep(1)
            assert server.sessions == [other]
            assert table.account is other.end.account
            assert other.purse is not None
            assert other.purse.apart >= 251 * prices.EXPORT
            assert other.purse.settle()
            of_all = other.end.account.pages * PAGE
            assert of_all >= other.purse.payer.pages * PAGE + other.purse.apart
            for piece in held[250:]:
                await piece.part(0)
            del held, piece, roots, other, table, first
            await client.close()
        await sleep(1)
        assert bank.pages_used == 0

    run(main)


@apart
def test_a_session_has_few_pages_of_its_own() -> None:
    made: list[int] = []
    real = purse.Purse.opened

    def opens(self: purse.Purse) -> None:
        made.append(self.payer.used)
        real(self)

    async def main() -> None:
        for slots, own, most in ((1, 3, 7), (64, 4, 10)):
            async with opened(2_000, slots) as (_, bank, vat):
                assert 1 <= paid(vat)[1] <= own, slots
                assert bank.pages_used <= most, (slots, bank.pages_used)
                (session,) = vat.sessions
                assert session.purse is not None
                # What it is priced for is there when it is reckoned what is the other side's.
                assert session.purse.payer.used <= 1.6 * made[-1]

    purse.Purse.opened = opens  # type: ignore[method-assign]
    # Unchecked, for what is checked takes more.
    executor.run(main(), clock=VirtualClock(), checked=False)
