"""Memory is part of the contract: who runs out is told on that call, and nobody else."""

from __future__ import annotations

import gc
import weakref
from typing import Any, Protocol

import pytest

from pinfut import join
from pinfut.executor import sleep, spawn, timeout
from pinfut.rpc import (
    PAGE,
    Bank,
    BankError,
    Interface,
    OutOfCaps,
    OutOfPages,
    Promise,
    RemoteError,
    connect,
    method,
    session_of,
    session_pages,
)
from tests.bounded import repeat, rounds
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, quiet, run

# ---- connecting ----


def test_a_session_that_cannot_be_paid_for_fails_before_it_exists() -> None:
    """Quota - 1 fails cleanly, quota passes, for pages and for capabilities alike."""

    async def main(world: World) -> None:
        async with world.served("service", DeskServer()) as vat:
            needed = None
            said: list[str] = []
            for pages in range(40):
                bank = world.bank(f"p{pages}", pages=pages)
                try:
                    async with connect(world.kernel, "service", Desk, bank):
                        needed = pages
                except OutOfPages as error:
                    said.append(str(error))
                assert bank.pages_used == bank.caps_used == 0
                await quiet()
                assert vat.sessions == []
                if needed is not None:
                    break
            assert needed is not None
            assert len(said) == needed > 3
            assert all("refill it with bank.refill(pages=" in each for each in said)
            for caps in (0, 1, 2):
                bank = world.bank(f"c{caps}", caps=caps)
                with pytest.raises(OutOfCaps, match=r"bank\.refill\(caps="):
                    async with connect(world.kernel, "service", Desk, bank):
                        raise AssertionError("connected")
                assert bank.pages_used == bank.caps_used == 0
            async with connect(world.kernel, "service", Desk, world.bank("c3", caps=3)) as desk:
                assert await desk.do(1) == 1

    run(main)


def test_what_an_ancestor_of_the_bank_lacks_is_an_error_too_and_nothing_is_held() -> None:
    async def main(world: World) -> None:
        parent = world.bank("parent", pages=5)
        child = parent.child("child", pages=1000)
        async with world.served("service", DeskServer()):
            with pytest.raises(OutOfPages, match=r"'parent'.*asked through bank 'child'"):
                async with connect(world.kernel, "service", Desk, child):
                    raise AssertionError("connected")
            parent.refill(100)
            async with connect(world.kernel, "service", Desk, child) as desk:
                assert await desk.do(1) == 1
        child.close()  # nothing but its own books was left

    run(main)


# ---- calling ----


def spend(bank: Bank, leave: int = 0) -> int:
    """Lower the bank's limit until only `leave` pages are left; how many were taken away."""
    rest = bank.balance.pages - leave
    bank.refill(-rest)
    return rest


def test_a_call_whose_answer_cannot_be_paid_is_not_sent_and_succeeds_after_a_refill() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        ran: list[int] = []

        async def do(n: int) -> int:
            ran.append(n)
            return n

        async with world.session(Desk, DeskServer(do=do), bank=bank) as desk:
            await desk.do(0)
            rest = spend(bank)
            open_calls: list[Promise[int]] = []
            with pytest.raises(OutOfPages, match="the memory for answers"):
                repeat(lambda: open_calls.append(desk.do(len(open_calls) + 1)), "a call is refused")
            with pytest.raises(OutOfPages):
                desk.data(100_000)
            refused = len(open_calls) + 1
            assert await join(*open_calls) == tuple(range(1, refused))
            open_calls.clear()
            assert refused not in ran
            assert await desk.do(refused) == refused, "the memory of the others is free again"
            bank.refill(rest)
            assert len(await desk.data(100_000)) == 100_000

    run(main)


def test_refill_and_retry_succeeds_on_the_nth_attempt() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=session_pages() + 6)
        async with world.session(Desk, DeskServer(), bank=bank) as desk:
            attempts = 0
            for _ in rounds("a refill is enough"):
                attempts += 1
                try:
                    data = await desk.data(20 * PAGE)
                    break
                except OutOfPages:
                    bank.refill(4)
            assert len(data) == 20 * PAGE
            assert 3 <= attempts <= 6

    run(main)


