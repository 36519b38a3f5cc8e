"""The rows of the design notes: whatever one names is there, and what is missing is said."""

from __future__ import annotations

from typing import Any

import pytest

from pinfut.rpc.lab.rows import ROWS
from pinfut.rpc.lab.rows.row import Row
from tests.covered import covered
from tests.house.imports import ROOT
from tests.mutants.prove import mutants_of
from tests.mutants.test_mutants import functions


def wrong(row: Row) -> str | None:
    """What is not as the row says; None where all is."""
    if not (ROOT / row.where).is_file():
        return f"{row.where} is not there"
    if not row.test:
        return None if row.missing and not row.mutant else "it has no test and does not say why"
    path, _, name = row.test.partition("::")
    if not (ROOT / path).is_file() or name not in functions(ROOT / path):
        return f"{path} has no test {name}"
    if row.mutant and not mutants_of(row):
        return f"no mutant that breaks {row.mutant} is killed by {name}"
    return None


def test_all_rows_are_there_in_the_order_of_their_numbers() -> None:
    assert [row.number for row in ROWS] == [*range(1, 134)]
    assert len({row.text for row in ROWS}) == len(ROWS)
    assert all(1 <= row.line <= 314 for row in ROWS)


def test_each_row_names_an_answer_a_test_and_a_mutant_that_are_there_or_is_open() -> None:
    assert {row.number: told for row in ROWS if (told := wrong(row))} == {}
    covered(
        "rows of the notes",
        tests=sum(bool(row.test) for row in ROWS),
        mutants=sum(len(mutants_of(row)) for row in ROWS if row.mutant),
    )


@pytest.mark.parametrize(
    "planted",
    [
        {"where": "rpc/nowhere.py"},
        {"test": "tests/nowhere.py::test_nothing"},
        {"test": "tests/house/test_rows.py::test_nothing"},
        {"test": ""},
        {"test": "", "mutant": "", "missing": ""},
        {"mutant": "rule 99"},
        {"mutant": "rule 2"},  # there is one, and another test kills it
    ],
    ids=str,
)
def test_a_row_that_names_what_is_not_there_is_caught(planted: dict[str, Any]) -> None:
    row = next(row for row in ROWS if row.mutant == "rule 7")
    assert wrong(row) is None
    assert wrong(row._replace(**planted))
