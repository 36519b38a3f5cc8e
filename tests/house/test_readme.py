"""What README.md shows is run as a reader would run it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.imports import ROOT
from tests.house.readme import RUNNABLE, Block, runnable_blocks

BLOCKS = runnable_blocks()


def test_the_readme_has_a_runnable_block() -> None:
    assert BLOCKS, f"no ```python block of README.md begins with {' or '.join(RUNNABLE)}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_a_block_of_the_readme_runs_and_prints_what_the_page_says(
    block: Block, tmp_path: Path
) -> None:
    script = tmp_path / "service.py"
    script.write_text(block.code, "utf-8")
    # A reader has not switched checked mode on.
    environment = {name: value for name, value in os.environ.items() if name != "PINFUT_CHECKED"}
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,  # only so that a hang ends
    )
    where = f"README.md, line {block.line}"
    assert done.returncode == 0, f"{where}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    if block.expected_output is not None:
        assert done.stdout == block.expected_output, where


def test_the_readme_can_be_read_in_a_few_minutes() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    prose = re.sub(r"^```.*?^```$|^\|.*?$", "", page, flags=re.DOTALL | re.MULTILINE)
    assert 300 < len(re.findall(r"[\w'`.]+", prose)) <= 800


PAGE = """
# A page

```python
# service.py
print("one")
```

It prints:

```text
one
```

```python
# runnable
print("two")
```

What follows is the layout and no output.

```text
pinfut/
```

```python
fragment = ...
```

```console
$ make demo
```
"""


def test_blocks_are_read_with_their_line_and_their_output() -> None:
    assert runnable_blocks(PAGE) == [
        Block('# service.py\nprint("one")\n', 5, "one\n"),
        Block('# runnable\nprint("two")\n', 16, None),
    ]
    assert [block.is_service for block in runnable_blocks(PAGE)] == [True, False]
    for block in runnable_blocks(PAGE):
        assert PAGE.splitlines()[block.line - 1] in RUNNABLE
