"""Random programs over three servers that a client introduces to each other, against a model."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc import (
    BankError,
    ForeignCapability,
    RpcError,
    Session,
    Vat,
    connect,
    introduce,
    serve,
)
from tests.covered import covered, require
from tests.rpc.services import Desk, DeskServer
from tests.rpc.world import World, quiet, run

SERVERS = 3
WHERE = st.integers(0, SERVERS - 1)
ONE = st.integers(0, 7)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("make"), WHERE, WHERE),
        st.tuples(st.just("introduce"), ONE, WHERE),
        st.tuples(st.just("introduce"), ONE, WHERE),
        st.tuples(st.just("use"), ONE, WHERE),
        st.tuples(st.just("keep"), ONE, WHERE),
        st.tuples(st.just("forget"), WHERE, WHERE),
        st.tuples(st.just("drop"), ONE, WHERE),
        st.tuples(st.just("drain"), WHERE, WHERE),
        st.tuples(st.just("fill"), WHERE, WHERE),
        st.tuples(st.just("end"), WHERE, st.sampled_from(["leave", "kill"])),
    ),
    min_size=8,
    max_size=30,
)
COUNTS = ("introduced", "poor", "gone", "used", "kept", "refused", "ended", "routes")


@given(STEPS)
def run_introductions(
    steps: list[tuple[Any, Any, Any]],
) -> None:
    counts = dict.fromkeys(COUNTS, 0)

    async def main(world: World) -> None:
        client = Vat(world.kernel, "client")
        keepers = [DeskServer(f"{i}/") for i in range(SERVERS)]
        banks = [world.bank(f"b{i}", pages=300) for i in range(SERVERS)]
        async with AsyncExitStack() as stack:
            vats = [
                await stack.enter_async_context(serve(world.kernel, f"s{i}", keepers[i]))
                for i in range(SERVERS)
            ]
            opened = [
                connect(world.kernel, f"s{i}", Desk, banks[i], vat=client, slots=8)
                for i in range(SERVERS)
            ]
            desks = [await one.__aenter__() for one in opened]
            up = [True] * SERVERS
            # The model: (proxy, its name, at which session it may be passed, whose it is).
            caps: list[tuple[Any, str, int, int]] = []
            caps += [(await desks[i].make("t"), f"{i}/t", i, i) for i in range(SERVERS)]
            made = 0
            for what, n, where in steps:
                cap = caps[n % len(caps)] if caps and what in ("introduce", "use", "keep") else None
                if what == "make" and up[n] and len(caps) < 8:
                    try:
                        caps.append((await desks[n].make(f"t{made}"), f"{n}/t{made}", n, n))
                    except BankError:
                        counts["poor"] += 1
                    made += 1
                elif cap is not None and what == "introduce" and cap[2] != cap[3]:
                    # What was introduced is the receiver's, who cannot provide it.
                    thing, _, at, _ = cap
                    if up[at] and up[where] and at != where:
                        with pytest.raises((ForeignCapability, BankError)):
                            await introduce(thing, desks[where])
                        counts["refused"] += 1
                elif cap is not None and what == "introduce" and len(caps) < 8:
                    thing, name, at, owner = cap
                    try:
                        caps.append(
                            (await introduce(thing, desks[where], slots=4), name, where, owner)
                        )
                        # Where it is at home already there is nothing to do, and nothing is asked.
                        assert at == where or (up[at] and up[where])
                        counts["introduced"] += at != where
                    except BankError:
                        counts["poor"] += 1
                    except RpcError:
                        assert not (up[at] and up[where])
                        counts["gone"] += 1
                elif cap is not None and what in ("use", "keep"):
                    thing, name, at, owner = cap
                    try:
                        if where != at:
                            if up[where]:
                                with pytest.raises((ForeignCapability, RpcError)):
                                    await desks[where].name_of(thing)
                                counts["refused"] += 1
                        elif what == "use":
                            assert await desks[at].name_of(thing) == name
                            assert await thing.name() == name
                            assert up[at]
                            assert up[owner]
                            counts["used"] += 1
                        else:
                            await desks[at].keep(thing)
                            counts["kept"] += 1
                    except BankError:
                        counts["poor"] += 1
                    except RpcError:
                        assert not (up[at] and up[owner])
                        counts["gone"] += 1
                elif what == "forget":
                    keepers[n].keeping.clear()
                elif what == "drop" and caps:
                    del caps[n % len(caps)]
                elif what == "drain":
                    banks[n].refill(pages=where - banks[n].balance.pages)
                elif what == "fill":
                    banks[n].refill(pages=max(0, 40 - banks[n].balance.pages))
                elif what == "end" and up[n]:
                    up[n] = False
                    counts["ended"] += 1
                    if where == "kill":
                        vats[n].kill()
                    else:
                        await opened[n].__aexit__(None, None, None)
                cap = thing = None
                seen = world.kernel.transitions
                counts["routes"] = max(counts["routes"], seen["introduce"] - seen["withdraw"])
            caps.clear()
            for keeper in keepers:
                keeper.keeping.clear()
            await quiet()
            for vat, alive in zip(vats, up, strict=True):
                if alive:
                    for session in vat.sessions:
                        assert holds(session) <= 1, "more than the root is left"
            for i in range(SERVERS):
                await opened[i].__aexit__(None, None, None)
            await client.close()

    run(main)
    covered("random introductions", **counts)


def test_random_introductions_name_what_they_should_and_pay_everything_back() -> None:
    """Rows 38 to 43 and bank rule 34. Each capability is what the model says, usable exactly at
    the server that it was introduced to, and in the end every bank is whole and no server holds
    anything."""
    run_introductions()
    require(covered("random introductions"), *COUNTS)


def holds(session: Session) -> int:
    """How many objects a side lends to the other, and holds of it."""
    return len(session.peer.exports) + len(session.peer.imports)
