"""Two processes share no Python object: nothing that one leads to leads to the other."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.executor import current_executor, spawn, yield_now
from pinfut.rpc.bank.reservation import Reservation
from pinfut.rpc.contract import Kernel, SessionSpec
from pinfut.rpc.errors import RpcError
from pinfut.rpc.memory.event_buffer import EventBuffer
from tests.covered import covered, require
from tests.rpc.contract.pair import ALL, Pair, arrived, frame, run
from tests.rpc.contract.walk import common, reached

NAME = "two processes share nothing"


async def talk(pair: Pair) -> list[list[Any]]:
    """Everything in use in both directions; what each process holds then."""
    out, requests = pair.near.submissions(), pair.incoming()
    back = pair.far.submissions()
    for n in range(3):
        place, large = out.reserve(64), out.reserve(9000)
        out.submit(frame(16, n))
        back.submit(frame(24, n))
        pair.near.publish()
        pair.far.publish()
        await arrived()
        requests.receive(9, ALL)
        requests.complete(place, n, frame(9))
        requests.complete(large, n, frame(8000))
        pair.far.publish()
        await arrived()
        out.completed()
        out.read(place)
        out.release(place)
    pair.near.keep_ticket(1, Reservation(pair.bank, 3))
    pair.far.account.take(5000)
    pair.far.account.take_cap()
    number = pair.far.refund(2, "an index")
    nested = pair.far.nested(9, 9)
    return [
        [pair.client, pair.near, out, pair.near.requests(), pair.near.account],
        [pair.server, pair.far, back, requests, pair.far.account, pair.port, nested, number],
    ]


async def waits(pair: Pair, what: str) -> None:
    """A task of one side that waits in the kernel."""
    try:
        if what == "freed":
            await pair.near.wait_freed()
        else:
            nested = pair.far.nested(9, 9)
            nested.buy(1)
            await pair.far.end_nested(nested)
            await pair.far.wait_freed()
    except RpcError:
        pass


def test_no_object_of_one_side_is_an_object_of_the_other(kernel: Kernel) -> None:
    async def main() -> None:
        buffer = EventBuffer(kernel.bank("buffer", pages=9), places=2)  # type: ignore[attr-defined]
        pair = Pair(kernel, SessionSpec(slots=4, ring=4096, refund=5, events=buffer))
        ours, theirs = await talk(pair)
        theirs.append(pair.far.events())
        # Of a task only its coroutine is a process's own; the task stands in the executor.
        coros = [waits(pair, "freed"), waits(pair, "nested")]
        tasks = [spawn(coro) for coro in coros]
        await yield_now()
        ours += [coros[0], pair.near.wait_freed()]
        theirs += [coros[1]]
        stops = [kernel, current_executor(), pair, *tasks]
        found = common(ours, theirs, stops)
        assert found == [], [type(one) for one in found]
        covered(NAME, ours=len(reached(ours, stops)), theirs=len(reached(theirs, stops)))
        # What would be found, if it were there.
        planted: dict[str, int] = {}
        assert common([*ours, planted], [*theirs, [planted]], stops) == [planted]
        buffer.end(RuntimeError())
        ours[-1].drop()
        pair.near.close()
        pair.far.account.give(5000)
        pair.far.account.give_cap()
        pair.far.close()
        for task in tasks:
            await task
        buffer.free()
        assert pair.used == (0, 0)

    run(main)
    require(covered(NAME), "ours", "theirs")


@pytest.mark.parametrize("what", ["account", "ending", "level"])
def test_an_object_that_both_sides_hold_is_found(kernel: Kernel, what: str) -> None:
    """Wherever it is put."""

    async def main() -> None:
        pair = Pair(kernel)
        shared: Any = {"planted": 1}
        setattr(pair.near, what, shared)
        setattr(pair.far, what, [shared])
        stops = [kernel, current_executor()]
        assert common([pair.near], [pair.far], stops) == [shared]

    run(main)
