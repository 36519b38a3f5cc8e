"""Descriptors, watched: every wait is told from its beginning to its end, and who it wakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinfut import FutureBase, yield_now
from pinfut.executor import (
    CancelledError,
    Executor,
    Instrument,
    Recorder,
    VirtualClock,
    current_executor,
    scope,
    sleep,
    spawn,
    timeline,
    timeout,
)
from pinfut.executor.io import Socket, socketpair
from pinfut.executor.pollers import poller_type
from pinfut.executor.source import EdgeSource
from pinfut.learn.explorer import chrome_trace
from pinfut.sync import Closed, OneshotSender, oneshot
from tests.covered import covered, require
from tests.executor.io.world import no_leaks

__all__ = ["no_leaks"]

pytestmark = pytest.mark.usefixtures("each_poller")

# More than a socket takes at once.
MUCH = b"x" * 1_000_000


def watch(main: Coroutine[Any, Any, None], *, checked: bool = False) -> Recorder:
    recorder = Recorder()
    Executor(clock=VirtualClock(), checked=checked, instruments=[recorder]).run(main)
    return recorder


def told(recorder: Recorder) -> list[str]:
    """What was told of descriptors and wakes, in order."""
    names = {e["a"]: e["n"] for e in recorder.events if e["k"] == "spawn"}
    lines = []
    for event in recorder.events:
        by = event.get("by") or names.get(event.get("b", 0), "")
        if event["k"] == "io":
            lines.append(f"fd {event['fd']} {event['e']} {event['s']}")
        elif event["k"] == "wake" and "m" not in event and not by.startswith("timer"):
            lines.append(f"{names[event['a']]} woken by {by}")
    return lines


async def receive(sock: Socket) -> None:
    await sock.recv(10)


@pytest.mark.parametrize("checked", [False, True])
def test_a_wait_is_told_and_what_fires_comes_just_before_the_wake(checked: bool) -> None:
    fds: list[int] = []

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            fds.append(one.raw.fileno())
            # The second wait finds a source that epoll knows already.
            for _ in range(2):
                async with scope() as s:
                    s.spawn(receive(one), name="reader")
                    await sleep(1)
                    other.raw.send(b"bytes")
                    await sleep(1)

    lines = told(watch(main(), checked=checked))
    fd = f"fd {fds[0]}"
    assert lines == [f"{fd} read set", f"{fd} read fired", f"reader woken by {fd}"] * 2


def test_a_write_that_waits_is_told_as_a_write() -> None:
    fds: list[int] = []

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            fds.append(one.raw.fileno())
            async with scope() as s:
                s.spawn(send(one), name="writer")
                await sleep(1)
                left = len(MUCH)
                while left:
                    left -= len(await other.recv(left))

    async def send(sock: Socket) -> None:
        await sock.sendall(MUCH)

    lines = told(watch(main()))
    fd = f"fd {fds[0]}"
    written = [line for line in lines if line.startswith((f"{fd} ", "writer"))]
    assert written[:3] == [f"{fd} write set", f"{fd} write fired", f"writer woken by {fd}"]


def test_a_wait_that_is_taken_back_or_closed_is_told_as_cancelled() -> None:
    fds: list[int] = []

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            fds.append(one.raw.fileno())
            with pytest.raises(TimeoutError):
                await timeout(1, one.recv(1))
            reader = spawn(receive(one), name="reader")
            await sleep(1)
            one.close()
            with pytest.raises(Closed):
                await reader

    lines = [line for line in told(watch(main())) if not line.startswith("main")]
    fd = f"fd {fds[0]}"
    # The wake is put down to whoever closed it, not to the descriptor.
    assert lines == [*[f"{fd} read set", f"{fd} read cancelled"] * 2, "reader woken by main"]


def test_what_a_thread_hands_over_in_the_same_look_is_not_put_down_to_a_descriptor() -> None:
    fds: list[int] = []

    async def main() -> None:
        executor = current_executor()
        assert executor.poller is not None
        one, other = socketpair()
        with one, other:
            fds.append(one.raw.fileno())
            reader = spawn(receive(one), name="reader")
            await sleep(1)
            ends: tuple[OneshotSender[None], FutureBase[None]] = oneshot()
            tx, rx = ends
            other.raw.send(b"first")
            executor.poller.hand_over(tx.send, None)
            await rx
            await reader

    lines = told(watch(main()))
    fd = f"fd {fds[0]}"
    assert lines[1:4] == [f"{fd} read fired", f"reader woken by {fd}", "main woken by outside"]


@pytest.mark.parametrize("watched", [False, True])
def test_where_nobody_watches_a_known_source_takes_no_way_around(
    watched: bool, each_poller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    arm = EdgeSource._arm

    def counted(self: EdgeSource, events: int, edge: int, event: str) -> Any:
        nonlocal calls
        calls += 1
        return arm(self, events, edge, event)

    asked = 0
    kind = poller_type()
    ask = kind.watch

    def asking(self: Any, source: EdgeSource, mask: int) -> None:
        nonlocal asked
        asked += 1
        ask(self, source, mask)

    monkeypatch.setattr(EdgeSource, "_arm", counted)
    monkeypatch.setattr(kind, "watch", asking)

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            for _ in range(5):
                reader = spawn(receive(one))
                await sleep(1)
                other.raw.send(b"bytes")
                await reader

    Executor(clock=VirtualClock(), checked=False, instruments=[Recorder()] if watched else ()).run(
        main()
    )
    if each_poller == "epoll":
        assert calls == (5 if watched else 1)
        assert asked == 1, "the kernel is asked once, whoever watches"
    else:
        # A report disarms, so each wait asks; there is nothing to save.
        assert calls == asked == 5


class Waits(Instrument):
    """Fails unless each wait ends once, and one of a descriptor's for one event is under way
    at a time."""

    def __init__(self) -> None:
        self.open: set[tuple[int, str]] = set()
        self.counts: Counter[str] = Counter()

    def io(self, fd: int, event: str, state: str) -> None:
        self.counts[f"{event}_{state}"] += 1
        if state == "set":
            assert (fd, event) not in self.open
            self.open.add((fd, event))
        else:
            self.open.remove((fd, event))


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send", "flood", "close", "cancel", "sleep", "drain"]),
            st.integers(0, 5),
        ),
        max_size=15,
    ),
    st.booleans(),
)
def every_wait_ends_once(steps: list[tuple[str, int]], leave: bool) -> None:
    waits = Waits()

    async def reads(sock: Socket) -> None:
        try:
            while await sock.recv(100_000):
                await yield_now()
        except (Closed, OSError):
            pass

    async def writes(sock: Socket) -> None:
        try:
            await sock.sendall(MUCH)
        except (Closed, OSError):
            pass

    async def main() -> None:
        socks = [sock for _ in range(3) for sock in socketpair()]
        tasks = [spawn(reads(sock)) for sock in socks[::2]]
        try:
            for step, i in steps:
                sock = socks[i]
                if step == "send" and sock.raw.fileno() >= 0:
                    try:
                        sock.raw.send(b"bytes")
                    except OSError:
                        pass
                elif step == "flood" and i % 2 == 0:
                    tasks.append(spawn(one_at_a_time(sock)))
                elif step == "drain" and i % 2:
                    tasks.append(spawn(one_at_a_time(sock, read=True)))
                elif step == "close":
                    sock.close()
                elif step == "cancel" and i < len(tasks):
                    tasks[i].cancel()
                await sleep(1)
        finally:
            if not leave:
                for task in tasks:
                    task.cancel()
                    try:
                        await task
                    except CancelledError:
                        pass
            for sock in socks:
                sock.close()

    busy: set[tuple[Socket, bool]] = set()

    async def one_at_a_time(sock: Socket, *, read: bool = False) -> None:
        if (sock, read) in busy:
            return
        busy.add((sock, read))
        try:
            await (reads(sock) if read else writes(sock))
        finally:
            busy.discard((sock, read))

    Executor(clock=VirtualClock(), checked=False, instruments=[waits]).run(main())
    assert not waits.open
    covered("waits for descriptors told", **waits.counts)


def test_every_wait_that_is_told_ends_once() -> None:
    every_wait_ends_once()
    require(
        covered("waits for descriptors told"),
        *(f"{event}_{state}" for event in ("read", "write") for state in ("set", "fired")),
        "read_cancelled",
        "write_cancelled",
    )


def test_a_timeline_and_a_trace_show_what_a_descriptor_did() -> None:
    fds: list[int] = []

    async def main() -> None:
        one, other = socketpair()
        with one, other:
            fds.append(one.raw.fileno())
            reader = spawn(receive(one), name="reader")
            await yield_now()
            other.raw.send(b"bytes")
            await reader

    recorder = watch(main())
    fd = f"fd {fds[0]}"
    _, outside, *lanes = timeline(recorder).splitlines()[2:]
    at = outside.index("!")
    [reader] = [lane for lane in lanes if lane.startswith("reader")]
    assert reader[at] == "*"
    events = chrome_trace(recorder)["traceEvents"]
    states = [e["args"]["s"] for e in events if e["name"] == f"io {fds[0]}"]
    assert states == ["set", "fired"]
    # The slice that the arrow to the reader's step leaves from.
    [cause] = [e for e in events if e["ph"] == "X" and e["name"] == fd]
    assert any(e["ph"] == "s" and e["ts"] == cause["ts"] for e in events)