def test_a_refused_call_with_capabilities_hands_nothing_out() -> None:
    """Bank rule 34: capabilities move all or nothing, on any error."""

    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Desk, DeskServer(), bank=bank) as desk:
            own = ThingServer("own")
            assert await desk.name_of(own) == "own"
            await quiet()
            rest = spend(bank)
            things: list[Thing] = [own] * 300  # whose answer needs more pages than are left
            with pytest.raises(OutOfPages):
                desk.names_of(things)
            things.clear()
            bank.refill(rest)
            gone = weakref.ref(own)
            del own
            await quiet()
            gc.collect()
            assert gone() is None

    run(main)


class Work(Interface, Protocol):
    @method(frame=20 * PAGE)
    async def heavy(self, n: int) -> int: ...
    @method(frame=20 * PAGE)
    async def heavy_at_once(self, n: int) -> int: ...
    @method
    async def light(self, n: int) -> int: ...
    @method(answer=2 * PAGE)
    async def wide(self) -> bytes: ...
    @method(answer=0, frame=0)
    async def least(self, fail: bool) -> int: ...
    @method(answer=lambda sizes: sum(sizes))
    async def computed(self, sizes: list[int]) -> bytes: ...
    @method
    async def boulder(self) -> Thing: ...


class Boulder(ThingServer, charge=10 * PAGE):
    """An object that says that it holds ten pages."""


class WorkServer(Work):
    def __init__(self) -> None:
        self.ran: list[int] = []

    @method(frame=20 * PAGE)
    async def heavy(self, n: int) -> int:
        self.ran.append(n)
        await sleep(0.1)
        return n

    @method(frame=20 * PAGE)
    async def heavy_at_once(self, n: int) -> int:
        return n

    @method
    async def light(self, n: int) -> int:
        return n

    @method(answer=2 * PAGE)
    async def wide(self) -> bytes:
        return b"w" * (2 * PAGE - 32)

    @method(answer=0, frame=0)
    async def least(self, fail: bool) -> int:
        if fail:
            raise ValueError("f" * 10_000)
        return 1

    @method(answer=lambda sizes: sum(sizes))
    async def computed(self, sizes: list[int]) -> bytes:
        return b"c" * (sum(sizes) - 32)

    @method
    async def boulder(self) -> Thing:
        return Boulder("rock")


def test_a_handler_whose_frame_cannot_be_paid_is_refused_in_reserved_memory() -> None:
    """Bank rule 28: replying never blocks, and a refusal has its memory reserved (trap T39)."""

    async def main(world: World) -> None:
        bank = world.bank()
        server = WorkServer()
        async with world.session(Work, server, bank=bank) as work:
            await work.light(0)
            rest = spend(bank, leave=15)
            with pytest.raises(OutOfPages, match="the handler of a call"):
                await work.heavy(1)
            assert server.ran == []
            assert await work.light(2) == 2
            bank.refill(rest)
            assert await work.heavy(3) == 3
            assert server.ran == [3]

    run(main)


def test_the_frame_of_a_handler_is_charged_while_it_runs_and_then_refunded() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Work, WorkServer(), bank=bank) as work:
            await work.light(0)
            before = bank.pages_used
            calls = [work.heavy(n) for n in range(3)]
            await sleep(0.05)
            assert before + 58 <= bank.pages_used <= before + 63
            assert await join(*calls) == (0, 1, 2)
            assert bank.pages_used <= before + 2

    run(main)


def test_the_frame_of_a_handler_that_ends_at_once_goes_back_to_the_bank() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Work, WorkServer(), bank=bank) as work:
            await work.light(0)
            before = bank.pages_used
            assert await join(*[work.heavy_at_once(n) for n in range(5)]) == tuple(range(5))
            assert bank.pages_used <= before + 2

    run(main)


def test_a_refusal_that_has_capabilities_to_release_needs_no_memory_of_the_bank() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with (
            world.served("service", DeskServer()) as vat,
            connect(world.kernel, "service", Desk, bank) as desk,
            connect(world.kernel, "service", Desk, world.bank("other")) as other,
        ):
            await desk.do(0)
            broken = desk.fail("no")
            await desk.nap(0)
            broken_later = desk.fail("later", 0.1)
            own = [ThingServer("a"), ThingServer("b")]
            calls = [broken_later.keep(own[0]), broken_later.name_of(own[1])]
            rest = spend(bank)
            for call in calls:
                with pytest.raises((RemoteError, OutOfPages)):
                    await call
            with pytest.raises((RemoteError, OutOfPages)):
                await desk.keep(own[0])
            assert vat.process.alive, "a client without money took the server down"
            assert await other.do(1) == 1
            bank.refill(rest)
            assert await desk.name_of(own[1]) == "b"
            del broken

    run(main)


