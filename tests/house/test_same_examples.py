"""The same tree gives the same examples, whatever else was loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# argv: the module that sets hypothesis up, then the modules to load between drawing and drawing.
DRAW = """
import importlib
import sys
from hypothesis import given, settings, strategies as st

settings.register_profile("fixed", derandomize=True, database=None)
settings.load_profile("fixed")
importlib.import_module(sys.argv[1])

@settings(max_examples=100)
@given(st.lists(st.one_of(st.integers(), st.text(), st.binary(), st.floats()), min_size=4))
def draw(values):
    drawn.append(repr(values))

drawn = []
draw()
before, drawn = drawn, []
for name in sys.argv[2:]:
    importlib.import_module(name)
draw()
assert len(before) >= 100
print(before == drawn)
"""


def same_examples(folder: Path, *modules: str) -> bool:
    """Whether the same is drawn before and after the modules behind the first were loaded."""
    folder.joinpath("odd.py").write_text(
        f"ODD = {[n * 7919 for n in range(1, 200)]}, {[f'odd {n}' for n in range(200)]}\n",
        encoding="utf-8",
    )
    environment = {name: value for name, value in os.environ.items() if name != "PINFUT_SOAK"}
    done = subprocess.run(
        [sys.executable, "-c", DRAW, *modules],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
        capture_output=True,
        text=True,
        timeout=300,  # only so that a hang ends
    )
    assert done.returncode == 0, done.stderr
    return done.stdout == "True\n"


def test_what_is_loaded_changes_no_example(tmp_path: Path) -> None:
    others = ("pinfut.rpc", "benches.harness", "examples.files", "tests.rpc.services", "odd")
    assert same_examples(tmp_path, "tests.conftest", *others)


def test_without_the_set_up_of_the_tests_it_would(tmp_path: Path) -> None:
    """Otherwise the test above shows nothing."""
    assert not same_examples(tmp_path, "hypothesis", "odd")
