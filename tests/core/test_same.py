"""What the core has stands for what Python has: name by name, parameter by parameter."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.core.both import ROOT, needs_core, python
from tests.core.places import PLACES


def both() -> tuple[dict[str, Any], dict[str, Any]]:
    ours = json.loads(python("-m", "tests.core.places"))
    return ours, json.loads(python("-m", "tests.core.places", pure=True))


@needs_core
def test_what_is_in_c_is_called_as_its_python_and_says_the_same() -> None:
    in_c, in_python = both()
    assert len(in_c) == sum(map(len, PLACES.values())) > 15
    for place, one in in_c.items():
        other = in_python[place]
        assert one["in_c"], f"{place} is not replaced"
        assert not other["in_c"], f"{place} is replaced without the core"
        assert one["parameters"] == other["parameters"], place
        assert one["says"] == other["says"], place


@needs_core
def test_nothing_else_is_replaced() -> None:
    script = """
import sys, json, inspect, pinfut.executor, pinfut.rpc
found = []
for name, module in sorted(sys.modules.items()):
    if not name.startswith("pinfut") or name in ("pinfut._core", "pinfut._payers"): continue
    for attribute, thing in vars(module).items():
        if getattr(thing, "__module__", None) != name: continue
        if inspect.isbuiltin(thing): found.append(f"{name}:{attribute}")
        if not inspect.isclass(thing): continue
        for each, method in vars(thing).items():
            kind = type(method).__name__
            if kind in ("method_descriptor", "wrapper_descriptor") and method.__objclass__ is thing:
                found.append(f"{name}:{thing.__qualname__}.{each}")
print(json.dumps(sorted(set(found))))
"""
    found = set(json.loads(python("-c", script)))
    known = {f"{module}:{place}" for module, places in PLACES.items() for place in places}
    assert found == known


def test_the_page_has_every_place() -> None:
    page = (ROOT / "docs" / "core.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+) \| (.+) \| `(.+)` \| .* \|$", page, re.MULTILINE)
    told = " ".join(f"{c} {name}" for c, name, _ in rows)
    sources = "".join(
        (ROOT / "pinfut" / "native" / name).read_text("utf-8")
        for name in ("core.c", "channel.h", "lock.h", "rpc.h", "timer.h")
    )
    for functions, _, _ in rows:
        for function in re.findall(r"`(\w+)`", functions):
            assert re.search(rf"\b{function}\(", sources), f"no {function} in the C"
    for places in PLACES.values():
        for place in places:
            assert place.split(".")[-1] in told, f"docs/core.md says nothing of {place}"


def test_without_the_core_it_is_said_why() -> None:
    said = python("-c", "from pinfut import core; print(core.ABSENT)", pure=True)
    assert said == "PINFUT_PURE=1 asks for Python alone\n"


@needs_core
def test_a_core_of_another_pinfut_is_refused_when_it_is_loaded() -> None:
    script = """
import collections
from pinfut import core
class TaskContext: pass
try:
    has = {"TaskContext": TaskContext, "PENDING": None, "NOBODY": None}
    core.accelerate({"__name__": "pinfut.poll", **has})
except (ImportError, AttributeError) as error:
    print(type(error).__name__)
try:
    core.accelerate({"__name__": "pinfut.nothing"})
except ImportError as error:
    print(error)
"""
    said = python("-c", script).splitlines()
    assert said == ["AttributeError", "pinfut._core has nothing for pinfut.nothing"]