def test_an_object_is_charged_as_its_class_declares() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Work, WorkServer(), bank=bank) as work:
            await work.light(0)
            await quiet()
            before = bank.pages_used
            rock = await work.boulder()
            assert bank.pages_used >= before + 9
            assert await rock.name() == "rock"
            spent = spend(bank, leave=8)
            with pytest.raises(OutOfPages, match="an object handed out"):
                await work.boulder()
            assert await rock.name() == "rock"
            bank.refill(spent)
            del rock
            await quiet()
            assert bank.pages_used <= before + 2

    run(main)


def test_an_object_that_cannot_be_paid_in_capabilities_is_out_of_caps() -> None:
    async def main(world: World) -> None:
        bank = world.bank(caps=10)
        async with world.session(Desk, DeskServer(), bank=bank) as desk:
            things: list[Thing] = []

            async def take_all() -> None:
                for _ in rounds("an object is refused", 1000):
                    things.append(await desk.make(str(len(things))))

            with pytest.raises(OutOfCaps, match="an object handed out"):
                await take_all()
            assert 5 <= len(things) <= 8
            assert await desk.do(1) == 1
            assert [await thing.name() for thing in things] == [str(n) for n in range(len(things))]
            with pytest.raises(OutOfCaps):
                await desk.things(2)
            with pytest.raises(OutOfCaps):
                await desk.make("x").name()
            things.pop()
            await quiet()
            things.append(await desk.make("last"))
            bank.refill(caps=20)
            assert len(await desk.things(10)) == 10

    run(main)


def test_objects_of_a_list_that_cannot_be_paid_are_handed_out_all_or_none() -> None:
    """Bank rule 34: all or nothing, on the way back too."""

    async def main(world: World) -> None:
        bank = world.bank(caps=40)
        async with world.session(Desk, DeskServer(), bank=bank) as desk:
            first = await desk.things(20)
            await quiet()
            before = bank.balance
            for _ in range(5):
                with pytest.raises(OutOfCaps):
                    await desk.things(30)
            await quiet()
            assert bank.balance.caps >= before.caps - 16
            del first
            await quiet()
            assert len(await desk.things(30)) == 30

    run(main)


def test_a_pipelined_call_that_cannot_wait_unpaid_is_refused_by_name() -> None:
    """Trap T28: a call on what has not come waits only as it is paid."""

    async def main(world: World) -> None:
        bank = world.bank(pages=200)
        async with world.session(Desk, DeskServer(), bank=bank, slots=256) as desk:
            slow = desk.desk("slow", 1)
            await quiet()
            waiting: list[Any] = []
            try:
                while len(waiting) < 200:
                    waiting.append(slow.length(b"x" * 500))
                    await quiet()
                    if len(waiting) == 5:
                        spend(bank, leave=1)
            except OutOfPages:
                pass
            ends = {"value": 0, "refused": 0}
            for call in waiting:
                try:
                    assert await call == 500
                    ends["value"] += 1
                except OutOfPages:
                    ends["refused"] += 1
            assert ends["value"] >= 5
            assert await desk.do(1) == 1

    run(main)


# ---- a greedy client ----


@pytest.mark.parametrize("kind", ["data", "objects", "pipelined", "cancelled"])
def test_a_greedy_client_is_stopped_by_its_own_bank_and_nobody_else_notices(kind: str) -> None:
    async def main(world: World) -> None:
        greedy, modest = (
            world.bank("greedy", pages=150, caps=200),
            world.bank("modest", pages=session_pages() + 2),
        )
        async with (
            world.served("service", DeskServer()),
            connect(world.kernel, "service", Desk, greedy) as more,
            connect(world.kernel, "service", Desk, modest) as desk,
        ):
            held: list[Any] = []
            refused = 0
            used = []
            for n in range(2000):
                try:
                    if kind == "data":
                        held.append(more.data(3000))
                    elif kind == "objects":
                        held.append(await more.make(str(n)))
                    elif kind == "pipelined":
                        held.append((held[0] if held else more).desk(str(n), 1000))
                    else:
                        more.nap(1000).drop()
                except BankError:
                    refused += 1
                if n % 50 == 0:
                    with timeout(1):
                        assert await desk.do(n) == n
                        used.append(modest.pages_used)
            assert refused > 0 or kind == "cancelled"
            assert len(set(used[1:])) == 1, "the modest client pays for itself alone"
            held.clear()

    run(main)


