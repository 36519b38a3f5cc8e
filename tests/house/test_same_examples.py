"""The same tree gives the same examples, whatever else was loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# argv: the module that sets hypothesis up, then the modules to load beside it.
DRAW = """
import importlib
import sys
from hypothesis import given, settings, strategies as st

settings.register_profile("fixed", derandomize=True, database=None)
settings.load_profile("fixed")
importlib.import_module(sys.argv[1])

@settings(max_examples=60)
@given(st.lists(st.one_of(st.integers(), st.text(), st.binary(), st.floats()), min_size=4))
def draw(values):
    print(values)

draw()
for name in sys.argv[2:]:
    importlib.import_module(name)
draw()
"""


def examples(folder: Path, *modules: str) -> str:
    """What is drawn, twice, with the last modules loaded in between."""
    folder.joinpath("odd.py").write_text(
        f"ODD = {[n * 7919 for n in range(1, 200)]}, {[f'odd {n}' for n in range(200)]}\n",
        encoding="utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if name != "PINFUT_SOAK"}
    return subprocess.run(
        [sys.executable, "-c", DRAW, *modules],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout


def test_what_is_loaded_changes_no_example(tmp_path: Path) -> None:
    others = ("pinfut.rpc", "benches.harness", "examples.files", "tests.rpc.services", "odd")
    alone = examples(tmp_path, "tests.conftest")
    assert len(alone.splitlines()) > 100
    assert examples(tmp_path, "tests.conftest", *others) == alone


def test_without_the_set_up_of_the_tests_it_would(tmp_path: Path) -> None:
    """Otherwise the test above shows nothing."""
    assert examples(tmp_path, "hypothesis", "odd") != examples(tmp_path, "hypothesis")
