"""The smallest example runs and prints what it says."""

import subprocess
import sys

from tests.house.imports import ROOT


def test_hello_greets_and_its_bank_pays_for_nothing_afterwards() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.hello"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, held, over = done.stdout.splitlines()
    assert first == "Hello, world!"
    assert held.startswith("The session holds ")
    assert not held.startswith("The session holds 0 ")
    assert over == "and 0 when it is over."
    assert done.stderr == ""
