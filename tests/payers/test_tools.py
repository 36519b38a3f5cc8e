"""Memcheck and AddressSanitizer see nothing wrong, and would see it if there were."""

from __future__ import annotations

import pytest

from tests.payers import tooled
from tests.payers.apart import SOAK


@pytest.mark.skipif(not SOAK, reason="minutes: for make soak")
@pytest.mark.parametrize("tool", ["address", "memcheck"])
def test_random_allocations_and_refusals_are_clean_under(tool: str) -> None:
    lacking = tooled.missing(tool)
    if lacking is not None:
        pytest.skip(lacking)
    done = tooled.run(tool, 4_000 if tool == "address" else 300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fuzz" in done.stdout
    assert "crowd" in done.stdout


@pytest.mark.skipif(tooled.missing("address") is not None, reason=str(tooled.missing("address")))
def test_a_write_into_a_block_that_was_freed_is_seen() -> None:
    done = tooled.run("address", 0, use_after_free=True)
    assert done.returncode == 9, done.stdout + done.stderr
    assert "AddressSanitizer" in done.stderr
