"""Files, with every call in a thread."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfut.executor import CancelledError, current_executor, spawn, yield_now
from pinfut.executor.io import open_file
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
        assert current_executor().external == 0

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
