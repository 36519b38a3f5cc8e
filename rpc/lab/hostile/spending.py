"""Clients that spend: sessions, timers, events, names, banks and long messages."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from pinfut.executor import sleep
from pinfut.executor.asyncgens import OVER
from pinfut.executor.timers import MIN_DEAD
from pinfut.rpc.errors import BankError, RpcError
from pinfut.rpc.lab.hostile.raw import call, short
from pinfut.rpc.lab.hostile.shop import BELOW, HOLD, HOLD_ANY, JOIN, NAP, RING, WATCH
from pinfut.rpc.lab.hostile.stage import DENSE, Scenario, Stage
from pinfut.rpc.wire.frames import CANCEL

SLOTS: Final = 64

DEAD_TIMERS: Final = 2 * MIN_DEAD * 224
"""Bytes that a loop keeps of timers that were given up: at most so many entries."""

GENERATORS: Final = OVER * (32 + 32)
"""Bytes that a loop keeps of async generators that are over: numbers, and the table of them."""


async def amplified(stage: Stage) -> None:
    """Messages of which each byte becomes a table of its own when it is here."""
    raw = await stage.session(SLOTS, service="dense")
    count = DENSE - 64
    payload = b"\x91\xdd" + count.to_bytes(4, "big") + b"\x80" * count
    for x in range(SLOTS, SLOTS + 32):
        raw.send(call(x, 0, HOLD_ANY, payload=payload, place=x % 4))
        await stage.sample()


async def longest_messages(stage: Stage) -> None:
    """Messages as long as the server takes them, and one byte more: that one ends the session."""
    raw = await stage.session(8, ring=1 << 18)
    longest = (1 << 17) - 64
    for x in range(8, 14):
        raw.send(call(x, 0, HOLD, bytes(longest), place=x % 4))
        await stage.sample()
    if raw.closed:
        raise AssertionError("the longest message was refused")


async def dense(stage: Stage) -> None:
    """Messages that are as many things as they have bytes, one behind the other, as long as the
    service takes them; one that is longer ends the session."""
    raw = await stage.session(SLOTS, service="dense")
    count = DENSE - 64
    payload = b"\x91\xdd" + count.to_bytes(4, "big") + b"\x80" * count
    raw.send(*(call(x, 0, HOLD_ANY, payload=payload) for x in range(SLOTS, 2 * SLOTS)))
    for _ in range(400):
        await stage.turn()
    await stage.sample()
    if raw.closed or stage.things < SLOTS * count:
        raise AssertionError("its messages were not looked at")
    raw.send(call(2 * SLOTS, 0, HOLD_ANY, payload=payload + payload))
    await stage.sample()
    if not raw.closed:
        raise AssertionError("a message above the server's limit was taken")


async def dense_and_wrong(stage: Stage) -> None:
    """The same, with an end that is wrong: what was decoded until then is thrown away, and the
    call is refused; again and again."""
    raw = await stage.session(SLOTS, service="dense")
    count = DENSE - 64
    payload = b"\x91\xdd" + count.to_bytes(4, "big") + b"\x80" * (count - 1) + b"\xc1"
    x = answered = SLOTS
    for _ in range(400):
        answered += len(raw.replies())
        calls = (call(x + i, 0, HOLD_ANY, payload=payload) for i in range(answered + SLOTS - x))
        x += raw.offer(*calls)
        await stage.turn()
    await stage.sample()
    if raw.closed or answered < 3 * SLOTS:
        raise AssertionError("its messages were not looked at")


async def poor_sessions(stage: Stage) -> None:
    """Opens sessions with a bank that cannot pay for them, and of sizes that nobody bears."""
    await stage.session(8)
    poor = stage.bank.child("poor", pages=3, caps=3)
    for n in range(200):
        with suppress(BankError):
            await stage.session(8 + n, bank=poor)
            raise AssertionError("a session that nobody paid for")
        with suppress(RpcError, ValueError):
            await stage.session(1 << 24)
            raise AssertionError("a session larger than a server bears")
        if n % 20 == 0:
            await stage.sample()
    poor.close()


async def churn(stage: Stage) -> None:
    """Opens sessions and lets go of each at once."""
    await stage.session(8)
    for n in range(120):
        raw = await stage.session(8)
        raw.send(call(8, 0, HOLD, b"what is held"))
        stage.forget(raw)
        if n % 10 == 0:
            await stage.sample()
    await stage.sample()


async def long_names(stage: Stage) -> None:
    """Opens sessions with banks whose names are as long as they may be, since who pays stands in
    what the server keeps about each; longer ones are refused."""
    for n in range(24):
        with suppress(ValueError):
            stage.child(f"{n} " + "n" * 20_000)
            raise AssertionError("a name that nobody pays for")
        raw = await stage.session(8, bank=stage.child(f"{n:0111}"))
        raw.send(call(8, 0, HOLD, b"what is held"))
        await stage.sample()


async def timers(stage: Stage) -> None:
    """Has handlers sleep for long, and cancels them: what is left of their timers is not more than
    of those that sleep."""
    raw = await stage.session(SLOTS)
    x = SLOTS
    for _ in range(30):
        raw.send(*(call(x + i, 0, NAP, 1e6, place=i % 4) for i in range(SLOTS)))
        await stage.sample()
        raw.send(*(short(CANCEL, x + i) for i in range(SLOTS)))
        await stage.sample()
        x += SLOTS
    await sleep(1e-3)


async def unread_events(stage: Stage) -> None:
    """Subscribes, has much happen, and looks at none of it."""
    raw = await stage.session(SLOTS)
    buffer = stage.events(raw, SLOTS)
    raw.send(*(call(SLOTS + i, 0, WATCH, buffer.open(), place=i % 4) for i in range(32)))
    await stage.sample()
    for n in range(2, 40):
        raw.send(call(SLOTS * n, 0, RING, 20))
        await stage.sample()
        raw.replies()


async def banks_below(stage: Stage) -> None:
    """Has each of its calls open a bank for what the server asks of others, and ends none."""
    raw = await stage.session(SLOTS)
    for n in range(8):
        calls = range(SLOTS + 8 * n, SLOTS + 8 * (n + 1))
        raw.send(*(call(x, 0, BELOW, place=x % 4) for x in calls))
        await stage.sample()


async def joins(stage: Stage) -> None:
    """Subscribes again and again to what the server stores once for all, from sessions that it
    then lets go of."""
    for _ in range(8):
        raw = await stage.session(SLOTS)
        raw.send(*(call(SLOTS + i, 0, JOIN, place=i % 4) for i in range(SLOTS)))
        await stage.sample()
        stage.forget(raw)
        del raw
        await stage.sample()
    if stage.shop.shared.stored:
        raise AssertionError("it is stored, and nobody pays")


SPENDING: Final = (
    Scenario(
        "arguments that become much",
        amplified,
        "a message of n bytes took 74 n when it was decoded",
        "decompression bombs; wasmtime's advisories of February 2026",
    ),
    Scenario(
        "messages of many things",
        dense,
        "a message of 8 MiB of empty lists was decoded and weighed for 3.8 s",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "messages of many things with a wrong end",
        dense_and_wrong,
        "parsers built all of a document before they refused it, and nobody paid",
        "hash and entity floods: CVE-2011-4885, CVE-2003-1564",
    ),
    Scenario(
        "the longest messages",
        longest_messages,
        "one message of 8 MiB was weighed for 3.8 s",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "sessions that nobody pays for",
        poor_sessions,
        "servers make a connection's state before they know who pays for it",
        "SYN floods; Genode base/service.h",
    ),
    Scenario(
        "sessions that come and go",
        churn,
        "what a server keeps about each connection there ever was",
        "CVE-2023-44487's kin: connection churn",
    ),
    Scenario(
        "long names",
        long_names,
        "64 sessions of a bank with a long name held its name 64 times",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "timers that are given up",
        timers,
        "asyncio keeps cancelled timers until half of the heap are such",
        "asyncio base_events.py, _MIN_SCHEDULED_TIMER_HANDLES",
        DEAD_TIMERS,
    ),
    Scenario(
        "events that nobody reads",
        unread_events,
        "publishers queue for a subscriber that does not read",
        "Redis client-output-buffer-limit pubsub",
    ),
    Scenario(
        "banks below",
        banks_below,
        "what a nested server holds was nobody's",
        "Cap'n Proto setFlowLimit",
        GENERATORS,
    ),
    Scenario(
        "joins what is stored once",
        joins,
        "replies without a copy escaped the accounting of clients",
        "Redis #14934",
    ),
)
