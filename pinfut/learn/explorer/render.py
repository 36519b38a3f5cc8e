"""render: a trace as one page that opens from disk, with the explorer inside of it."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from typing import Final

from pinfut.learn.explorer.trace import Trace

MODULES: Final = ("fold.js", "model.js", "words.js", "lanes.js", "panels.js", "explorer.js")
"""The modules of the explorer, each after those that it imports."""


def render(trace: Trace) -> str:
    """The page, as text. It asks the network for nothing."""
    page = asset("page.html")
    shown = json.dumps({"header": trace.header, "events": trace.events})
    parts = {
        "title": escape(str(trace.header.get("title", "trace")))
        .encode("utf-8", "replace")
        .decode(),
        "style": asset("explorer.css"),
        "script": "\n".join(_inlined(asset(name)) for name in MODULES),
        # In a script element only this could end it, and in JSON it can be written otherwise.
        "trace": shown.replace("<", "\\u003c"),
    }
    return re.sub(r"<!--(\w+)-->|/\*(\w+)\*/", lambda found: parts[found[1] or found[2]], page)


def asset(name: str) -> str:
    """A file of the explorer: one of MODULES, ``explorer.css`` or ``page.html``. Raises
    FileNotFoundError for another."""
    return files("pinfut.learn.explorer").joinpath(name).read_text("utf-8")


def _inlined(module: str) -> str:
    """A module as a part of one script: without its imports, which stand before it."""
    return re.sub(r"^export ", "", re.sub(r"^import .*\n", "", module, flags=re.M), flags=re.M)
