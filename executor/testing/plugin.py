"""The pytest plugin: ``async def test_...`` runs on an executor. Nobody else imports it.

Asked for with ``pytest_plugins = ["pinfut.executor.testing.plugin"]`` in the conftest.py at
the root, or with ``-p``. It takes the tests marked ``@pytest.mark.pinfut`` and, with
``pinfut_mode = auto`` in the configuration, every async test that no other plugin's marker
claims. It touches nothing else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, NoReturn

import pytest

from pinfut import checked as records
from pinfut.executor.clock import VirtualClock
from pinfut.executor.core import Executor
from pinfut.executor.schedule import Seeded
from pinfut.executor.testing.explore import Failures
from pinfut.executor.testing.fixtures import AsyncFixture, call, is_async
from pinfut.future import FutureBase
from pinfut.laws import LawError

_OTHERS: Final = ("asyncio", "trio", "anyio", "curio", "twisted", "tornado")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "pinfut_mode",
        "strict: async tests with the marker pinfut; auto: all that no other marker claims",
        default="strict",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "pinfut(seed=None, checked=True): run this async test on a pinfut executor; `seed` "
        "chooses the order of ready tasks, on simulated time; `checked` enforces the laws",
    )
    mode = config.getini("pinfut_mode")
    if mode not in ("strict", "auto"):
        raise pytest.UsageError(f"pinfut_mode is 'strict' or 'auto', not {mode!r}")


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Simulated time, from 0 s: an async test that asks for it runs on this clock."""
    return VirtualClock()


def _is_ours(item: object) -> bool:
    """Whether this is an async test that runs on an executor."""
    if not isinstance(item, pytest.Function):
        return False
    if not inspect.iscoroutinefunction(_inner(item.obj)):
        return False
    if item.get_closest_marker("pinfut") is not None:
        return True
    return item.config.getini("pinfut_mode") == "auto" and not any(
        item.get_closest_marker(name) is not None for name in _OTHERS
    )


def _inner(test: Any) -> Any:
    """The test itself; of one under hypothesis the function that each example calls."""
    return getattr(getattr(test, "hypothesis", None), "inner_test", test)


def _run(item: pytest.Function, test: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    marker = item.get_closest_marker("pinfut")
    options = {} if marker is None else dict(marker.kwargs)
    seed = options.pop("seed", None)
    checked = options.pop("checked", True)
    if options or (marker is not None and marker.args):
        raise pytest.UsageError("the marker pinfut takes seed=... and checked=..., and no more")
    clock: Any = item.funcargs.get("virtual_clock")
    if clock is None and seed is not None:
        clock = VirtualClock()
    failures = Failures()
    broken: list[LawError] = []
    if checked:
        records.keep_records(FutureBase)
    executor = Executor(
        clock=clock,
        checked=checked,
        instruments=[failures],
        schedule=None if seed is None else Seeded(seed),
    )
    others = [value for name, value in item.funcargs.items() if name not in kwargs]
    before, records.listener = records.listener, broken.append
    try:
        executor.run(call(test, kwargs, others))
    finally:
        records.listener = before
    if failures.errors:
        raise BaseExceptionGroup("tasks failed and nobody awaited them", failures.errors)
    if broken:
        raise ExceptionGroup("laws of polling were broken", broken)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not _is_ours(pyfuncitem):
        return None
    test = pyfuncitem.obj
    inner = _inner(test)
    wanted = pyfuncitem._fixtureinfo.argnames
    kwargs = {name: pyfuncitem.funcargs[name] for name in wanted}
    if inner is test:
        _run(pyfuncitem, test, kwargs)
        return True
    late = [name for name, value in pyfuncitem.funcargs.items() if isinstance(value, AsyncFixture)]
    if late:
        raise pytest.UsageError(
            f"{pyfuncitem.name} runs once for each example and cannot share the async "
            f"fixture(s) {', '.join(late)}; make what they give inside of the test"
        )

    @functools.wraps(inner)
    def example(*args: Any, **drawn: Any) -> None:
        _run(pyfuncitem, functools.partial(inner, *args), drawn)

    test.hypothesis.inner_test = example
    try:
        test(**kwargs)
    finally:
        test.hypothesis.inner_test = inner
    return True


def _refuse(fixturedef: pytest.FixtureDef[Any], request: Any, why: str) -> NoReturn:
    """Fail the set-up; noted at the fixture, as pytest does, so that it can be tried again."""
    error = pytest.UsageError(why)
    fixturedef.cached_result = (None, fixturedef.cache_key(request), (error, None))
    raise error


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: Any) -> Any:
    function: Any = fixturedef.func
    node = getattr(request, "_pyfuncitem", None)
    if not _is_ours(node) or hasattr(function, "_force_asyncio_fixture"):
        return None
    kwargs = {name: request.getfixturevalue(name) for name in fixturedef.argnames}
    if not is_async(function):
        late = [name for name, value in kwargs.items() if isinstance(value, AsyncFixture)]
        if late:
            _refuse(
                fixturedef,
                request,
                f"the fixture {fixturedef.argname!r} needs the async fixture {late[0]!r}, whose "
                "value comes when the executor runs; make it async def too",
            )
        return None
    if fixturedef.scope != "function":
        _refuse(
            fixturedef,
            request,
            f"the async fixture {fixturedef.argname!r} has the scope {fixturedef.scope!r}; it "
            "lives in the executor of one test, so its scope has to be 'function'",
        )
    # A method of a test class, as pytest binds it: to the instance that the test runs on.
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, type):
        function = function.__func__.__get__(request.instance)
    fixture = AsyncFixture(fixturedef.argname, function, kwargs)
    fixturedef.cached_result = (fixture, fixturedef.cache_key(request), None)
    return fixture
