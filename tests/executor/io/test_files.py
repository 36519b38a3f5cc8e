"""Files, with every call in a thread."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from pinfut.executor import CancelledError, spawn, yield_now
from pinfut.executor.current import current_poller
from pinfut.executor.io import File, open_file
from tests.executor.world import Run


def test_what_is_written_is_read_again(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"

    async def main() -> None:
        async with await open_file(path, "w") as file:
            assert await file.write("one\ntwo\n") == 8
            await file.sync()
        async with await open_file(path, "rb") as file:
            assert await file.read_line() == b"one\n"
            assert await file.seek(0) == 0
            assert await file.read(3) == b"one"
            assert await file.read() == b"\ntwo\n"
            assert await file.read() == b""
        assert file.raw.closed
        with pytest.raises(FileNotFoundError):
            await open_file(tmp_path / "nothing")
        assert current_poller().external == 0

    run(main())


def test_a_cancel_while_a_file_is_opened_leaves_it_closed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    async def use() -> None:
        async with await open_file(path) as file:
            await file.read()

    async def main() -> None:
        task = spawn(use())
        await yield_now()
        task.cancel()
        with pytest.raises(CancelledError):
            await task

    run(main())  # the fixture counts descriptors


class SlowToClose(io.BytesIO):
    """Closes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def close(self) -> None:
        if self.let.wait(60):
            super().close()


def test_a_close_under_way_is_not_cancelled(run: Run) -> None:
    raw = SlowToClose()

    async def use() -> None:
        async with File(raw):
            pass
        await yield_now()  # the cancel comes here

    async def main() -> None:
        task = spawn(use())
        for _ in range(3):
            await yield_now()
        task.cancel()
        for _ in range(3):
            await yield_now()
        assert not task.done
        raw.let.set()
        with pytest.raises(CancelledError):
            await task
        assert raw.closed

    run(main())
