"""Status: a promise is seen kept or broken in memory, and what is seen there decides nothing."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.executor import sleep, yield_now
from pinfut.laws import TakenTwice
from pinfut.rpc import Promise, RemoteError, connect, session_of, status
from pinfut.rpc.contract import SENDER, Cap
from pinfut.rpc.objects.promise import IMPORTED, PROMISED
from pinfut.rpc.objects.proxy import target_of
from pinfut.rpc.session.session import Session
from pinfut.rpc.wire.frames import ERROR
from pinfut.slots import WAITING
from tests.covered import covered
from tests.rpc import hostile
from tests.rpc.services import Desk, DeskServer, Thing, ThingServer
from tests.rpc.world import World, only, quiet, run


async def _checked(n: int) -> int:
    if n > 1:
        await sleep(n)
    if n % 2:
        raise ValueError(n)
    return n


def _did(world: World, *sides: Session) -> tuple[Any, ...]:
    """All that a frame, an answer or a transition would change."""
    return dict(world.kernel.transitions), [side.end.written for side in sides]  # type: ignore[attr-defined]


def test_a_promise_is_seen_kept_or_broken_without_a_frame_or_a_transition() -> None:
    """Row 68: plain ones, large ones, capabilities, pipelined calls, and calls without a slot."""

    async def main(world: World) -> None:
        async with (
            world.served("service", DeskServer(do=_checked)) as vat,
            connect(world.kernel, "service", Desk, world.bank(), slots=8) as desk,
        ):
            near, far = session_of(desk), only(vat)
            made, failed = desk.make("cup", 3), desk.fail("no", 3)
            calls: dict[str, tuple[Any, str]] = {
                "kept": (desk.do(2), "fulfilled"),
                "broken": (desk.do(3), "broken"),
                "large": (desk.data(9000, 3), "fulfilled"),
                "given": (made, "fulfilled"),
                "none given": (failed, "broken"),
                "on what is given": (made.name(), "fulfilled"),
                "on what is not": (failed.do(2), "broken"),
                "waits for a slot": (desk.do(0), "fulfilled"),
                "and another": (desk.do(1), "broken"),
            }
            assert status(desk) == "fulfilled"
            before = _did(world, near, far)
            assert {status(call) for call, _ in calls.values()} == {"pending"}
            assert _did(world, near, far) == before
            await sleep(10)
            before = _did(world, near, far)
            for name, (call, ends) in calls.items():
                assert status(call) == ends, name
                covered("statuses", **{ends: 1})
            assert _did(world, near, far) == before
            for call, ends in calls.values():
                if ends == "broken":
                    with pytest.raises(RemoteError):
                        await call
                else:
                    await call
                if isinstance(call, Promise):
                    with pytest.raises(TakenTwice):
                        status(call)
            with pytest.raises(TypeError, match="nothing that a call gave"):
                status(sleep(1))

    run(main)
    assert covered("statuses") == {"fulfilled": 5, "broken": 4}


def test_a_status_is_there_before_the_client_has_been_told() -> None:
    """It is read in the memory of the answer, not in what was noted of the completions."""

    async def main(world: World) -> None:
        async with world.session(Desk, DeskServer(do=_checked)) as desk:
            await desk.do(0)
            for n, ends in ((0, "fulfilled"), (1, "broken")):
                call = desk.do(n)
                question = call.question
                assert question is not None
                for _ in range(10):
                    if status(call) != "pending":
                        break
                    await yield_now()
                assert (status(call), question.state) == (ends, WAITING)
                call.drop()

    run(main)


def test_a_page_that_lies_gives_no_authority() -> None:
    """Row 68: a server writes that it has given a capability, or an error, and has not."""

    async def main(world: World) -> None:
        async with (
            world.served("service", DeskServer(do=_checked)) as vat,
            connect(world.kernel, "service", Desk, world.bank()) as desk,
        ):
            near, far = session_of(desk), only(vat)
            made, kept = desk.make("cup", 3), desk.do(2)
            name = made.name()
            await quiet()
            first, second = far.peer.open_answers()[0], far.peer.open_answers()[1]
            held, used = near.end.account.used, len(near.peer.exports.things)
            far.end.hand_over((Cap(SENDER, 77, Thing._pinfut_id),), first.place)
            lies = ((first, hostile.returned(first.x, b"", flags=0, caps=1), "fulfilled"),
                    (second, hostile.returned(second.x, b"", flags=ERROR), "broken"))  # fmt: skip
            for answer, lie, _ in lies:
                page, start = far._requests._cells[answer.place]  # type: ignore[union-attr]
                page[start : start + len(lie)] = lie
            assert [status(made), status(kept)] == [seen for _, _, seen in lies]
            await quiet()
            target = target_of(made)
            assert target is not None
            # Nothing of it counts: it stands for no import, holds nothing, and goes on waiting.
            assert (target.state, target.id) == (PROMISED, first.x)
            assert not near.peer.imports.holds(77)
            assert (near.end.account.used, len(near.peer.exports.things)) == (held, used)
            assert [status(name), near.error] == ["pending", None]
            with pytest.raises(TypeError):
                near.out.submissions._cells[first.place][0][0] = 0  # type: ignore[attr-defined]
            # What the server says in the end is what was so.
            assert [await kept, await name] == [2, "cup"]
            await made
            assert (target.state, target.id != 77) == (IMPORTED, True)

    run(main)


def test_calls_of_this_process_and_of_a_session_that_ended_have_a_status() -> None:
    async def main(world: World) -> None:
        here: Desk = DeskServer(do=_checked)
        calls = {
            "fulfilled": (here.do(2), here.make("cup", 2), here.make("cup", 2).name()),
            "broken": (here.do(3), here.fail("no", 2)),
        }
        assert {status(call) for calls in calls.values() for call in calls} == {"pending"}
        await sleep(5)
        for ends, some in calls.items():
            assert [status(call) for call in some] == [ends] * len(some)
        for call in calls["broken"]:
            with pytest.raises(ValueError, match=r"3|no"):
                await call
        await calls["fulfilled"][0]
        await calls["fulfilled"][2]
        thing = ThingServer("own")
        assert status(thing) == "fulfilled"
        async with world.session(Desk, DeskServer(do=_checked)) as desk:
            pending, made = desk.do(50), desk.make("cup", 50)
            back = desk.back(thing)
            assert status(await back) == "fulfilled"
        assert [status(pending), status(made)] == ["broken", "broken"]
        pending.drop()
        made.release()
        with pytest.raises(TakenTwice):
            status(made)

    run(main)
