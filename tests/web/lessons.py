"""The lessons in a browser, by the server and by the exported site: run by `make test-web`, and
collected by no other run. No page may ask for anything from outside this machine.

It needs npm, too. Pyodide takes long to start, so pages that have it are few.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from pinfut.learn.editor import CannotBuild, build, is_current
from pinfut.learn.export import export
from pinfut.learn.lesson import HOUSE, Lesson, load
from pinfut.learn.pyodide import CannotFetch
from tests.covered import covered, require

SLOW: Final = 120_000
"""Milliseconds after which something hangs. The machine may be busy."""

LESSONS: Final = {lesson.name[:2]: lesson for lesson in load(HOUSE)}


@pytest.fixture(scope="module", autouse=True)
def bundle(browser: Any) -> None:
    if not is_current():
        try:
            build()
        except CannotBuild as error:
            pytest.skip(str(error))


@contextmanager
def served(progress: Path) -> Iterator[str]:
    """`pinfut learn`, as a learner starts it: the address that it prints."""
    command = ["learn", "--no-browser", "--progress", str(progress)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pinfut", *command], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split(" at ")[1].strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The exported site, given out by a server that knows nothing of it: its address."""
    folder = tmp_path_factory.mktemp("site")
    try:
        export(folder, [*LESSONS.values()], Path(sys.prefix) / "learn")
    except CannotFetch as error:
        pytest.skip(str(error))
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Learner:
    """A learner's browser, and what she does with the page."""

    def __init__(self, browser: Any, address: str) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 960})
        self.context.set_default_timeout(SLOW)
        self.outside: list[str] = []
        self.context.route(re.compile(r"^(?!http://127\.0\.0\.1:)"), self._refuse)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._console)
        self.address = address

    def _refuse(self, route: Any) -> None:
        self.outside.append(route.request.url)
        route.abort()

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, lesson: Lesson) -> None:
        """Come to a lesson for the first time, or go on to it from another."""
        self.page.goto(f"{self.address}#{lesson.name}")
        self.page.wait_for_selector("body[data-ready]")
        title = f"{int(lesson.name[:2])}. {lesson.title}"
        self.page.wait_for_function(
            "title => document.querySelector('h1').textContent === title", arg=title
        )

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("body[data-ready]")

    def write(self, code: str) -> None:
        """Put a program in place of what is there, by the clipboard."""
        self.page.locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.evaluate(
            """code => {
                const data = new DataTransfer();
                data.setData("text/plain", code);
                const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true,
                    cancelable: true});
                document.querySelector(".cm-content").dispatchEvent(event);
            }""",
            code.rstrip("\n"),
        )

    def edit(self, line: str, *keys: str) -> None:
        """Go to the end of the first line with such a text, and press keys or type."""
        self.page.locator(".cm-line", has_text=line).first.click()
        self.page.keyboard.press("End")
        for key in keys:
            named = key in ("Enter", "Home", "Shift+End")
            (self.page.keyboard.press if named else self.page.keyboard.type)(key)

    def do(self, button: str) -> str:
        """Press Run or Check; what the page says then."""
        self.page.click(f"#{button}")
        self.page.wait_for_selector(f"#{button}:not(:disabled)")
        return str(self.page.inner_text("#result"))

    def key(self, *keys: str) -> None:
        self.page.locator(".px").first.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def sentence(self) -> str:
        return str(self.page.inner_text(".px-say p"))

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
        assert self.outside == [], "a page asked for something from outside"


@contextmanager
def learner(browser: Any, address: str) -> Iterator[Learner]:
    who = Learner(browser, address)
    yield who
    who.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "learn.json") as address:
        yield address


@pytest.mark.parametrize("host", ["server", "site"])
def test_lessons_are_seen_to_fail_and_solved_and_that_is_kept(
    browser: Any, request: pytest.FixtureRequest, host: str
) -> None:
    lessons = [LESSONS[number] for number in ("01", "03", "07", "11")]
    with learner(browser, request.getfixturevalue(host)) as who:
        for lesson in lessons:
            who.open(lesson)
            who.do("run")
            assert who.page.locator(".px-lanes").count() == 1, "there is no picture"
            assert "Solved" not in who.do("check")
            assert who.page.locator("#result .learn-no").count() == 1
            assert who.page.locator("#result .learn-said").inner_text()
            who.write(lesson.solution)
            assert who.do("check").startswith("Solved")
            passed = who.page.locator("#result .learn-ok").count()
            assert passed == len(re.findall(r"^@(?:by_hand|every_order|seeds)", lesson.check, re.M))
        who.reload()
        assert who.page.inner_text("#done") == "4 of 16 solved"
        for lesson in lessons:
            who.open(lesson)
            shown = who.page.inner_text(".cm-content")
            assert shown.split() == lesson.solution.split()
            assert who.page.locator("#lessons a.learn-done[aria-current]").count() == 1


