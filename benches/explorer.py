"""How long a step of the explorer takes: ``python -m benches.explorer``.

A run of 10,000 events is opened in a browser and stepped forward and backward; what it takes to go
anywhere is told, too. A step is over when the page has been laid out. It needs what `make test-web`
needs. By the clock, so on a machine that does nothing else.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pinfut.executor import Recorder, run, scope, sleep
from pinfut.learn.explorer import Trace, record, render
from pinfut.sync import Receiver, Sender, channel

EVENTS: Final = 10_000
STEPS: Final = 300
MARK: Final = 50.0
"""The most that the median of steps may take, in milliseconds."""

STEP: Final = """
([way, steps]) => {
  const places = {
    forward: (i) => explorer.count / 3 + i,
    backward: (i) => (explorer.count * 2) / 3 - i,
    anywhere: (i) => (i * 7919) % explorer.count,
  };
  return Array.from({ length: steps }, (_, i) => {
    const begin = performance.now();
    explorer.go(Math.floor(places[way](i)));
    document.body.getBoundingClientRect();
    return performance.now() - begin;
  });
}
"""


def trace() -> Trace:
    """Forty tasks that hand values on to each other."""

    async def worker(rx: Receiver[int], n: int) -> None:
        async for _ in rx:
            await sleep(0.01 * (n % 7 + 1))

    async def main() -> None:
        ends: tuple[Sender[int], Receiver[int]] = channel(4)
        tx, rx = ends
        async with scope() as s:
            for n in range(40):
                s.spawn(worker(rx, n), name=f"worker {n}")
            for i in range(2_000):
                await tx.send(i)
            s.cancel()

    def go(recorder: Recorder) -> None:
        run(main(), seed=7, instruments=[recorder])

    return record(go, sources={}, title="workers", seed=7, limit=EVENTS)


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    recorded = trace()  # before the browser's loop runs in this thread
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("there is no Playwright here: `make test-web` fetches it")
    if chromium is None:
        sys.exit("there is no chromium here: apt-get install chromium")
    worst = 0.0
    with TemporaryDirectory() as folder, sync_playwright() as running:
        file = Path(folder) / "page.html"
        file.write_text(render(recorded), "utf-8")
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-ready]")
        for way in ("forward", "backward", "anywhere"):
            took = page.evaluate(STEP, [way, STEPS])
            median, most = statistics.median(took), max(took)
            worst = max(worst, median if way != "anywhere" else 0.0)
            print(f"{way:<9} {median:6.1f} ms median, {most:6.1f} ms at most, of {STEPS} steps")
        browser.close()
    print(f"{len(recorded.events):,} events; the mark is a median of {MARK:.0f} ms")
    return int(worst > MARK)


if __name__ == "__main__":
    sys.exit(main())
