"""Runs one target under atheris: ``python -m tests.fuzz.guided TARGET [libFuzzer's options]``."""

from __future__ import annotations

import sys
import tracemalloc

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

# What is imported from here on counts which of its branches are taken.
with atheris.instrument_imports(include=["pinfut"]):
    from tests.fuzz.harness import check
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    target = TARGETS[name]
    tracemalloc.start()

    def one(data: bytes) -> None:
        check(target, data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
