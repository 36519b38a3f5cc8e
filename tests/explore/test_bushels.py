"""All states of small bushels, and the faults that the search has to find."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.rpc.bank.bank import SessionAccount
from pinfut.rpc.errors import UnknownObject
from pinfut.rpc.wire import export_table, exports
from pinfut.rpc.wire.export_table import Exported, ExportTable
from pinfut.rpc.wire.exports import Bushel
from tests.explore.bushels import Bushels
from tests.explore.states import Fault, explore, report


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tables that are made small again with so few objects, and generations that are used up.
    monkeypatch.setattr(export_table, "SMALL", 2)
    monkeypatch.setattr(exports, "SMALL", 2)
    monkeypatch.setattr(export_table, "_LAST_GENERATION", 2)


@pytest.mark.parametrize(("count", "grants", "held"), [(1, 8, True), (2, 5, True), (4, 5, False)])
def test_no_order_of_grants_and_releases_gives_an_id_two_meanings(
    count: int, grants: int, held: bool
) -> None:
    explored = explore(lambda: Bushels(count, grants, held))
    needed = ["at rest", "all are there"]
    if held:
        needed.append("held though released")
    if grants > count:
        needed.append("a place used again")
    if grants > 6:
        needed.append("generations used up")
    if count == 4:
        needed.append("around those that stay")
    report(f"all states of a bushel of {count} objects", explored, *needed)


@pytest.mark.parametrize(
    ("count", "grants", "held", "sessions"), [(1, 5, True, 2), (2, 4, False, 2), (2, 4, False, 3)]
)
def test_sessions_of_one_table_name_each_object_alike_and_take_nothing_from_each_other(
    count: int, grants: int, held: bool, sessions: int
) -> None:
    """Row 42, whoever ends first."""
    explored = explore(lambda: Bushels(count, grants, held, sessions))
    needed = ["at rest", "all are there", "over a second session", "the one who paid has ended"]
    report(f"{sessions} sessions, a table of {count} objects", explored, *needed)


real_drop = ExportTable.drop


def drop_without_counting(self: ExportTable, entry: Exported) -> None:
    real_drop(self, entry)
    self._free = [number - (1 << 32) for number in self._free[-1:]]


def shrink_from_the_start(self: ExportTable) -> None:
    self._free.clear()
    self._next = 0


def unhold_always_drops(self: Bushel, number: int) -> None:
    use = self._uses[number]
    use.holds -= 1
    self._drop(use)


def release_and_drop(self: Bushel, number: int, count: int) -> None:
    self.get(number)
    use = self._uses[number]
    use.uses -= count
    if not use.uses:
        self._drop(use)


def get_what_any_session_has(self: Bushel, number: int) -> Any:
    if all(entry.number != number for entry in self.table.entries.values()):
        raise UnknownObject("none")


def leave_the_charge_behind(self: ExportTable, account: SessionAccount) -> None:
    self.payers.pop(account, None)


FAULTS = [
    (ExportTable, "drop", drop_without_counting, 1),
    (ExportTable, "_shrink", shrink_from_the_start, 1),
    (Bushel, "unhold", unhold_always_drops, 1),
    (Bushel, "release", release_and_drop, 1),
    (Bushel, "get", get_what_any_session_has, 2),
    (ExportTable, "leave", leave_the_charge_behind, 2),
]


@pytest.mark.parametrize(("where", "name", "fault", "sessions"), FAULTS)
def test_the_search_finds_a_planted_fault(
    where: type[Any], name: str, fault: Any, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(Fault):
        explore(lambda: Bushels(2, 6 if sessions == 1 else 3, True, sessions))
