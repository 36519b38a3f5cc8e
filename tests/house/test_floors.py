"""Imports go down the floors, never up and never in a circle: rpc → executor → pinfut."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from textwrap import dedent

import pytest

from tests.house.imports import BESIDE, FLOORS, ROOT, imports, sources

COMMAND = ("pinfut.__main__", "pinfut.command")
ON_TOP = (*COMMAND, "pinfut.learn")

# Floor → what stands above it. A module is on the first floor here that it is within.
ABOVE = {
    # The command stands on the whole house: it shows what every floor can do.
    "pinfut.__main__": (),
    "pinfut.command": ("pinfut.__main__",),
    # So does what teaches, and the command shows that, too.
    "pinfut.learn": COMMAND,
    # A door of the executor's, under a name that is found.
    "pinfut.asyncio": ON_TOP,
    "pinfut.rpc": ON_TOP,
    "pinfut.executor": (*ON_TOP, "pinfut.rpc", "pinfut.asyncio"),
    "pinfut": (*ON_TOP, "pinfut.rpc", "pinfut.executor", "pinfut.asyncio"),
}


# What a module gives of a floor above, loaded when it is asked for.
GIVEN = {("pinfut", "pinfut.executor.hosts.guest.guest")}


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def offences(module: str, source: str) -> Iterator[str]:
    """What is wrong with the imports of one module, taken alone.

    Imports in functions and under TYPE_CHECKING count too: a name from the floor
    above is a dependency on it, whenever it is loaded.
    """
    floor = next((floor for floor in ABOVE if within(module, floor)), None)
    for found in imports(source):
        where = f"{module}, line {found.line}"
        if found.level:
            yield f"{where}: a relative import; write the whole name"
            continue
        for name in ("executor", "rpc"):
            if within(found.target, name):
                yield f"{where}: imports {found.target}; write pinfut.{found.target}"
        if floor is None:
            continue
        for name in BESIDE:
            if within(found.target, name):
                yield f"{where}: imports {found.target}; {floor} may import floors only"
        for name in ABOVE[floor]:
            if within(found.target, name) and (module, found.target) not in GIVEN:
                yield f"{where}: imports {found.target}, which stands above {floor}"


def graph(modules: Mapping[str, str], at_load: bool) -> dict[str, set[str]]:
    """Which of the modules each one imports: while it loads, or whenever and for whatever.

    `import a.b` also loads the package `a`; that is left out. A package that gathers
    names from its modules is no circle; a module that asks its own package for a name is.
    """
    found: dict[str, set[str]] = {module: set() for module in modules}
    for module, source in modules.items():
        for each in imports(source):
            loaded = each.target if each.target in modules else each.module
            if loaded in modules and (each.at_load or not at_load):
                found[module].add(loaded)
    return found


def cycle(modules: Mapping[str, str]) -> list[str] | None:
    """Modules that import one another in a circle while they load, or None."""
    try:
        TopologicalSorter(graph(modules, at_load=True)).prepare()
    except CycleError as error:
        # It lists each module before the one that imports it; turn that round.
        circle: list[str] = error.args[1]
        return circle[::-1]
    return None


def circle(modules: Mapping[str, str], chosen: Iterable[str]) -> list[str] | None:
    """A shortest circle through one of the `chosen` modules, imports in functions and for types
    counted; or None."""
    edges = graph(modules, at_load=False)
    for start in chosen:
        ways = deque([[start]])
        seen = set()
        while ways:
            way = ways.popleft()
            for module in sorted(edges[way[-1]]):
                if module == start:
                    return [*way, start]
                if module not in seen:
                    seen.add(module)
                    ways.append([*way, module])
    return None


def test_every_floor_has_files_to_check() -> None:
    seen = dict.fromkeys(FLOORS.values(), 0)
    for module, _ in sources(FLOORS):
        seen[next(floor for floor in ABOVE if within(module, floor) and floor in seen)] += 1
    assert all(seen.values()), f"no source files found: {seen}"


def test_the_upper_floors_are_links_inside_the_lowest() -> None:
    for name in ("executor", "rpc"):
        link = ROOT / "pinfut" / name
        assert link.is_symlink(), f"{link} is no symbolic link (git config core.symlinks true)"
        assert link.readlink().as_posix() == f"../{name}"


def test_no_module_imports_from_above_its_floor() -> None:
    found = [
        offence
        for module, path in sources({**FLOORS, **BESIDE})
        for offence in offences(module, path.read_text("utf-8"))
    ]
    assert not found, "\n" + "\n".join(found)


# What a future of one's own may use, and so what the futures of the house may.
PUBLIC = {
    "pinfut.core",
    "pinfut.checked",
    "pinfut.closing",
    "pinfut.coroutine",
    "pinfut.forgotten",
    "pinfut.future",
    "pinfut.laws",
    "pinfut.pin",
    "pinfut.places",
    "pinfut.poll",
    "pinfut.variables",
}
ON_PUBLIC_MODULES = ("pinfut.combinators", "pinfut.streams", "pinfut.sync")


def beyond_public(module: str, source: str) -> list[str]:
    """What a module of those packages imports beyond the public modules and each other."""
    if not module.startswith(ON_PUBLIC_MODULES):
        return []
    return [
        found.target
        for found in imports(source)
        if found.module.split(".")[0] == "pinfut"
        and found.module not in PUBLIC
        and found.target not in PUBLIC
        and not found.target.startswith(ON_PUBLIC_MODULES)
    ]


def test_locks_channels_and_streams_use_the_public_future_and_waker_alone() -> None:
    found = {
        module: beyond
        for module, path in sources(FLOORS)
        if (beyond := beyond_public(module, path.read_text("utf-8")))
    }
    assert found == {}
    seen = {module for module, _ in sources(FLOORS) if module.startswith(ON_PUBLIC_MODULES)}
    assert {"pinfut.sync.lock", "pinfut.streams.stream", "pinfut.combinators.group"} <= seen


def test_a_lock_that_knows_the_executor_is_caught() -> None:
    lock = "from pinfut.executor.current import running\nfrom pinfut import laws, slots\n"
    assert beyond_public("pinfut.sync.lock", lock) == [
        "pinfut.executor.current.running",
        "pinfut.slots",
    ]
    assert beyond_public("pinfut.executor.task", lock) == []


def test_no_floor_has_an_import_cycle() -> None:
    modules = {module: path.read_text("utf-8") for module, path in sources(FLOORS)}
    found = cycle(modules)
    assert found is None, "imports in a circle: " + " → ".join(found or [])


# Folders no file of which is part of any circle. Below executor/ not yet all.
FREE_OF_CIRCLES = ("pinfut", "executor", "rpc")


@pytest.mark.parametrize("folder", FREE_OF_CIRCLES)
def test_no_circle_goes_through_an_import_in_a_function_or_for_a_type(folder: str) -> None:
    modules = dict(sources(FLOORS))
    chosen = [module for module, path in modules.items() if path.is_relative_to(ROOT / folder)]
    assert chosen, f"no source files in {folder}"
    found = circle({name: path.read_text("utf-8") for name, path in modules.items()}, chosen)
    assert found is None, "imports in a circle: " + " → ".join(found or [])


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pinfut.slots", "import pinfut.executor"),
        ("pinfut.slots", "from pinfut import executor"),
        ("pinfut.slots", "from pinfut.executor.task import Task"),
        ("pinfut", "from pinfut.rpc import Vat"),
        ("pinfut.slots", "def late():\n    from pinfut.rpc import Vat"),
        ("pinfut.slots", "if TYPE_CHECKING:\n    from pinfut.executor.task import Task"),
        ("pinfut.slots", "importlib.import_module('pinfut.rpc.vat')"),
        ("pinfut.slots", "__import__('pinfut.rpc')"),
        ("pinfut.executor.task", "from pinfut.rpc.vat import Vat"),
        ("pinfut.executor.task", "from pinfut import poll, rpc"),
        ("pinfut.rpc.vat", "from pinfut.__main__ import main"),
        ("pinfut.rpc.lab.simulate.many", "from pinfut.command.progress import progress"),
        ("pinfut.slots", "def late():\n    import pinfut.command"),
        ("pinfut.command.main", "import pinfut.__main__"),
        ("pinfut.learn.explorer.fold", "from pinfut.command.main import main"),
        ("pinfut.executor.trace.recorder", "from pinfut.learn.explorer import fold"),
        ("pinfut.rpc.lab.hostile", "import pinfut.learn"),
        ("pinfut.rpc.vat", "from executor.task import Task"),
        ("examples.files", "import rpc"),
        ("tests.rpc.test_vat", "from rpc.vat import Vat"),
        ("pinfut.rpc.vat", "from tests.covered import covered"),
        ("pinfut.executor.core", "import benches"),
        ("pinfut.rpc.kernel.sim.kernel", "from . import bank"),
        ("pinfut.rpc.kernel.sim.kernel", "from ..vat import Vat"),
    ],
)
def test_a_planted_offence_is_caught(module: str, source: str) -> None:
    assert list(offences(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pinfut.slots", "from pinfut.poll import PENDING\nimport msgspec"),
        ("pinfut.executor.task", "from pinfut import poll"),
        ("pinfut.rpc.vat", "from pinfut.executor.task import Task\nimport pinfut"),
        ("pinfut.slots", "import rpcish, executors"),
        ("pinfut.command.hostile", "from pinfut.rpc.vat import Vat"),
        ("pinfut.__main__", "from pinfut.command.main import main"),
        ("examples.files", "from pinfut.rpc import Vat\nfrom benches.table import Table"),
    ],
)
def test_an_import_downwards_is_no_offence(module: str, source: str) -> None:
    assert list(offences(module, source)) == []


@pytest.mark.parametrize(
    "back",
    [
        "from p.a import x",
        "from p import a",
        "import p.a",
        "try:\n    import p.a\nfinally:\n    pass",
        "class C:\n    from p.a import x",
        # p gathers its names from p.a, so asking p for one leads back.
        "from p import gathered",
    ],
)
def test_a_planted_cycle_is_caught(back: str) -> None:
    modules = {"p": "from p.a import gathered", "p.a": "import p.b", "p.b": back}
    found = cycle(modules)
    assert found is not None
    assert found[0] == found[-1]
    for importer, imported in pairwise(found):
        assert imported in modules[importer] or imported == "p.a", found


@pytest.mark.parametrize(
    "back",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import x",
        "import typing\nif typing.TYPE_CHECKING:\n    import p.a",
        "def f():\n    from p.a import x",
        "class C:\n    async def f(self):\n        import p.a",
        "f = lambda: __import__('p.a')",
        "import p.a",
    ],
)
def test_a_planted_circle_of_any_kind_is_caught(back: str) -> None:
    modules = {"p.a": "import p.b", "p.b": "def f():\n    import p.c", "p.c": back, "p.d": back}
    for start in ("p.a", "p.b", "p.c"):
        found = circle(modules, [start])
        assert found is not None
        assert found[0] == found[-1] == start
        assert set(found) == {"p.a", "p.b", "p.c"}
    assert circle(modules, ["p.d"]) is None, "it leads into a circle and is not part of it"


def test_an_import_that_does_not_run_at_load_is_no_cycle_at_load() -> None:
    late = """
        import typing
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from p.a import x
        if typing.TYPE_CHECKING:
            import p.a
        def f():
            import p.a
        async def g():
            import p.a
    """
    assert cycle({"p": "", "p.a": "import p.b", "p.b": dedent(late)}) is None
