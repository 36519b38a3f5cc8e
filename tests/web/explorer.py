"""The explorer in a browser: run by `make test-web`, and collected by no other run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pinfut.executor import Recorder, VirtualClock, run, scope, sleep
from pinfut.learn.explorer import Trace, fold, record, render
from tests.learn.explorer import traces
from tests.learn.explorer.traces import BELL, CALLS


def apart(call: Callable[..., Trace], *args: Any, **options: Any) -> Trace:
    """What a call gives in a thread of its own: in this one runs Playwright's loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call, *args, **options).result()


def recorded(name: str, folder: Path, **options: Any) -> Trace:
    return apart(traces.recorded, name, folder, **options)


class Page:
    """A page with an explorer, and what a reader does with it."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def text(self, part: str) -> str:
        return str(self.tab.inner_text(part))

    @property
    def say(self) -> str:
        return self.text(".px-say p")

    @property
    def position(self) -> int:
        return int(self.tab.get_attribute(".px", "data-position"))

    @property
    def kind(self) -> str:
        return str(self.tab.get_attribute(".px", "data-kind"))

    def walk(self, key: str, steps: int) -> tuple[list[str], list[list[str]]]:
        """Press a key so many times. After each: all that a reader sees, but for where it is
        scrolled to, and who runs and who is in the queue."""
        seen, queues = self.tab.evaluate(WALK, [key, steps])
        return seen, queues


WALK = """
([key, steps]) => {
  const px = document.querySelector(".px");
  const seen = [];
  const queues = [];
  for (let i = 0; i < steps; i++) {
    px.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    const parts = [".px-say", ".px-position", ".px-panels", ".px-labels", ".px-source"];
    seen.push(parts.map((part) => document.querySelector(part).innerHTML).join());
    queues.push([...document.querySelectorAll(".px-queue .px-chip")].map((e) => e.textContent));
  }
  return [seen, queues];
}
"""


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    errors: list[str] = []
    contexts = []

    def open_page(trace: Trace, **options: Any) -> Page:
        file = tmp_path / "page.html"
        file.write_text(render(trace), "utf-8")
        size = {"width": 1280, "height": 900}
        context = browser.new_context(viewport=size, offline=True, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        tab.on(
            "request",
            lambda asked: (
                errors.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None
            ),
        )
        tab.goto(file.as_uri())
        tab.wait_for_selector("body[data-ready]")
        return Page(tab)

    yield open_page
    for context in contexts:
        context.close()
    assert errors == [], "errors in the console, or requests to a network"


def test_the_law_that_broke_is_named_and_its_line_is_marked(open_page: Any, tmp_path: Path) -> None:
    page = open_page(recorded("bell", tmp_path))
    assert "first step" in page.say
    page.press("End")
    assert page.kind == "law"
    assert "Law 2 is broken: LostWakeup" in page.say
    line = page.tab.locator(".px-wrong")
    assert line.count() == 1
    assert "return PENDING" in line.inner_text()
    assert line.get_attribute("aria-current") == "true"
    assert "LostWakeup breaks law 2" in page.text(".px-failure summary")
    assert "law 2:" in page.text(".px-failure pre")
    page.press("ArrowRight")
    assert "After the error" in page.say
    assert page.tab.locator(".px-wrong").count() == 0
    page.press("End")
    assert page.position == page.tab.evaluate("explorer.count")


def test_a_hang_is_marked_where_the_task_waits_that_nobody_wakes(
    open_page: Any, tmp_path: Path
) -> None:
    page = open_page(recorded("bell", tmp_path, checked=False))
    page.press("End")
    assert "Law 2 is broken" in page.say
    assert "and here" in page.text(".px-wrong")
    assert "main is parked since 0 s on" in page.text(".px-tree")
    assert "Doorbell" in page.text(".px-tree")
    assert "the executor sleeps" in page.text(".px-queue")
    # The visitor has rung, and no arrow leads to main before the law is broken.
    wakes = page.tab.eval_on_selector_all(".px-wake title", "all => all.map(e => e.textContent)")
    assert any("visitor" in told for told in wakes)


def queue(trace: Trace, i: int) -> list[str]:
    """Who runs after `i` events and who is in the queue, as the panel shows them."""
    state = fold(trace, i)
    every = [event["n"] for event in trace.events if event["k"] == "spawn"]
    name = {
        number: task["n"] + (f" #{number}" if every.count(task["n"]) > 1 else "")
        for number, task in state["tasks"].items()
    }
    runs = [f"▶ {name[str(state['running'])]}"] if state["running"] else []
    return [*runs, *(name[str(number)] for number in state["ready"])]


@pytest.mark.parametrize("name", ["bell", "busy", "calls"])
def test_a_step_and_a_step_back_show_the_same_as_before(
    open_page: Any, tmp_path: Path, name: str
) -> None:
    trace = recorded(name, tmp_path)
    page = open_page(trace)
    count = page.tab.evaluate("explorer.count")
    # Which lanes are folded follows from where it is scrolled to.
    if page.tab.get_attribute("[data-do=fold]", "aria-pressed") == "true":
        page.press("f")
    seen, queues = page.walk("ArrowRight", count)
    assert page.position == count
    assert queues == [queue(trace, i) for i in range(1, count + 1)]
    back, _ = page.walk("ArrowLeft", count)
    assert page.position == 0
    assert back[-2::-1] == seen[: count - 1]
    assert len(set(seen)) == count > 30, "each step shows something of its own"


def test_the_keys_lead_to_ends_of_steps_to_wakes_and_to_the_ends(
    open_page: Any, tmp_path: Path
) -> None:
    page = open_page(recorded("busy", tmp_path))
    kinds = set()
    for _ in range(8):
        page.press("Shift+ArrowRight")
        kinds.add(page.kind)
    assert {"park"} < kinds <= {"park", "yield", "finish", "timer"}
    page.press("w")
    assert page.kind == "wake"
    there = page.position
    page.press("w")
    assert page.position > there
    page.press("Shift+w")
    assert page.position == there
    page.press("Home")
    assert page.position == 0
    page.press("ArrowLeft")
    assert page.position == 0
    page.press("End", "ArrowRight")
    assert page.position == page.tab.evaluate("explorer.count")


def test_a_task_can_be_chosen_and_followed(open_page: Any, tmp_path: Path) -> None:
    page = open_page(recorded("busy", tmp_path))
    page.tab.evaluate("explorer.go(12)")
    page.tab.click("[data-task='2']")
    assert page.tab.get_attribute("[data-task='2']", "aria-pressed") == "true"
    assert "waiter" in page.text(".px-tree h3")
    page.press("n")
    assert "waiter" in page.say
    page.press("ArrowDown")
    assert "idler" in page.text(".px-tree h3")


def test_where_a_task_waits_is_in_sight_when_nothing_runs(open_page: Any, tmp_path: Path) -> None:
    trace = recorded("calls", tmp_path)
    page = open_page(trace)
    parks = [i for i, e in enumerate(trace.events, 1) if e["k"] == "park" and e["a"] == 1]
    page.tab.evaluate("i => explorer.go(i)", parks[len(parks) // 2])
    code = page.tab.locator(".px-code").bounding_box()
    tag = page.tab.locator(".px-tag", has_text="main ‖ parked").bounding_box()
    assert code["y"] <= tag["y"] <= code["y"] + code["height"] - tag["height"]


def test_the_slider_the_map_and_the_list_of_steps_lead_there_too(
    open_page: Any, tmp_path: Path
) -> None:
    page = open_page(recorded("busy", tmp_path))
    page.tab.fill(".px-slider", "33")
    assert page.position == 33
    page.tab.click(".px-steps [data-step='35']")
    assert page.position == 35
    box = page.tab.locator(".px-map").bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + 10)
    assert page.position > page.tab.evaluate("explorer.count") * 0.9


FOLLOW = """
(kinds) => Array.from({ length: explorer.count }, (_, i) => {
  explorer.go(i + 1);
  const text = (part) => document.querySelector(part).innerText;
  const { kind } = document.querySelector(".px").dataset;
  return kinds.includes(kind) ? [[text(".px-say p"), text(".px-panels")]] : [];
}).flat()
"""


def test_calls_their_slots_and_what_they_cost_can_be_followed_with_the_arrow_keys(
    open_page: Any, tmp_path: Path
) -> None:
    trace = recorded("calls", tmp_path)
    page = open_page(trace)
    told: dict[str, str] = {}
    for say, panels in page.tab.evaluate(FOLLOW, ["slot", "serve", "bank", "flush"]):
        told.setdefault(say, panels)
    said = "\n".join(told)
    assert "pipelined on the result of call 1, which is not there yet" in said
    assert "it takes slot 1 (5 mod 4)" in said
    assert "The server begins call 2 (read)" in said
    assert "with one signal" in said
    assert "and so are the 1024 bytes for its answer, which bank client pays for" in said
    assert "Bank client pays 1 page for the handler of a call" in said
    assert "Bank client gets back" in said
    assert "For its answer 1024 bytes are reserved, in memory that bank client pays for." in said
    assert "Its frame is charged to bank client: 2048 bytes." in said
    [panels] = [panels for step, panels in told.items() if "makes call 2 (read)" in step]
    assert "call 2 read in slot 2: sent" in panels
    assert "pipelined on 1" in panels
    assert "of 64 pages left" in panels
    assert "for the ring of a session" in panels
    assert "call 2: 1024 bytes for its answer" in panels
    crossings = sum(event["k"] == "flush" for event in trace.events)
    begun = sum(event["k"] == "serve" for event in trace.events)
    page.press(*"-" * 10)  # so that all of it is drawn
    assert page.tab.locator(".px-flush").count() == crossings > 3
    assert page.tab.locator(".px-begins").count() == begun > 3
    names = page.tab.eval_on_selector_all(".px-call title", "all => all.map(e => e.textContent)")
    assert names


def test_one_call_can_be_followed_from_end_to_end_and_a_bank_from_payment_to_payment(
    open_page: Any, tmp_path: Path
) -> None:
    trace = recorded("calls", tmp_path)
    page = open_page(trace)
    [sent] = [i for i, e in enumerate(trace.events, 1) if e["k"] == "slot" and e.get("on") == 1]
    page.tab.evaluate("i => explorer.go(i)", sent)
    kinds = [page.kind]
    while page.position < len(trace.events):
        page.press("c")
        kinds.append(page.kind)
        last = page.say
        if kinds[-1] == "slot" and "is taken" in last:
            break
    assert "call 2 " in last
    assert kinds[:3] == ["slot", "serve", "spawn"]
    assert kinds[-3:] == ["finish", "slot", "slot"]
    assert "bank" not in kinds
    page.press("Shift+c", "Shift+c")
    assert "The 2048 bytes of its frame go back to bank client." in page.say
    page.press("Home")
    paid = sum(event["k"] == "bank" for event in trace.events)
    page.press(*["b"] * paid)
    assert page.kind == "bank"
    [*_, final] = [i for i, event in enumerate(trace.events, 1) if event["k"] == "bank"]
    assert page.position == final
    page.press("Shift+b")
    assert page.kind == "bank"


def test_idle_tasks_are_folded_and_can_be_shown(open_page: Any) -> None:
    def go(recorder: Recorder) -> None:
        async def idles() -> None:
            await sleep(1_000)

        async def main() -> None:
            async with scope() as s:
                for n in range(40):
                    s.spawn(idles(), name=f"idler {n}")
                for _ in range(200):
                    await sleep(1)
                s.cancel()

        run(main(), clock=VirtualClock(), instruments=[recorder])

    page = open_page(apart(record, go, sources={}))
    page.tab.evaluate("explorer.go(900)")
    assert page.text(".px-labels").count("idler") < 5
    assert "+ 40 idle" in page.text(".px-labels") or "+ 39 idle" in page.text(".px-labels")
    page.tab.click("[data-unfold]")
    assert page.text(".px-labels").count("idler") == 40
    page.press("f")
    assert page.text(".px-labels").count("idler") < 5


def test_a_screen_reader_has_words_for_all_of_it(open_page: Any, tmp_path: Path) -> None:
    page = open_page(recorded("calls", tmp_path))
    page.tab.evaluate("explorer.go(150)")
    unnamed = page.tab.eval_on_selector_all(
        "button, input, [role=img], [role=meter], canvas:not([aria-hidden=true])",
        "all => all.filter(e => !(e.getAttribute('aria-label') || e.textContent.trim()))"
        ".map(e => e.outerHTML)",
    )
    assert unnamed == []
    lanes = page.tab.get_attribute(".px-svg", "aria-label")
    assert "main is" in lanes
    assert page.tab.get_attribute(".px-say p", "aria-live") == "polite"
    meter = page.tab.locator("[role=meter]").first
    assert int(meter.get_attribute("aria-valuenow")) <= int(meter.get_attribute("aria-valuemax"))
    assert page.tab.locator(".px-slot").first.get_attribute("aria-label").startswith("slot 0: ")
    assert page.tab.get_attribute("html", "lang") == "en"
    page.press("?")
    assert "the next step" in page.text(".px-help")


CONTRAST = """
(selectors) => {
  const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const solid = (stack) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of stack) {
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
    }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  return selectors.flatMap((selector) => [...document.querySelectorAll(selector)].map((e) => {
    const stack = [];
    for (let up = e; up; up = up.parentElement) {
      stack.unshift(getComputedStyle(up).backgroundColor);
    }
    const back = solid(["#fff", ...stack]);
    const fore = solid([`rgb(${back})`, getComputedStyle(e).color]);
    const [one, other] = [light(fore), light(back)].sort((a, b) => b - a);
    return [selector, (one + 0.05) / (other + 0.05)];
  }));
}
"""
"""Of each element that a selector finds: the contrast of its text, from 1 to 21, as WCAG has it."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(open_page: Any, tmp_path: Path, scheme: str) -> None:
    page = open_page(recorded("calls", tmp_path), color_scheme=scheme)
    backs = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, backs[4:-1].split(","))) > 380) == (scheme == "light")
    names = [".px-say p", ".px-say b", ".px-badge", ".px-task", ".px-chip", ".px h3", ".px-counts"]
    names += [".px-none", ".px-node small", ".px-number", ".px-word", ".px-string", ".px-comment"]
    seen = set()
    for at in (60, 100, 150):
        page.tab.evaluate("i => explorer.go(i)", at)
        for name, ratio in page.tab.evaluate(CONTRAST, names):
            seen.add(name)
            assert ratio >= 4.5, f"{name} at {at}: {ratio:.2f}"
    assert len(seen) > 10


