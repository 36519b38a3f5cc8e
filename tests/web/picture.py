"""The explorer's picture in README.md: `python -m tests.web.picture FILE.png`.

It shows the service of that page when the second of its calls begins, on the answer of the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.house.imports import ROOT
from tests.house.readme import runnable_blocks
from tests.web.conftest import chromium

SIZE: Any = {"width": 1180, "height": 720}
SHOWS = "The server begins call 2 (read)"
"""What the explorer says at that moment."""


def main(file: str) -> None:
    (service,) = [block for block in runnable_blocks() if block.is_service]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        (Path(folder) / "service.py").write_text(service.code, "utf-8")
        for words in ("record service.py --seed 7 -o trace.json", "show trace.json -o trace.html"):
            command = [sys.executable, "-m", "pinfut", *words.split()]
            subprocess.run(
                command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True
            )
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        tab = browser.new_page(viewport=SIZE)
        tab.goto((Path(folder) / "trace.html").as_uri())
        tab.wait_for_selector("body[data-ready]")
        while not tab.inner_text(".px-say p").startswith(SHOWS):
            before = tab.get_attribute(".px", "data-position")
            tab.keyboard.press("ArrowRight")
            if tab.get_attribute(".px", "data-position") == before:
                raise SystemExit(f"no step says {SHOWS!r}")
        tab.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
