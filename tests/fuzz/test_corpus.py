"""The corpus is replayed, changed by chance for a while, and finds what is planted."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import pytest

from pinfut.rpc import errors
from pinfut.rpc.memory.lane import Completions, RingRequests, RingSubmissions
from pinfut.rpc.memory.ring import ALL, RingReader
from pinfut.rpc.wire import peer
from pinfut.rpc.wire.exports import Bushel
from pinfut.rpc.wire.peer import Peer
from pinfut.slots import SlotTable
from tests.covered import covered, require
from tests.fuzz.__main__ import NAMES
from tests.fuzz.harness import CORPUS, TooMuchMemory, check, corpus, piece
from tests.fuzz.make_corpus import make
from tests.fuzz.mutate import mutations
from tests.fuzz.targets import TARGETS

MET = {
    "frames": ("handled", "ended", "refused"),
    "ring": ("seen", "read", "written", "taken"),
    "payloads": ("decoded", "with capabilities", "error"),
    "answers": ("answered", "error", "garbage", "dropped", "refused"),
    "session": ("sent", "handled", "answered", "refused"),
}
CHANGED = {
    **MET,
    "ring": (*MET["ring"], "refused"),
    "payloads": (*MET["payloads"], "refused"),
    "session": ("sent", "handled", "refused"),
}
"""The same of changed inputs."""

RUNS = {"frames": 600, "ring": 400, "payloads": 2000, "answers": 200, "session": 50}


@pytest.fixture(autouse=True)
def measured() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def test_every_target_has_a_corpus() -> None:
    assert set(TARGETS) == set(NAMES) == {folder.name for folder in CORPUS.iterdir()}


def test_the_corpus_is_what_real_traffic_makes() -> None:
    tracemalloc.stop()
    for name, inputs in make().items():
        tree = {file: data for file, data in corpus(name) if not file.startswith("found")}
        assert tree == inputs, f"{name}: run python -m tests.fuzz.make_corpus"


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_does_no_harm(name: str) -> None:
    counts: Counter[str] = Counter()
    inputs = corpus(name)
    for _, data in inputs:
        counts += check(TARGETS[name], data)
    require(covered(f"fuzzing, corpus of {name}", inputs=len(inputs), **counts), *MET[name])


@pytest.mark.parametrize("name", NAMES)
def test_changes_by_chance_do_no_harm(name: str) -> None:
    counts: Counter[str] = Counter()
    runs = RUNS[name]
    for data in islice(mutations([data for _, data in corpus(name)], 1), runs):
        counts += check(TARGETS[name], data)
    counts = Counter({what.replace(" ", "_"): count for what, count in counts.items()})
    met = (what.replace(" ", "_") for what in CHANGED[name])
    require(covered(f"fuzzing by chance, {name}", runs=runs, **counts), *met)


def test_memory_that_an_input_does_not_explain_is_seen() -> None:
    def greedy(data: bytes, counts: Counter[str]) -> None:
        counts["bytes"] = len(bytes(1 << 20))

    with pytest.raises(TooMuchMemory):
        check(TARGETS["ring"]._replace(run=greedy), piece(0))


# ---- planted faults ----


def finish_unchecked(self: Peer, x: int, flags: int) -> None:
    answer = self.answers[x % self.slots]
    for number in answer.granted or ():
        self.exports.unhold(number)
    if answer.task is None:
        answer.clear()


def release_unchecked(self: Bushel, number: int, count: int) -> None:
    use = self._uses[number]
    use.uses -= count
    if use.uses <= 0:
        self.things.pop(number, None)
        self._drop(use)


RECEIVE = RingReader.receive


def receive_unchecked(self: RingReader, limit: int, credit: int = 0, /) -> list[bytes]:
    self._seen = self._words[0]
    found: list[bytes] = []
    while self.consumed < self._seen and len(found) < limit:
        at = self.consumed & self._mask
        length = int(self._buffer[at : at + 4].cast("I")[0])
        found.append(bytes(min(length, 1 << 24)))  # as much as the writer says
        self.consumed += length + 7 & -8
    return found


def tail_unchecked(self: RingReader, limit: int, credit: int = ALL, /) -> list[bytes]:
    self._seen = min(self._seen, self._words[0])
    self.capacity, capacity = 1 << 62, self.capacity
    try:
        return RECEIVE(self, limit, credit)
    finally:
        self.capacity = capacity


def take_unchecked(self: Completions) -> list[int]:
    head, self._head = self._head, self._words[0]
    return [self._words[1 + at % self.capacity] for at in range(head, self._head)]


def from_wire_unchecked(code: int, kind: str, message: str) -> errors.RpcError:
    return errors._BY_CODE[code](message)


def read_unchecked_length(self: RingSubmissions, place: int, /) -> bytes:
    page, start = self._cells[place]
    return bytes(int.from_bytes(page[start : start + 4], "little"))


def mark_all(self: SlotTable[Any], xs: list[int]) -> list[int]:
    for x in xs:
        self._slots[x % self.capacity].state = 2
    return []


def complete_unchecked(self: RingRequests, place: int, x: int, frame: bytes, /) -> None:
    page, start = self._cells[place]
    page[start : start + len(frame)] = frame
    self.completions.post(x)


def decode_anything(payload: bytes) -> Any:
    return msgspec.msgpack.decode(payload)[0]


FAULTS: list[tuple[str, Any, str, Any, int]] = [
    ("frames", Peer, "_receive_finish", finish_unchecked, 2000),
    ("frames", Bushel, "release", release_unchecked, 2000),
    ("ring", RingReader, "receive", receive_unchecked, 2000),
    ("ring", RingReader, "receive", tail_unchecked, 2000),
    ("ring", Completions, "take", take_unchecked, 2000),
    ("payloads", errors._BY_CODE, "", None, 2000),
    ("answers", peer, "_decode_error", decode_anything, 2000),
    ("answers", RingSubmissions, "read", read_unchecked_length, 2000),
    ("answers", SlotTable, "mark_ready", mark_all, 2000),
    ("session", RingRequests, "complete", complete_unchecked, 400),
]


@pytest.mark.parametrize(
    ("name", "owner", "attribute", "fault", "runs"),
    FAULTS,
    ids=[f"{one[0]} {getattr(one[3], '__name__', 'codes')}" for one in FAULTS],
)
def test_chance_finds_a_planted_fault(
    name: str, owner: Any, attribute: str, fault: Any, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault is None:
        monkeypatch.setattr("tests.fuzz.on_payloads.from_wire", from_wire_unchecked)
    else:
        monkeypatch.setattr(owner, attribute, fault)
    for data in islice(mutations([data for _, data in corpus(name)], 1), runs):
        try:
            check(TARGETS[name], data)
        except Exception:
            return
    pytest.fail(f"{runs} changed inputs did not find it")
