"""The page: one file, which asks the network for nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pinfut.learn.explorer import Trace, render
from pinfut.learn.explorer.render import MODULES, asset
from tests.house.imports import ROOT
from tests.learn.explorer.traces import recorded

FOLDER = ROOT / "pinfut" / "learn" / "explorer"


def test_a_page_holds_its_trace_and_asks_for_nothing(tmp_path: Path) -> None:
    trace = recorded("calls", tmp_path)
    page = render(trace)
    found = re.search(r'<script type="application/json" id="trace">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert json.loads(found[1]) == {"header": trace.header, "events": trace.events}
    around = page.replace(found[1], "")
    asks = r"https?:|stylesheet|<script[^>]+src|^import|\bimport\(|@import|url\((?!#)|\bfetch\("
    assert not re.search(asks, around, re.MULTILINE)
    assert "default-src 'none'" in around
    assert "<!--" not in around
    assert not re.search(r"/\*\w+\*/", around)


def test_a_program_cannot_end_the_script_that_it_stands_in() -> None:
    evil = "</script><script>alert(1)</script><!--trace-->/*script*/\\u003c"
    page = render(Trace({"title": evil, "sources": [{"name": evil, "text": evil}]}, []))
    assert page.count("</script>") == 2
    assert "<script>alert" not in page
    found = re.search(r'id="trace">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["header"]["title"] == evil


def test_every_module_is_in_the_page_after_those_that_it_imports() -> None:
    assert {path.name for path in FOLDER.glob("*.js")} == set(MODULES)
    before: list[str] = []
    names: dict[str, str] = {}
    for module in MODULES:
        text = asset(module)
        imported = re.findall(r'^import .* from "\./(.*)";$', text, re.MULTILINE)
        assert len(imported) == len(re.findall(r"^import\b", text, re.MULTILINE)), "on one line"
        assert set(imported) <= set(before)
        before.append(module)
        # As one script they share one scope.
        for name in re.findall(
            r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", text, re.MULTILINE
        ):
            assert names.setdefault(name, module) == module, f"{name}: in {names[name]}, {module}"
    assert len(names) > 40
