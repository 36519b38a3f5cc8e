"""Faults planted in the C are found."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.core.both import ROOT
from tests.core.faults import FAULTS
from tests.core.planted import compiler, main, plant


def test_each_fault_stands_once_in_the_sources(tmp_path: Path) -> None:
    assert len(FAULTS) >= 25
    for number, fault in enumerate(FAULTS):
        tree = tmp_path / str(number)
        shutil.copytree(ROOT / "pinfut" / "native", tree / "pinfut" / "native")
        plant(fault, tree)


@pytest.mark.skipif(os.environ.get("PINFUT_SOAK") != "1", reason="minutes: for make soak")
@pytest.mark.skipif(not compiler(), reason="no C compiler")
def test_each_fault_is_found() -> None:
    assert main([]) == 0
