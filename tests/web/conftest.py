"""The browser of `make test-web`, one for all tests. It needs Playwright, which that target
fetches, and a chromium of the system's. Where one is missing, the test is skipped with a word.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="there is no Playwright here: `make test-web` fetches it"
    )
    path = chromium()
    if path is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as running:
        # As root, a browser has no sandbox; the pages are our own.
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
