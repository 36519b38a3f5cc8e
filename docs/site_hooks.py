"""What the site has beside the pages of this folder, for MkDocs (`make site`).

The front page is README.md, the house is the README.md of this folder, the reference has a page for
each public module, and the lessons run in the folder `try`, with Python for the browser.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

from pinfut.learn.export import export
from pinfut.learn.lesson import HOUSE, load
from pinfut.learn.pyodide import CannotFetch

HERE = Path(__file__).parent

MODULES = {
    "pinfut": "pinfut",
    "executor": "pinfut.executor",
    "io": "pinfut.executor.io",
    "rpc": "pinfut.rpc",
    "unboxed": "pinfut.unboxed",
    "payers": "pinfut.payers",
    "testing": "pinfut.testing",
}
"""Pages of the reference, and what each shows."""


def on_files(files: Files, config: Any) -> Files:
    front = (HERE.parent / "README.md").read_text("utf-8").replace("](docs/", "](")
    made = {"index.md": front, "house.md": (HERE / "README.md").read_text("utf-8")}
    for page, module in MODULES.items():
        made[f"reference/{page}.md"] = f"# {module}\n\n::: {module}\n"
    house = files.get_file_from_path("README.md")
    assert house is not None
    files.remove(house)
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Pages that the site has not are named, and not linked: they are in the source tree."""
    if page.file.src_uri == "learn.md":
        markdown += '\n## Here\n\n<a href="../try/">The lessons, in this browser.</a>\n'
    markdown = markdown.replace("](README.md", "](house.md")
    return re.sub(
        r"\[([^]\n]+)\]\((?:\.\./)?((?:benches|examples|tests|pinfut)/[^)\s]*|[A-Z]+\.md)\)",
        r"\1 (`\2` in the source)",
        markdown,
    )


def on_post_build(config: Any) -> None:
    try:
        export(Path(config.site_dir) / "try", load(HOUSE))
    except CannotFetch as error:
        # An honest gap: npm was never asked, or has no network now.
        get_plugin_logger("lessons").info(f"the site has no lessons to run: {error}")
