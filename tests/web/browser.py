"""What only the Python of a browser shows: run by `make web`, and collected by no other run."""

from __future__ import annotations

import sys

import pytest

from pinfut.executor import current_executor, run, sleep, to_thread
from pinfut.executor.current import current_poller
from pinfut.executor.io import EventFd, pipe, socketpair
from pinfut.executor.pollers import PortablePoller, poller_type
from tests.house.readme import runnable_blocks


def test_this_is_the_python_of_a_browser() -> None:
    assert sys.platform == "emscripten"
    assert poller_type() is PortablePoller


def test_the_readmes_first_service_prints_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    block = runnable_blocks(starts=("# service.py",))[0]
    exec(compile(block.code, "service.py", "exec"), {"__name__": "service"})
    assert block.expected_output
    assert capsys.readouterr().out == block.expected_output


def test_real_time_passes() -> None:
    async def main() -> float:
        start = current_executor().now()
        await sleep(0.01)
        return current_executor().now() - start

    assert run(main()) >= 0.01


def test_threads_and_descriptors_are_refused_where_they_are_used() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="start new thread"):
            await to_thread(print)
        reader, writer = pipe()
        with reader, writer:
            with pytest.raises(OSError, match="needs sockets"):
                await reader.recv(1)
            with pytest.raises(OSError, match="needs sockets"):
                await current_poller().readable(reader.fileno())
        with pytest.raises(OSError, match="eventfd"):
            EventFd()
        with pytest.raises(OSError, match="Invalid argument"):
            socketpair()
        assert current_poller().external == current_poller().working == 0

    run(main())