def test_the_theme_can_be_turned(open_page: Any, tmp_path: Path) -> None:
    page = open_page(recorded("bell", tmp_path))
    before = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    page.tab.click("#theme")
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.tab.click("#theme")
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == before


def test_a_trace_without_its_beginning_says_so_and_can_be_stepped(
    open_page: Any, tmp_path: Path
) -> None:
    page = open_page(recorded("busy", tmp_path, limit=60))
    assert "older events were dropped" in page.say
    for _ in range(60):
        page.press("ArrowRight")
        assert "undefined" not in page.text(".px")
    assert page.position == 60


FAILED = {"type": "E", "text": "", "law": None, "at": None}


@pytest.mark.parametrize("header", [{}, {"title": "<b>x</b>", "error": FAILED}])
def test_an_empty_trace_is_a_page(open_page: Any, header: dict[str, Any]) -> None:
    page = open_page(Trace(header, []))
    page.press("ArrowRight", "ArrowLeft", "End", "Home", "w", "f", "ArrowDown", "+", "-")
    assert page.position == 0


def test_a_long_run_can_be_stepped_from_end_to_end(open_page: Any) -> None:
    page = open_page(apart(traces.long_trace, 400))
    count = page.tab.evaluate("explorer.count")
    assert count > 5_000
    for at in (count, 1, count // 2, count - 1, 2, count // 2 + 1):
        page.tab.evaluate("i => explorer.go(i)", at)
        assert page.position == at
        assert page.say


def test_the_programs_are_shown_as_they_are(open_page: Any, tmp_path: Path) -> None:
    for name, text in (("bell", BELL), ("calls", CALLS)):
        page = open_page(recorded(name, tmp_path))
        lines = page.tab.eval_on_selector_all(".px-code code", "all => all.map(e => e.textContent)")
        shown = [line.rstrip() for line in lines]
        assert shown == [line.rstrip() for line in text.rstrip("\n").split("\n")]
