"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import pytest

from tests.house.imports import ROOT

pytest_plugins = ["pytester"]

PLUGIN = "pinfut.executor.testing.plugin"


class Outcome:
    """How a run of pytest ended: ``passed``, ``failed`` and so on by count, and the output."""

    def __init__(self, result: pytest.RunResult) -> None:
        self.output = result.stdout.str() + result.stderr.str()
        # Without a summary the command line or the configuration was refused.
        counts = result.parseoutcomes() if result.outlines else {}
        self.counts = {name: n for name, n in counts.items() if name in COUNTED}


COUNTED = ("passed", "failed", "errors")


def pytest_run(pytester: pytest.Pytester, source: str, ini: str = "") -> Outcome:
    pytester.makepyfile(source)
    pytester.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\n{ini}")
    return Outcome(pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider"))


def test_marked_tests_run_on_an_executor_with_their_fixtures(pytester: pytest.Pytester) -> None:
    outcome = pytest_run(
        pytester,
        """
        import pytest
        from hypothesis import given, strategies as st
        from pinfut import PENDING, FutureBase
        from pinfut.executor import current_executor, sleep, spawn, yield_now
        from pinfut.executor.trace.watched import WatchedTask

        pytestmark = pytest.mark.pinfut

        def test_a_plain_one_is_left_alone():
            pass

        async def test_runs(tmp_path):
            assert tmp_path.exists()
            assert current_executor().checked
            await yield_now()

        @pytest.mark.parametrize("n", [1, 2])
        async def test_time_is_simulated(virtual_clock, n):
            await sleep(3600 * n)
            assert virtual_clock.now() == 3600 * n == current_executor().now()

        class TestInAClass:
            @pytest.mark.pinfut(checked=False)
            async def test_unchecked(self):
                assert not current_executor().checked

        @given(st.integers())
        async def test_examples(n):
            examples.append(n)
            await yield_now()

        examples = []

        def test_there_were_examples():
            assert len(set(examples)) > 10

        async def test_fails():
            assert 1 == 2, "on purpose"

        async def test_fails_unheard():
            async def unheard():
                raise ValueError("unheard")
            spawn(unheard())
            await sleep(0)
            await yield_now()

        class Forgets(FutureBase):
            def poll(self, cx):
                return PENDING

        async def test_breaks_a_law():
            await Forgets()

        async def test_forgets_an_await():
            sleep(1)

        @pytest.mark.pinfut(sead=1)
        async def test_wrong_option():
            pass
        """,
    )
    assert outcome.counts == {"passed": 7, "failed": 5}, outcome.output
    told = ("on purpose", "unheard", "LostWakeup", "takes seed=... and checked=...", "NeverTaken")
    for said in told:
        assert said in outcome.output


def test_a_seed_in_the_marker_chooses_the_order(pytester: pytest.Pytester) -> None:
    outcome = pytest_run(
        pytester,
        """
        import pytest
        from pinfut.executor import scope, sleep

        orders = {}

        @pytest.mark.parametrize("again", [0, 1])
        @pytest.mark.parametrize(
            "seed", [pytest.param(n, marks=pytest.mark.pinfut(seed=n)) for n in range(8)]
        )
        async def test_order(seed, again):
            log = []
            async def one(name):
                log.append(name)
            async with scope() as s:
                for name in "abc":
                    s.spawn(one(name))
            await sleep(1000)
            assert orders.setdefault(seed, log) == log

        def test_several_orders():
            assert len({tuple(one) for one in orders.values()}) > 2
        """,
    )
    assert outcome.counts == {"passed": 17}, outcome.output


def test_async_fixtures_live_in_the_executor_of_the_test(pytester: pytest.Pytester) -> None:
    outcome = pytest_run(
        pytester,
        """
        import pytest
        from pinfut.executor import current_executor, current_task, scope, sleep

        log = []

        @pytest.fixture
        async def first(virtual_clock):
            await sleep(1)
            log.append("first up")
            yield current_executor()
            await sleep(1)
            log.append("first down")

        @pytest.fixture
        def plain():
            return "plain"

        @pytest.fixture
        async def second(first, plain):
            async with scope() as s:
                child = s.spawn(sleep_long())
                log.append("second up")
                yield first, plain
                child.cancel()
            log.append("second down")

        async def sleep_long():
            await sleep(100)

        @pytest.fixture
        async def value():
            await sleep(0)
            return 7

        class TestUse:
            @pytest.fixture(autouse=True)
            async def always(self):
                log.append("always")

            @pytest.mark.pinfut
            async def test_uses(self, second, first, value):
                assert second == (first, "plain")
                assert first is current_executor()
                assert value == 7
                log.append("test")

        def test_order():
            assert log == [
                "always", "first up", "second up", "test", "second down", "first down"
            ]

        class TestMethods:
            @pytest.fixture
            async def mine(self):
                return self

            @pytest.mark.pinfut
            async def test_bound(self, mine):
                assert mine is self

        @pytest.mark.pinfut
        async def test_fails(first):
            log.clear()
            raise ValueError("mine")

        def test_torn_down_all_the_same():
            assert log == ["first down"]
        """,
    )
    assert outcome.counts == {"passed": 4, "failed": 1}, outcome.output
    assert "ValueError: mine" in outcome.output


def test_fixtures_that_cannot_work_are_refused_with_the_reason(pytester: pytest.Pytester) -> None:
    outcome = pytest_run(
        pytester,
        """
        import pytest
        from hypothesis import HealthCheck, given, settings, strategies as st

        pytestmark = pytest.mark.pinfut

        @pytest.fixture
        async def late():
            return 1

        @pytest.fixture
        def early(late):
            return late + 1

        @pytest.fixture(scope="module")
        async def wide():
            return 1

        @pytest.fixture
        async def twice():
            yield 1
            yield 2

        async def test_early(early):
            pass

        async def test_early_again(early):
            pass

        async def test_wide(wide):
            pass

        async def test_twice(twice):
            pass

        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.integers())
        async def test_shared(late, n):
            pass
        """,
    )
    assert not outcome.counts.get("passed"), outcome.output
    for said in ("make it async def too", "has to be 'function'", "yields a second time"):
        assert said in outcome.output
    assert "AssertionError" not in outcome.output, "refused a second time as the first"
    assert "make what they give inside of the test" in outcome.output


SOURCE = """
    import asyncio
    import pytest

    async def test_unmarked():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    @pytest.mark.asyncio
    async def test_of_asyncio():
        await asyncio.sleep(0)

    @pytest.mark.pinfut
    async def test_marked():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
"""


@pytest.mark.parametrize(
    ("mode", "counts"),
    [("strict", {"passed": 2, "failed": 1}), ("auto", {"passed": 3})],
)
def test_it_lives_beside_pytest_asyncio(
    pytester: pytest.Pytester, mode: str, counts: dict[str, int]
) -> None:
    outcome = pytest_run(pytester, SOURCE, ini=f"asyncio_mode = strict\npinfut_mode = {mode}\n")
    assert outcome.counts == counts, outcome.output


def test_in_auto_mode_what_another_plugins_marker_claims_is_left_to_it(
    pytester: pytest.Pytester,
) -> None:
    outcome = pytest_run(
        pytester,
        """
        import pytest

        @pytest.mark.trio
        async def test_claimed():
            pass
        """,
        ini="markers = trio\npinfut_mode = auto\n",
    )
    assert outcome.counts == {"failed": 1}
    assert "not natively supported" in outcome.output


def test_a_mode_that_there_is_not_is_refused(pytester: pytest.Pytester) -> None:
    outcome = pytest_run(pytester, SOURCE, ini="pinfut_mode = often\n")
    assert "pinfut_mode is 'strict' or 'auto', not 'often'" in outcome.output


def test_who_does_not_ask_for_it_gets_nothing_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does a pytest without the plugin import pinfut, nor the kit pytest."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        """
        import subprocess, sys

        def test_nothing_of_pinfut_is_loaded():
            assert not [name for name in sys.modules if name.split(".")[0] == "pinfut"]

        def test_the_kit_does_not_load_pytest():
            check = (
                "import sys, pinfut.testing, pinfut.executor.testing\\n"
                "assert not {'pytest', '_pytest', 'hypothesis'} & set(sys.modules)"
            )
            subprocess.run([sys.executable, "-c", check], check=True)
        """
    )
    outcome = Outcome(pytester.runpytest_subprocess("-p", "no:cacheprovider"))
    assert outcome.counts == {"passed": 2}, outcome.output
