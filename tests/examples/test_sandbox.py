"""Row 55: a child opens nothing but what its parent opens for it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from examples import sandbox
from examples.sandbox import Child, Gate, Keeper, Plain, Program
from pinfut.executor import VirtualClock, run
from pinfut.rpc import (
    BankHandle,
    NotABank,
    OutOfCaps,
    OutOfPages,
    Rank,
    RpcError,
    SimKernel,
    Vat,
    connect,
    current_session,
    method,
    serve,
)
from tests.covered import covered, require


def test_a_child_reads_what_its_parent_lends_until_that_takes_it_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, after, keeper = run(sandbox.main(), clock=VirtualClock())
    refused = "passwords: PermissionError: passwords is not for you"
    assert before == ["notes: milk and bread", refused]
    assert after == ["notes: PermissionError: it was taken back", refused]
    assert keeper.asked == ["notes", "passwords", "passwords"], "every open is asked of the parent"
    assert len(capsys.readouterr().out.splitlines()) == 5


POOR = NotABank, OutOfCaps, OutOfPages


class LookAlike:
    """Says of itself that it is a bank."""

    name = "a bank"
    alive = True
    balance = 1000, 1000

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


class Escaping(Child):
    """Tries every way to a session of its own, and what it has for more than it is."""

    def __init__(self, kernel: SimKernel, poor: BankHandle) -> None:
        super().__init__()
        self.kernel = kernel
        self.poor = poor
        self.refused: list[type[BaseException]] = []
        self.opened = 0

    @method(answer=4096)
    async def run(self, gate: Gate, wanted: list[str]) -> list[str]:
        own = current_session().end
        payers: list[Any] = [None, LookAlike(), self, own.account, self.poor]
        for payer in payers:
            await self._escape(payer)
        for pages in range(2, 20):
            try:
                payer = own.nested(pages, 8)
            except OutOfPages as error:
                self.refused.append(type(error))
            else:
                await self._escape(payer)
                await own.end_nested(payer)
        file = cast(sandbox.File, await gate.open("notes"))
        with pytest.raises(AttributeError):
            await file.write("mine")
        return [await file.read()]

    async def _escape(self, payer: Any) -> None:
        try:
            async with connect(
                self.kernel, "vault", Gate, payer, slots=1, ring=64, cell=64
            ) as vault:
                await vault.open("passwords")
                self.opened += 1
        except RpcError as error:
            self.refused.append(type(error))


def test_a_child_without_pages_makes_no_server_but_its_parents_hold_anything() -> None:
    kernel = SimKernel(0)
    vault, keeper = Keeper({"passwords": Plain("p")}), Keeper({"notes": Plain("milk")})
    bank = kernel.bank("parent", pages=200)
    poor = bank.child("for the child", pages=1, caps=0)
    child = Escaping(kernel, BankHandle(poor, Rank.READ))

    held = bank.pages_used

    async def main() -> None:
        async with serve(kernel, "vault", vault) as vat, serve(kernel, "child", child):
            async with connect(
                kernel, "child", Program, bank, vat=Vat(kernel, "parent"), **sandbox.SIZES
            ) as program:
                assert await program.run(keeper, []) == ["milk"]
            assert vat.sessions == []
            assert vault.asked == []
        assert child.opened == 0
        assert bank.pages_used == held

    run(main(), clock=VirtualClock())
    kinds = {kind.__name__: child.refused.count(kind) for kind in POOR}
    assert sum(kinds.values()) == len(child.refused) == 5 + 18
    require(covered("sessions that a child asks for", **kinds), *kinds)
