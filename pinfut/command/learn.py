"""Open the lessons in a browser: read, run, watch it break, mend it, have it checked. Or check that
lessons teach what they say, or write them as a site that needs no server."""

from __future__ import annotations

import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pinfut.command.options import add_json, number
from pinfut.command.output import write_json
from pinfut.learn.child import A_PROOF, run_child
from pinfut.learn.lesson import HOUSE, BadLesson, load


def add_arguments(parser: ArgumentParser) -> None:
    """The options of the server, and the subcommands `check`, `export` and `editor`."""
    add = parser.add_argument
    text = "a folder of lessons in place of those that come along"
    add("--lessons", type=Path, default=HOUSE, metavar="DIR", help=text)
    add("--port", type=number(0, 65_535), default=0, help="0, the default, is any that is free")
    add("--no-browser", action="store_true", help="print the address, and open nothing")
    text = "where progress is kept (default: in the user's folder for state)"
    add("--progress", type=Path, metavar="FILE", help=text)
    more = parser.add_subparsers(dest="learn", metavar="check | export | editor")

    check = more.add_parser("check", help="prove every lesson of a folder")
    check.description = (
        "Refuse a start that passes, a solution that fails, a wrong answer that passes, and a "
        "check that explored fewer than two orders; say how many orders each has explored."
    )
    check.add_argument("folder", nargs="?", type=Path, default=HOUSE, metavar="DIR")
    text = "only the lessons whose names begin so (repeatable)"
    check.add_argument("--only", action="append", metavar="NAME", help=text)
    check.add_argument("--jobs", type=number(1, 64), default=2, help="processes (default 2)")
    add_json(check)

    export = more.add_parser("export", help="write the lessons as a site that needs no server")
    export.description = (
        "Write a folder that any web server can give out, or none: the lessons, and Python for the "
        "browser (Pyodide, fetched by npm). Learners install nothing."
    )
    export.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")

    editor = more.add_parser("editor", help="build the editor, in an installation from source")
    editor.description = "Bundle CodeMirror for the page. Needs node and npm, and the network once."


def run(options: Namespace) -> int:
    """Serve, or what the subcommand says."""
    try:
        if options.learn == "check":
            return _check(options)
        if options.learn == "export":
            return _export(options)
        if options.learn == "editor":
            return _editor()
        return _serve(options)
    except BadLesson as error:
        raise ArgumentError(None, str(error)) from None
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in ("starlette", "uvicorn", "markdown_it"):
            raise
        raise ArgumentError(
            None, f"{missing} is not installed; the lessons need it: pip install 'pinfut[learn]'"
        ) from None


def _check(options: Namespace) -> int:
    lessons = load(options.folder)
    if options.only is not None:
        lessons = [one for one in lessons if one.name.startswith(tuple(options.only))]
        if not lessons:
            raise ArgumentError(
                None, f"no lesson of {options.folder} begins with any of {options.only}"
            )

    def proved(name: str) -> dict[str, Any]:
        source = (options.folder / f"{name}.md").read_text("utf-8")
        return run_child({"do": "prove", "name": name, "source": source}, A_PROOF)

    told: list[dict[str, Any]] = []
    # The work is done by the child of each thread.
    with ThreadPoolExecutor(options.jobs) as threads:
        for lesson, proof in zip(
            lessons, threads.map(proved, [one.name for one in lessons]), strict=True
        ):
            if proof.get("kind") == "stopped":
                proof = {"orders": {}, "refused": 0, "faults": [proof["note"]]}
            told.append({"lesson": lesson.name, **proof})
            if options.json != "-":
                print(_lines(told[-1]), flush=True)
    faults = sum(bool(one["faults"]) for one in told)
    orders = sum(sum(one["orders"].values()) for one in told)
    if options.json != "-":
        print(f"{len(told)} lessons, {orders:,} orders explored, {faults} refused")
    write_json(options, told)
    return int(faults > 0)


def _lines(told: dict[str, Any]) -> str:
    """A lesson's proof: its checks with how many orders each explored, and its faults."""
    explored = ", ".join(
        f"{name} {orders:,} orders" if orders else f"{name} by hand"
        for name, orders in told["orders"].items()
    )
    refused = f"{told['refused']} wrong answers refused"
    head = f"{told['lesson']}: {explored or 'nothing explored'}; {refused}"
    return "\n".join([head, *(f"  refused: {fault}" for fault in told["faults"])])


def _export(options: Namespace) -> int:
    from pinfut.learn.export import export
    from pinfut.learn.pyodide import CannotFetch

    try:
        size = export(options.output, load(options.lessons))
    except CannotFetch as error:
        raise ArgumentError(None, str(error)) from None
    print(f"{options.output}: {size / 1e6:.1f} MB. Any web server can give it out, for example")
    print(f"  python3 -m http.server --directory {options.output}")
    return 0


def _editor() -> int:
    from pinfut.learn.editor import CannotBuild, build

    try:
        print(f"built {build()}")
    except CannotBuild as error:
        raise ArgumentError(None, str(error)) from None
    return 0


def _serve(options: Namespace) -> int:
    from pinfut.learn.editor import BUNDLE
    from pinfut.learn.server import serve

    if not BUNDLE.exists():
        print(
            "The editor is not built, so a text area takes its place: `pinfut learn editor` builds "
            "it, with node and npm.",
            file=sys.stderr,
        )
    return serve(
        load(options.lessons),
        port=options.port,
        progress=options.progress,
        browser=not options.no_browser,
    )
