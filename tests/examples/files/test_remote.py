"""The service in one process, and a client in another."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.files.__main__ import main
from examples.files.digest import on_disk
from examples.files.tree import Tree

FILES = [sys.executable, "-m", "examples.files"]


def test_a_tree_is_fetched_by_another_process_and_nothing_is_held_in_the_end(
    tmp_path: Path,
) -> None:
    for n in range(40):
        folder = tmp_path / f"folder{n % 5}"
        folder.mkdir(exist_ok=True)
        (folder / f"file{n}").write_bytes(bytes([n]) * (n * 1000))
    digest = on_disk(Tree(str(tmp_path))).hexdigest()
    command = [*FILES, "serve", "--tcp", "127.0.0.1:0", "--tree", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            assert digest in server.stdout.readline()
            for _ in range(2):
                done = subprocess.run(
                    [*FILES, "fetch", "--tcp", address], capture_output=True, text=True, check=True
                )
                assert "40 files, 780,000 bytes" in done.stdout
                assert f"digest: {digest}" in done.stdout
                assert done.stdout.endswith(" 0 now\n")
            server.send_signal(signal.SIGTERM)
            assert server.stdout.read() == "closed; 0 pages are held for anybody\n"
            assert server.wait() == 0
        finally:
            server.kill()


def test_what_makes_no_sense_and_who_is_not_there_are_told_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for wrong in (["serve"], ["fetch", "--tcp", "here"], ["fetch", "--tcp", "h:1", "--key", "k"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2
    assert main(["fetch", "--tcp", "127.0.0.1:1"]) == 1
    assert "nobody is reached at Tcp('127.0.0.1', 1)" in capsys.readouterr().err
