"""The rooms of rpc/ lean on each other in one direction, and on no kernel but by its contract."""

from collections.abc import Iterator

import pytest

from tests.house.imports import ROOT, imports, sources

RPC = {"rpc": "pinfut.rpc"}

# Files at the top of rpc/ and the room that each counts as.
AT_THE_TOP = {
    "contract": "contract",
    "credit": "contract",
    "errors": "contract",
    "names": "contract",
    "prices": "contract",
    "records": "contract",
    "refill": "vat",
    "sync": "vat",
    "vat": "vat",
}

# Room → the rooms that it may know, types included.
KNOWS: dict[str, set[str]] = {
    "contract": set(),
    "bank": {"contract"},
    "memory": {"contract", "bank"},
    "wire": {"contract"},
    "objects": {"contract", "wire"},
    "session": {"contract", "wire", "objects"},
    "kernel": {"contract", "bank", "memory"},
    "vat": {"contract", "wire", "objects", "session", "bank", "memory", "kernel"},
    "lab": {"contract", "wire", "objects", "session", "bank", "memory", "kernel", "vat"},
}


def room_of(module: str) -> str | None:
    """The room of a module; None for one that is in none, as the package itself is."""
    parts = module.split(".")
    if parts[:2] != ["pinfut", "rpc"] or len(parts) < 3:
        return None
    return AT_THE_TOP.get(parts[2], parts[2] if parts[2] in KNOWS else None)


def trespasses(module: str, source: str) -> Iterator[str]:
    """Imports of a room that this module's room may not know."""
    mine = room_of(module)
    if mine is None:
        return
    for one in imports(source):
        room = room_of(one.target) or room_of(one.module)
        if room is not None and room != mine and room not in KNOWS[mine]:
            yield f"{module}, line {one.line}: {mine} may not know {room} ({one.target})"


def test_no_room_knows_one_that_stands_on_it() -> None:
    seen: set[str] = set()
    found: list[str] = []
    for module, path in sources(RPC):
        seen.add(room_of(module) or "")
        found += trespasses(module, path.read_text("utf-8"))
    assert found == []
    assert seen >= set(KNOWS), "a room without a file is not checked"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pinfut.rpc.session.calls_out", "from pinfut.rpc.kernel.sim.kernel import SimKernel"),
        ("pinfut.rpc.session.session", "from pinfut.rpc.bank.bank import Bank"),
        ("pinfut.rpc.wire.peer", "def f():\n    from pinfut.rpc.objects.proxy import proxy"),
        ("pinfut.rpc.objects.proxy", "if TYPE_CHECKING:\n    from pinfut.rpc.session import x"),
        ("pinfut.rpc.contract", "from pinfut.rpc.bank.bank import Bank"),
        ("pinfut.rpc.bank.bank", "from pinfut.rpc.memory.pages import Region"),
        ("pinfut.rpc.kernel.sim.kernel", "from pinfut.rpc.wire import frames"),
        ("pinfut.rpc.vat", "from pinfut.rpc.lab import rules"),
    ],
)
def test_a_planted_trespass_is_caught(module: str, source: str) -> None:
    assert list(trespasses(module, source))


def test_what_runs_services_loads_nothing_of_the_lab() -> None:
    outside = [(m, p) for m, p in sources(RPC) if room_of(m) != "lab"]
    assert len(outside) > 40
    for module, path in outside:
        targets = [one.target for one in imports(path.read_text("utf-8"))]
        assert not [one for one in targets if one.startswith("pinfut.rpc.lab")], module


def test_every_file_of_rpc_is_in_a_room() -> None:
    for module, path in sources(RPC):
        if path.parent == ROOT / "rpc" and path.stem == "__init__":
            continue
        assert room_of(module) is not None, f"{module} stands in no room"
