"""The examples of events: combined, counted, and paid by who listens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from examples import network, tcp_window, watch_files, window
from pinfut.executor import VirtualClock, run
from pinfut.rpc import PAGE, OutOfPages


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


@pytest.mark.skipif(sys.platform != "linux", reason="how much a window counts is the system's")
def test_no_more_of_a_stream_lies_in_the_system_than_its_receiver_has_bought() -> None:
    """Row 83: over a real connection, whatever the sender has to send; and nothing is dropped."""
    for pages in (2, 8, 32):
        out, most, came = run(tcp_window.main(pages, 2 * pages, 1 << 20))
        assert 0 < out <= most < 1 << 20
        assert most <= (pages + 4) * PAGE, "the window, and the least that a sender keeps"
        assert came == 1 << 20
    with pytest.raises(OutOfPages, match="the window of a connection"):
        run(tcp_window.main(8, 4, 1 << 20))
    with pytest.raises(ValueError, match="2 pages or more"):
        run(tcp_window.main(1, 4, 1 << 20))
