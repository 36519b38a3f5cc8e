"""Print what this installation is: versions, settings, and which optional parts are there."""

from __future__ import annotations

import platform
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

import pinfut
from pinfut import core
from pinfut.command.options import add_json
from pinfut.command.output import Row, show
from pinfut.executor.pollers import EpollPoller, poller_type
from pinfut.laws import checked_by_default
from pinfut.payers import why_not
from pinfut.unboxed.decorate import BOXED

PARTS: Final = {
    "msgspec": "encodes payloads, and refuses what it does not know",
    "uvloop": "optional: a loop that pinfut can be a guest in",
    "trio": "optional: another such loop",
    "rich": "optional: tables of the benches and of the example",
    "starlette": "optional: serves the lessons, on uvicorn",
    "uvicorn": "optional: the HTTP server of the lessons",
    "markdown-it-py": "optional: the texts of the lessons",
    "atheris": "optional: fuzzing guided by coverage",
}
"""Packages that pinfut uses, and what for."""


CORE: Final = "the extension that runs tasks"
PAYERS: Final = "the extension by which memory is paid where it lies"


class Fact(NamedTuple):
    """One line: a name, its value here, and what that means."""

    name: str
    value: str
    meaning: str


def facts() -> list[Fact]:
    """What there is to know. Nothing optional is imported for it."""
    checked = checked_by_default()
    return [
        Fact("pinfut", pinfut.__version__, "this package"),
        Fact(platform.python_implementation(), platform.python_version(), "the interpreter"),
        Fact("platform", f"{platform.system()} {platform.machine()}", "what it runs on"),
        Fact("poller", _poller(), "PINFUT_POLLER: what executors sleep in"),
        Fact("checked mode", _switch(checked), "PINFUT_CHECKED: broken laws are told"),
        Fact("unboxing", _switch(not BOXED), "PINFUT_BOXED=1 leaves functions as written"),
        Fact("core", "off" if core.ABSENT else "on", core.ABSENT or CORE),
        Fact("payers", "absent" if why_not() else "built", why_not() or PAYERS),
        *(Fact(name, _installed(name), meaning) for name, meaning in PARTS.items()),
    ]


def _poller() -> str:
    try:
        return "epoll" if poller_type() is EpollPoller else "portable"
    except (ValueError, RuntimeError):
        return "refused"  # the setting names none, or one that is not here


def _switch(on: bool) -> str:
    return "on" if on else "off"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`."""
    add_json(parser)


def run(options: Namespace) -> int:
    """Print the facts, a line each."""
    show(options, [fact._asdict() for fact in facts()], _lines)
    return 0


def _lines(rows: Sequence[Row]) -> str:
    return "\n".join(f"{row['name']:<16}{row['value']:<16}{row['meaning']}" for row in rows)
