"""The examples of events: combined, counted, and paid by who listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import network, watch_files, window
from pinfut.executor import VirtualClock, run


def test_a_cursor_is_combined_while_its_client_sleeps(capsys: pytest.CaptureFixture[str]) -> None:
    seen = run(window.main(moves=250, naps=0.7), clock=VirtualClock())
    assert len(seen) < 10
    assert seen[-1].version == 250
    assert sum(event.lost + len(event.states) for event in seen) == 250, "every move is counted"
    assert sum(bool(event.bits & window.CLICKED) for event in seen) >= 2, "no click is missed"
    for event in seen:
        steps = [window.POSITION.unpack(state) for state in event.states]
        assert steps == [
            (step, -step) for step in range(event.version - len(steps) + 1, event.version + 1)
        ]
    assert len(capsys.readouterr().out.splitlines()) == len(seen)


def test_changes_of_a_real_file_come_once_for_each_asking(tmp_path: Path) -> None:
    told = run(watch_files.main(tmp_path))
    # How often the folder was looked at between the three writes is the machine's affair.
    assert told[0] in (0, 5)
    assert told[-1] == -1
    assert 3 <= len(told) <= 6


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "/etc/passwd", "a/b"])
def test_nothing_outside_of_the_folder_can_be_watched(name: str, tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="no name of a file"):
            await watch_files.FolderWatcher(tmp_path).watch(name, 1)

    run(main())


@pytest.mark.parametrize(("flood", "backlog"), [(1000, 8), (5, 8), (8, 8), (9, 8), (10_000, 1)])
def test_requests_beyond_the_backlog_are_refused_and_cost_nobody_memory(
    flood: int, backlog: int
) -> None:
    accepted, dropped = run(network.main(flood, backlog), clock=VirtualClock())
    assert accepted == min(flood, backlog)
    assert dropped == max(0, flood - backlog)
