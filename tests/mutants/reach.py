"""Which tests reach which statement, and what each test takes: measured once for a run.

A test runs alone, in a fork, with code in which each statement marks its place. A map can be
kept in a file: what is in it holds as long as the sources and the file of the test do.
"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.copy import ROOT
from tests.mutants.forks import Report, bound_cpu, in_forks
from tests.mutants.swap import Swapper

SOURCES: Final = ("pinfut", "executor", "rpc")

LONGEST: Final = 60.0
"""Seconds of CPU after which a test that is not broken is given up."""


@dataclass
class Reached:
    """What one test does. `sites`: for each file the statements, as bits; `cpu`: seconds."""

    test: str
    digest: str
    passed: bool
    cpu: float
    sites: dict[str, int] = field(default_factory=dict)


def run_test(item: pytest.Item) -> tuple[bool, str]:
    """Run a test with its fixtures: whether it passed, and how it failed. In a fork only."""
    try:
        reports = runtestprotocol(item, log=False, nextitem=None)
    except BaseException as error:  # what pytest does not take for the failure of a test
        return False, repr(error)
    for one in reports:
        if one.failed:
            crash = getattr(one.longrepr, "reprcrash", None)
            return False, str(crash.message if crash else one.longreprtext).splitlines()[0]
    return any(one.when == "call" and one.passed for one in reports), ""


def reach(
    items: list[pytest.Item],
    swappers: dict[str, Swapper],
    kept: Path | None,
    width: int,
    progress: Callable[[str], None],
) -> list[Reached]:
    """What each of the tests reaches in the files of `swappers`."""
    paths = [path for name in SOURCES for path in sorted((ROOT / name).rglob("*.py"))]
    version = " ".join([_digest(*paths), *swappers])
    digests = {path: _digest(path) for path in {item.path for item in items}}
    known = _read(kept, version)
    missing = [
        item
        for item in items
        if item.nodeid not in known or known[item.nodeid].digest != digests[item.path]
    ]
    marked = {file: one.marked() for file, one in swappers.items()}

    def work(item: pytest.Item, report: Report) -> None:
        for file, one in swappers.items():
            one.swap(marked[file][1])
        bound_cpu(LONGEST)
        begin = time.process_time()
        passed, _ = run_test(item)
        cpu = time.process_time() - begin
        sites = {file: int.from_bytes(hits, "little") for file, (hits, _) in marked.items()}
        found = {file: bits for file, bits in sites.items() if bits}
        report(Reached(item.nodeid, digests[item.path], passed, cpu, found))

    ends = in_forks((partial(work, item) for item in missing), width)
    for done, (number, ended) in enumerate(ends, 1):
        item = missing[number]
        nothing = Reached(item.nodeid, digests[item.path], False, ended.cpu)
        known[item.nodeid] = ended.said[0] if ended.said else nothing
        if done % 250 == 0:
            progress(f"reached by {done} of {len(missing)} tests")
            _write(kept, version, known)
    if missing:
        _write(kept, version, known)
    return [known[item.nodeid] for item in items]


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(kept: Path | None, version: str) -> dict[str, Reached]:
    if kept is None or not kept.exists():
        return {}
    found, known = pickle.loads(kept.read_bytes())
    return known if found == version else {}


def _write(kept: Path | None, version: str, known: dict[str, Reached]) -> None:
    if kept is not None:
        kept.write_bytes(pickle.dumps((version, known)))
