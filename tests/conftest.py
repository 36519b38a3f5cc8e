"""Set-up that every test shares: checked mode, hypothesis profiles, the report of counts."""

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

# Before anything imports pinfut: the mode is read once, at import.
os.environ.setdefault("PINFUT_CHECKED", "1")
# Hooking the allocators is for good: tests that want it run in processes of their own.
os.environ.setdefault("PINFUT_MEMORY", "prices")

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers

from pinfut import checked
from tests import covered
from tests.order import put_in_order

# How long a step takes here depends on what else the machine does: no test may see it.
checked.patience = float("inf")

SOAK = os.environ.get("PINFUT_SOAK") == "1"

# No deadline, and nothing is too slow: no test here measures time. Derandomized: the same tree
# gives the same examples and so the same counts of what was covered. `make soak` looks somewhere
# new in each run, and print_blob says how to reproduce what it finds.
settings.register_profile(
    "default",
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.register_profile(
    "soak",
    parent=settings.get_profile("default"),
    derandomize=False,
    max_examples=5_000,
    stateful_step_count=200,
)
# For tests of tests (`tests/mutants`): that it fails is all that is asked, not how simply.
settings.register_profile(
    "mutants",
    parent=settings.get_profile("default"),
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("soak" if SOAK else "default")

# Hypothesis draws numbers and texts that stand in the modules of a project that are loaded, where
# no folder of its path is called `tests`. There is no setting for it. So examples would depend on
# which tests run with them, and on where the tree lies. Only a soak may profit.
if not SOAK:
    providers._get_local_constants = lambda: providers._local_constants


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order", metavar="reversed|SEED", help="run the tests in another order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    put_in_order(items, config.getoption("--order"))


def pytest_collection_finish() -> None:
    settle()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or nextitem.path != item.path:
        settle()


def settle() -> None:
    """Leave nothing of one file to be found or collected in another.

    Many tests collect garbage. What stays, as pytest and hypothesis do, they do not go through.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """Whatever started the tests may have had SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "not restored"
    signal.signal(signal.SIGINT, before)


def pytest_runtest_setup() -> None:
    covered.begin()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands over what its tests have covered."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["covered"] = covered.totals()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, counts in getattr(node, "workeroutput", {}).get("covered", {}).items():
        covered.covered(name, **counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = list(covered.report())
    if lines:
        terminalreporter.section("cases covered by property tests")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def nothing_left_to_tell(request: pytest.FixtureRequest) -> None:
    """What earlier tests have left tells of itself before a test that looks at the log."""
    if "caplog" in request.fixturenames:
        gc.collect()