# ---- sizes that methods declare ----


def test_large_answers_arrive_whole_and_their_memory_is_used_again() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=2000)
        async with world.session(Desk, DeskServer(), bank=bank) as desk:
            for size in (0, 1, 960, 961, 1024, 4095, 4096, 4097, 100_000, 1_000_000):
                assert await desk.data(size) == bytes([size % 251]) * size
            before = bank.pages_used
            for _ in range(20):
                assert len(await desk.data(1_000_000)) == 1_000_000
            assert bank.pages_used == before
            session_of(desk).trim()
            assert bank.pages_used < before - 240

    run(main)


def test_declared_answers_bound_what_is_reserved() -> None:
    async def main(world: World) -> None:
        async with world.session(Work, WorkServer()) as work:
            assert len(await work.wide()) == 2 * PAGE - 32
            assert len(await work.computed([5000, 3000])) == 8000 - 32
            assert await work.least(False) == 1
            # The least room still has place for an error, cut to size.
            with pytest.raises(RemoteError) as caught:
                await work.least(True)
            assert caught.value.kind == "ValueError"
            assert caught.value.detail.startswith("ffff")
            assert caught.value.detail.endswith("...")

    run(main)


def test_a_computed_answer_that_makes_no_sense_is_refused_at_the_call() -> None:
    async def main(world: World) -> None:
        async with world.session(Work, WorkServer()) as work:
            with pytest.raises(ValueError, match="an answer of"):
                work.computed([1 << 40])
            # Below nothing is the least: a handler may say better what is wrong.
            assert await work.computed([-1]) == b""
            with pytest.raises(TypeError):
                work.computed(["a"])  # type: ignore[list-item]
            assert await work.light(1) == 1

    run(main)


@pytest.mark.parametrize("answer", [-1, 1 << 40, 1.5, "large", [5]])
def test_an_answer_declared_wrongly_is_refused_when_it_is_declared(answer: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="answer"):

        class Wrong(Interface, Protocol):
            @method(answer=answer)
            async def call(self) -> int: ...


@pytest.mark.parametrize("frame", [-1, 1.5, "large"])
def test_a_frame_declared_wrongly_is_refused_when_it_is_declared(frame: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="frame"):

        class Wrong(Interface, Protocol):
            @method(frame=frame)
            async def call(self) -> int: ...


@pytest.mark.parametrize("charge", [-1, 1.5, "large"])
def test_a_charge_declared_wrongly_is_refused_when_it_is_declared(charge: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="charge"):

        class Wrong(ThingServer, charge=charge):
            pass


# ---- more calls than slots ----


@pytest.mark.parametrize("slots", [1, 2, 5, 64])
def test_more_calls_than_slots_wait_paid_and_all_complete(slots: int) -> None:
    """Bank rule 30: what a sender buffers is bounded by what it pays."""

    async def main(world: World) -> None:
        bank = world.bank(pages=600)
        async with world.session(Desk, DeskServer(), bank=bank, slots=slots) as desk:
            await desk.do(0)
            before = bank.pages_used
            calls = [desk.do(n) for n in range(300)]
            assert bank.pages_used > before, "what waits is paid for"
            assert await join(*calls) == tuple(range(300))

    run(main)


@pytest.mark.parametrize(("slots", "what"), [(1, "a slot"), (64, "room in the ring")])
def test_the_bytes_of_a_message_that_waits_are_paid_and_refunded(slots: int, what: str) -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=slots) as desk:
            (bank,) = world.banks
            await join(*[desk.length(b"") for _ in range(30)])
            before = bank.pages_used
            calls = [desk.length(b"x" * 7000) for _ in range(30)]
            assert bank.pages_used - before >= 27 * 7000 // PAGE, f"30 of them wait for {what}"
            assert await join(*calls) == (7000,) * 30
            await quiet()
            session_of(desk).trim()
            await quiet()
            assert bank.pages_used <= before + 2

    run(main)