def test_a_lesson_is_solved_by_typing(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["03"])
        who.edit("self.rung = False", "Enter", "self.waker = None")
        # A line before another, below a block; a block below what leaves one.
        who.edit("return PENDING", "Home", "self.waker = cx.waker", "Enter")
        who.edit("return PENDING", "Enter", "def nobody(self):", "Enter", "pass")
        who.edit("        pass", "Enter", "x = (", "Enter", "1")
        who.edit("self.rung = True", "Enter", "if self.waker is not None:", "Enter")
        who.page.keyboard.type("self.waker.wake()")
        lines = who.page.eval_on_selector_all(".cm-line", "all => all.map(e => e.textContent)")
        assert lines[4:24] == TYPED.split("\n")
        assert who.do("check").startswith("Solved")


TYPED = """class Doorbell(FutureBase[str]):
    def __init__(self):
        self.rung = False
        self.waker = None

    def poll(self, cx):
        if self.rung:
            return "somebody is at the door"
        self.waker = cx.waker
        return PENDING  # and who is to be woken?
    def nobody(self):
        pass
    x = (
        1
    )

    def ring(self):
        self.rung = True
        if self.waker is not None:
            self.waker.wake()"""


def test_the_law_is_named_and_its_line_marked(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["03"])
        who.page.check("#strict")
        assert "law 2 is broken" in who.do("run")
        who.key("End")
        assert "without reading cx.waker" in who.sentence()
        bad = who.page.locator(".cm-line.learn-bad")
        assert "return PENDING" in bad.inner_text() or "await bell" in bad.inner_text()


def test_who_waits_in_a_circle_is_told_with_the_line(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["10"])
        assert "A circle" in who.do("check")
        tree = " ".join(who.page.inner_text(".px-tree").split())
        assert "main is parked since 0 s on" in tree
        assert "ada task 2, parked" in tree
        assert "bob task 3, parked" in tree
        assert "target.lock" in who.page.locator(".cm-line.learn-bad").inner_text()


def test_what_came_of_it_is_in_sight(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["03"])
        who.do("run")
        who.key("End")
        # Beside the picture: the line at which somebody waits whom nobody wakes, in the last line.
        marked = who.page.locator(".cm-line.learn-bad").bounding_box()
        assert 0 < marked["y"] < 960 - marked["height"]
        assert who.page.locator(".px-say").bounding_box()["y"] > 0
        who.page.set_viewport_size({"width": 480, "height": 900})
        who.do("check")
        assert 0 <= who.page.locator("#result .learn-no").bounding_box()["y"] < 450
        wide = who.page.evaluate("document.documentElement.scrollWidth")
        assert wide == 480, "nothing is wider than the page"


def test_a_step_forward_and_back_shows_the_same(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["03"])
        who.do("run")
        who.key(*["ArrowRight"] * 8)
        before = (who.sentence(), who.page.inner_text(".px-panels"))
        who.key("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft")
        assert (who.sentence(), who.page.inner_text(".px-panels")) == before


def test_each_wrong_answer_is_refused_on_the_page_with_its_sentence(
    browser: Any, server: str
) -> None:
    seen = 0
    with learner(browser, server) as who:
        for number in ("01", "03", "07"):
            lesson = LESSONS[number]
            who.open(lesson)
            for wrong in lesson.wrong:
                who.write(wrong.code)
                who.do("check")
                said = who.page.locator("#result .learn-said").inner_text()
                assert wrong.sentence.replace("`", "") in " ".join(said.split())
                seen += 1
    require(covered("wrong answers in a browser", seen=seen), "seen")


def test_what_never_ends_and_what_takes_too_much_is_stopped(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["02"])
        who.write("while True:\n    pass\n")
        assert "was stopped" in who.do("run")
        who.write("x = bytearray(1 << 45)\n")
        assert "more memory than it may have" in who.do("run")
        who.write("def f(:\n")
        assert "Python cannot read this" in who.do("run")
        who.write(LESSONS["02"].solution)
        assert "[None, None, None]" in who.do("run"), "after that it goes on"


TOO_DEEP = """async def main():
    error = ValueError()
    for _ in range(100_000):
        error = ExceptionGroup("", [error])
    error.split(KeyError)
"""
"""What the stack of a browser is too small for: that ends its Python."""


