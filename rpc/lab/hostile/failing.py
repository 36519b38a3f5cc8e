"""Clients whose calls fail: in decoding, in code of the service, in names and numbers."""

from __future__ import annotations

from typing import Final

import msgspec

from pinfut.rpc.lab.hostile.raw import call, short
from pinfut.rpc.lab.hostile.shop import COUNT, FAIL, HOLD, HOLD_ANY, LEASE, MAKE, Item, Shop
from pinfut.rpc.lab.hostile.stage import Scenario, Stage
from pinfut.rpc.wire.frames import BOOTSTRAP, CANCEL, FINISH, ON_ANSWER, PIPELINE

SLOTS: Final = 64


async def kept_errors(stage: Stage) -> None:
    """Has calls fail with a long text of wide letters, and finishes none of them."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    text = "\U0001f600" + "a" * 4000
    for x in range(SLOTS, 2 * SLOTS):
        raw.send(call(x, 0, FAIL, text, flags=PIPELINE, place=x % 4))
        await stage.sample()


async def code_in_arguments(stage: Stage) -> None:
    """Arguments whose own code raises: an ordinary error, a cancel, and what ends a program.
    Ctrl-C alone goes through, which no client can press."""
    raw = await stage.session(SLOTS)
    for n in range(20):
        first = SLOTS * (n + 1)
        raw.send(*(call(first + i, 0, LEASE, {"left": i % 4}, place=i % 4) for i in range(16)))
        await stage.sample()
        if raw.closed or len(raw.replies()) != 16:
            raise AssertionError("a call whose arguments raise was not answered")


async def noise(stage: Stage) -> None:
    """Arguments that are no message, of other types, too few and too many."""
    raw = await stage.session(SLOTS, ring=1 << 16)
    wrong = [b"", b"\xc1", b"\x91", b"\x91\xa1", b"\xff" * 100, b"\x92\x01\x02", b"\x90"]
    wrong += [msgspec.msgpack.encode([one]) for one in ("1", 1.5, None, [1], {"n": 1}, b"1")]
    for n in range(20):
        first = SLOTS * (n + 1)
        raw.send(*(call(first + i, 0, COUNT, payload=one) for i, one in enumerate(wrong)))
        await stage.sample()
        if raw.closed or len(raw.replies()) != len(wrong):
            raise AssertionError("arguments that make no sense were not answered")


async def nested_without_end(stage: Stage) -> None:
    """Lists in lists, as deep as a message is long: a decoder that calls itself has no stack for
    it."""
    raw = await stage.session(SLOTS, ring=1 << 18)
    for n in range(16):
        x = SLOTS + n
        raw.send(call(x, 0, HOLD_ANY, payload=b"\x91" * 1200 + b"\xc0", place=x % 4))
        await stage.sample()
        if raw.closed or raw.replies() != [x]:
            raise AssertionError("what is nested too deeply was not answered")


async def wrong_numbers(stage: Stage) -> None:
    """Calls by numbers of another interface, and by numbers that no interface has: nothing
    runs."""
    raw = await stage.session(SLOTS)
    raw.send(call(SLOTS, 0, MAKE))
    await stage.sample()
    raw.replies()
    raw.send(short(FINISH, SLOTS))
    for n in range(20):
        first = SLOTS * (n + 2)
        numbers = (COUNT + 1, HOLD, 300, (1 << 16) - 1)
        raw.send(*(call(first + i, 1, one, 1) for i, one in enumerate(numbers)))
        raw.send(*(call(first + 8 + i, 0, one, 1) for i, one in enumerate((99, 300, 65_535))))
        await stage.sample()
        if raw.closed or len(raw.replies()) != 7:
            raise AssertionError("a number without a method was not answered")


async def wrong_expectations(stage: Stage) -> None:
    """Asks for the root as what it is not, and uses answers as what they are not."""
    raw = await stage.session(SLOTS)
    x = SLOTS
    for _ in range(20):
        wrong = (Item._pinfut_id, 0, (1 << 64) - 1)
        raw.send(
            *(call(x + i, one, 0, kind=BOOTSTRAP, payload=b"") for i, one in enumerate(wrong)),
            call(x + 3, 0, MAKE, flags=PIPELINE),
            call(x + 4, x + 3, 0, 1, flags=ON_ANSWER, expects=Shop._pinfut_id),
        )
        await stage.sample()
        if raw.closed or len(raw.replies()) != 5:
            raise AssertionError("what was not granted was not answered")
        raw.send(*(short(FINISH, x + i) for i in range(4)))
        x += SLOTS


async def forged_places(stage: Stage) -> None:
    """Wants its answers where it has no memory, or in less than an answer takes."""
    for place, room in ((1 << 20, 256), (4, 1 << 30), (0, 1), ((1 << 32) - 1, 0)):
        raw = await stage.session(8)
        raw.send(call(8, 0, COUNT, 1, place=place, room=room))
        await stage.sample()
        if not raw.closed:
            raise AssertionError("an answer was written where there is no memory")


async def dies_with_everything_open(stage: Stage) -> None:
    """Its process dies with calls, objects and promises open, again and again."""
    for _ in range(8):
        raw = await stage.session(SLOTS, ring=1 << 16)
        raw.send(*(call(SLOTS + i, 0, HOLD, bytes(500), place=i % 4) for i in range(32)))
        raw.send(*(call(SLOTS + 32 + i, 0, MAKE, flags=PIPELINE) for i in range(16)))
        raw.send(*(short(CANCEL, SLOTS + i) for i in range(8)))
        await stage.sample()
        stage.die()
        del raw
        await stage.sample()


FAILING: Final = (
    Scenario(
        "errors that are never finished",
        kept_errors,
        "a failed answer was kept with its text, by the letter and not by the byte",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "code in arguments",
        code_in_arguments,
        "one call ended a server for everybody, another silenced it",
        "an exception out of a dataclass that was decoded; asyncio, 'Task exception'",
    ),
    Scenario(
        "arguments that are noise",
        noise,
        "a message that could not be read ended the connection of others",
        "RPyC and pickle-based servers",
    ),
    Scenario(
        "lists in lists without end",
        nested_without_end,
        "a decoder without a bound on its depth ran out of stack",
        "CVE-2023-39325's kin: CVE-2022-40897, msgpack and JSON decoders",
    ),
    Scenario(
        "numbers of another interface",
        wrong_numbers,
        "a client that was given a Reader deleted files",
        "measured on an earlier state of this server",
    ),
    Scenario(
        "expectations that are not granted",
        wrong_expectations,
        "who asked for an object as something else got it",
        "confused deputies; Cap'n Proto interface ids",
    ),
    Scenario(
        "answers where there is no memory",
        forged_places,
        "kernels wrote to an address that the caller made up",
        "CVE-2017-5123, waitid",
    ),
    Scenario(
        "dies with everything open",
        dies_with_everything_open,
        "servers kept what a client that died had not given back",
        "seL4 revoke; Genode child exit",
    ),
)
