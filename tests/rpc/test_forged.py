"""Rows 11 and 52: a server sees no capability that its client was not able to hand over, whatever
bytes this writes where both can write."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Protocol

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pinfut.rpc import Interface, connect, method
from pinfut.rpc.contract import RECEIVER, SENDER, Cap
from pinfut.rpc.errors import ProtocolError, UnknownObject
from pinfut.rpc.memory.side_table import CAP
from pinfut.rpc.objects.proxy import target_of
from tests.covered import covered, require
from tests.rpc.hostile import Raw, call
from tests.rpc.services import Thing, ThingServer
from tests.rpc.world import World, quiet, run

NAME = "forged capabilities"
NEVER = 900
"""From this number on no capability was ever handed over."""


class Vault(Interface, Protocol):
    @method
    async def take(self, things: list[Thing]) -> int: ...
    @method
    async def give(self) -> Thing: ...
    @method
    async def secret(self) -> Thing: ...


class VaultServer(Vault):
    """Notes what its handlers get to see."""

    def __init__(self) -> None:
        self.foreign: Counter[int] = Counter()
        self.own: set[Any] = set()
        self.given = ThingServer("given")
        self.hidden = ThingServer("secret")

    @method
    async def take(self, things: list[Thing]) -> int:
        for thing in things:
            target = target_of(thing)
            if target is None:
                self.own.add(thing)
            else:
                self.foreign[target.id] += 1
        return len(things)

    @method
    async def give(self) -> Thing:
        return self.given

    @method
    async def secret(self) -> Thing:
        return self.hidden


def test_no_bytes_in_the_ring_make_a_server_see_what_was_not_handed_over() -> None:
    write_anything()
    seen = "foreign", "own", "refused", "lied", "forged", "flipped", "ended"
    require(covered(NAME), *seen)


@given(seed=st.integers(0, 1 << 32))
def write_anything(seed: int) -> None:
    draw = random.Random(seed)
    counts: Counter[str] = Counter()

    async def main(world: World) -> None:
        server = VaultServer()
        async with (
            world.served("service", server) as vat,
            connect(world.kernel, "service", Vault, world.bank("honest")) as vault,
        ):
            secret = await vault.secret()
            for n in range(2):
                raw = Raw(world.kernel, "service", world.bank(f"hostile {n}"), 8)
                await raw.bootstrap(Vault)
                (far,) = [one for one in vat.sessions if one.name == raw.end.name]
                handed: Counter[int] = Counter()
                server.foreign.clear()
                server.own.clear()
                raw.send(call(1, 0, 1, flags=2))  # now it holds `given`, and no other Thing
                await quiet()
                raw.replies()
                held = set(far.peer.exports.things)
                for x in range(2, draw.randrange(4, 14)):
                    await step(raw, x, held, handed)
                    if far.error is not None:
                        assert isinstance(far.error, ProtocolError)
                        counts["ended"] += 1
                        break
                assert not server.foreign - handed, "seen as often as handed over, and no more"
                assert server.own <= {server.given}
                counts["foreign"] += server.foreign.total()
                counts["own"] += len(server.own)
                raw.leave()
                await quiet()
            assert await secret.name() == "secret"

    async def step(raw: Raw, x: int, held: set[int], handed: Counter[int]) -> None:
        caps = [
            Cap(SENDER, draw.randrange(5), Thing._pinfut_id)
            if draw.random() < 0.6
            else Cap(RECEIVER, draw.choice([*held, *held, 2, 3, 1 << 32]), Thing._pinfut_id)
            for _ in range(draw.randrange(4))
        ]
        try:
            if caps:
                raw.end.hand_over(caps)
            assert all(cap.id in held for cap in caps if cap.kind == RECEIVER)
        except UnknownObject:
            assert not all(cap.id in held for cap in caps if cap.kind == RECEIVER)
            counts["refused"] += 1
            caps = []
        handed.update(cap.id for cap in caps if cap.kind == SENDER)
        said = len(caps) if draw.random() < 0.9 else draw.randrange(5)
        counts["lied"] += said != len(caps)
        body = msgspec.msgpack.encode([draw.sample(range(said), draw.randrange(said + 1))])
        if draw.random() < 0.1:
            # As they would stand among the bytes, if they stood there.
            forged = Cap(RECEIVER, draw.choice([*held]), 7), Cap(SENDER, NEVER + x, 7)
            body = b"".join(CAP.pack(*one) for one in forged[: said or 2]) + body
            counts["forged"] += 1
        frame = bytearray(call(x, 0, 0, caps=said, payload=body))
        if draw.random() < 0.1:
            # Anything but the method, or it might be given the secret.
            frame[draw.choice([4, 5, *range(8, len(frame))])] ^= 1 << draw.randrange(8)
            counts["flipped"] += 1
        raw.send(bytes(frame))
        await quiet()
        raw.replies()

    run(main)
    covered(NAME, **counts)