def test_a_site_goes_on_after_a_program_that_never_ends(browser: Any, site: str) -> None:
    with learner(browser, site) as who:
        who.page.clock.install()
        who.open(LESSONS["02"])
        assert "It prints" in who.do("run"), "Python has started"
        who.write("while True:\n    pass\n")
        who.page.click("#run")
        who.page.wait_for_selector("#views.learn-stale")
        who.page.clock.fast_forward(20_000)
        assert who.page.is_disabled("#run"), "it may take so long"
        who.page.clock.fast_forward(11_000)
        who.page.wait_for_selector("#run:not(:disabled)")
        assert "ran for 30 s and was stopped" in who.page.inner_text("#result")
        who.write(TOO_DEEP)
        assert "Python ended" in who.do("run")
        assert "Pyodide has suffered a fatal error" in who.errors[0]
        who.errors.clear()
        who.write(LESSONS["02"].solution)
        assert "[None, None, None]" in who.do("run")


def test_hints_a_solution_and_the_way_back(browser: Any, server: str) -> None:
    lesson = LESSONS["04"]
    with learner(browser, server) as who:
        who.open(lesson)
        who.page.click("#hint")
        who.reload()
        assert who.page.locator(".learn-hint").count() == 1, "a hint that was seen is kept"
        assert not who.page.is_visible("#solution")
        who.write("mine = 1\n")
        for _ in range(3):
            who.do("check")
        who.page.click("#solution")
        assert "class Doorbell" in who.page.inner_text(".cm-content")
        who.page.click("#solution")
        assert who.page.inner_text(".cm-content").strip() == "mine = 1"


def test_two_traces_stand_side_by_side(browser: Any, server: str) -> None:
    with learner(browser, server) as who:
        who.open(LESSONS["13"])
        who.do("run")
        left, right = (who.page.locator(".learn-view").nth(i).bounding_box() for i in (0, 1))
        assert left["y"] == right["y"]
        assert left["x"] + left["width"] <= right["x"]
        told = who.page.locator(".learn-view").nth(1).inner_text()
        assert "The loop makes the task main" in told
        assert "executor" not in told
        assert "poll" not in told, "asyncio polls nobody"


def test_without_the_editor_a_text_area_does(browser: Any, server: str) -> None:
    lesson = LESSONS["03"]
    who = Learner(browser, server)
    who.context.route("**/page/editor.js", lambda route: route.fulfill(status=404))
    who.open(lesson)
    assert "plain text area" in who.page.inner_text("#plain")
    who.page.fill("textarea", lesson.solution)
    assert who.do("check").startswith("Solved")
    who.reload()
    assert who.page.input_value("textarea").strip() == lesson.solution.strip()
    who.context.close()
    assert who.outside == []


@pytest.fixture(scope="module")
def python(browser: Any, site: str) -> Iterator[Any]:
    """A page of the site with its Python, which starts once."""
    with learner(browser, site) as who:
        who.page.goto(f"{site}lessons.json")  # the page of the lessons would start another
        who.page.evaluate(
            """async () => {
                const { openHost } = await import("./page/host-browser.js");
                window.host = await openHost({ tell() {} });
            }"""
        )
        yield who.page


@pytest.mark.parametrize("number", LESSONS)
def test_every_lesson_runs_in_the_browsers_python(python: Any, number: str) -> None:
    """Its solution passes there, and its start and each wrong answer fail as they do here."""
    lesson = LESSONS[number]
    programs = [lesson.solution, lesson.start, *(wrong.code for wrong in lesson.wrong)]
    results = python.evaluate(
        """async ([programs, check, beside]) => {
            const results = [];
            const job = { check, beside, strict: false };
            for (const code of programs)
                results.push(await window.host.run({ ...job, do: "check", code }));
            results.push(await window.host.run({ ...job, do: "run", code: programs[0] }));
            return results;
        }""",
        [programs, lesson.check, lesson.beside],
    )
    solution, start, *wrong, run = results
    assert solution["solved"], solution
    assert start["kind"] == "check"
    assert not start["solved"]
    for answer, told in zip(lesson.wrong, wrong, strict=True):
        failed = told["checks"][-1]
        assert failed["name"] == answer.check
        assert answer.sentence in " ".join(failed["error"]["said"].split())
    assert run["kind"] == "run"
    assert len(run["traces"]) == 1 + lesson.beside
    assert all(trace["events"] and "error" not in trace["header"] for trace in run["traces"])