def test_the_bytes_of_pipelined_calls_that_wait_at_the_server_are_paid_and_refunded() -> None:
    """Trap T28: the queue on a promise that does not resolve is charged."""

    async def main(world: World) -> None:
        bank = world.bank(pages=600)
        async with world.session(Desk, DeskServer(), bank=bank, ring=1 << 18) as desk:
            await join(*[desk.length(b"") for _ in range(22)])
            before = bank.pages_used
            slow = desk.desk("slow", 1)
            calls = [slow.length(b"x" * 7000) for _ in range(20)]
            await quiet()
            assert bank.pages_used - before >= 20 * 7000 // PAGE
            assert await join(*calls) == (7000,) * 20
            await quiet()
            session_of(desk).trim()
            await quiet()
            assert bank.pages_used <= before + 2

    run(main)


def test_a_call_that_is_refused_again_and_again_uses_nothing_up() -> None:
    async def main(world: World) -> None:
        bank = world.bank()
        async with world.session(Desk, DeskServer(), bank=bank, slots=1) as desk:
            await join(*[desk.do(n) for n in range(8)], desk.length(b"x" * 6000))
            busy = desk.nap(1)
            await quiet()
            rest = spend(bank)
            for _ in range(50):
                with pytest.raises(OutOfPages, match="waits for a slot"):
                    desk.length(b"x" * 6000)
            bank.refill(rest)
            assert await busy == 1
            assert await desk.length(b"x" * 6000) == 6000

    run(main)


def test_calls_that_wait_for_a_slot_are_refused_when_the_bank_is_empty() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=40)
        async with world.session(Desk, DeskServer(), bank=bank, slots=1) as desk:

            async def wait(promise: Promise[float]) -> float:
                return await promise

            busy = spawn(wait(desk.nap(1)))
            await quiet()
            waiting: list[Promise[int]] = []
            with pytest.raises(OutOfPages):
                repeat(lambda: waiting.append(desk.length(b"x" * 1000)), "a call is refused", 1000)
            assert 10 < len(waiting) < 200
            assert await busy == 1
            assert await join(*waiting) == (1000,) * len(waiting)

    run(main)


def test_spare_memory_for_answers_is_given_up_when_the_server_runs_short() -> None:
    """What is kept between two large answers is the client's, and so is what a handler takes."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), bank=(bank := world.bank())) as desk:
            assert len(await desk.data(80_000)) == 80_000
            await quiet()
            bank.refill(pages=-bank.balance.pages)
            used = bank.pages_used
            things = await join(*[desk.make(str(n)) for n in range(16)])
            assert bank.pages_used < used
            assert await things[-1].name() == "15"
            # With nothing left to give up, it is an error as before.
            with pytest.raises(OutOfPages):
                await desk.things(2000)
            assert await desk.do(1) == 1
            del things

    run(main)


def test_answers_that_nobody_has_taken_leave_their_slots_to_calls_that_are_taken_first() -> None:
    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(), slots=2) as desk:
            first, second = desk.do(1), desk.do(2)
            await quiet()
            third, fourth = desk.do(3), desk.do(4)
            assert (await fourth, await third, await second, await first) == (4, 3, 2, 1)

    run(main)


def test_a_promised_object_that_is_dropped_while_its_call_waits_is_never_made() -> None:
    async def main(world: World) -> None:
        server = DeskServer()
        async with world.session(Desk, server, slots=1) as desk:
            busy = desk.nap(1)
            dropped = desk.make("dropped")
            kept = desk.make("kept")
            await quiet()
            del dropped
            gc.collect()
            assert await busy == 1
            assert await kept.name() == "kept"
            assert server.made == ["kept"]

    run(main)


def test_a_call_that_cannot_wait_for_room_in_the_ring_is_as_if_it_was_never_made() -> None:
    async def main(world: World) -> None:
        bank = world.bank(pages=600)
        async with world.session(Desk, DeskServer(), bank=bank, slots=64) as desk:
            await join(*[desk.length(b"") for _ in range(40)], desk.length(b"x" * 7000))
            questions = session_of(desk).peer.questions
            rest = spend(bank)
            calls = []

            def send() -> None:
                for _ in range(40):
                    calls.append(desk.length(b"x" * 7000))

            with pytest.raises(OutOfPages, match="room in the ring"):
                send()
            assert 0 < len(calls) < 40
            assert len(questions.taken()) == len(calls), "a slot of a call that was not sent"
            bank.refill(rest)
            assert await join(*calls) == (7000,) * len(calls)
            assert await join(*[desk.length(b"x" * 7000) for _ in range(70)]) == (7000,) * 70

    run(main)
