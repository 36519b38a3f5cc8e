"""``python -m tests.fuzz [TARGET...] --runs 20000 --seconds 60``: look for inputs that break
a decoder, guided by coverage where atheris is installed, by chance where it is not.

An input that breaks something is written to --found, and the command that runs it again is
printed. `python -m tests.fuzz TARGET --input FILE` runs one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

NAMES = ("frames", "ring", "payloads", "answers", "session")


def by_chance(name: str, runs: int, seconds: float, seed: int, found: Path) -> int:
    """Change the corpus at random; 1 when something broke."""
    from tests.fuzz.harness import check, corpus
    from tests.fuzz.mutate import mutations
    from tests.fuzz.targets import TARGETS

    tracemalloc.start()
    counts: Counter[str] = Counter()
    begin = time.monotonic()
    done = 0
    for data in mutations([data for _, data in corpus(name)], seed):
        if done == runs or time.monotonic() - begin > seconds:
            break
        done += 1
        try:
            counts += check(TARGETS[name], data)
        except Exception:
            path = found / f"{name}-{seed}-{done}"
            path.write_bytes(data)
            print(f"{name}: broken after {done} runs: python -m tests.fuzz {name} --input {path}")
            return 1
    said = ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()))
    print(f"{name}: {done:,} runs in {time.monotonic() - begin:.0f} s by chance: {said}")
    return 0


def by_coverage(name: str, runs: int, seconds: float, seed: int, found: Path) -> int:
    """Have atheris look, in a process of its own, which it ends; 1 when something broke."""
    with tempfile.TemporaryDirectory() as new:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.guided", name),
                *(f"-runs={runs}", f"-max_total_time={seconds:.0f}", f"-seed={seed}"),
                *("-max_len=4096", "-timeout=20", f"-artifact_prefix={found}/{name}-"),
                *(new, str(Path(__file__).parent / "corpus" / name)),
            ],
            env=os.environ | {"PINFUT_CHECKED": os.environ.get("PINFUT_CHECKED", "1")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        inputs = len(list(Path(new).iterdir()))
    lines = done.stderr.splitlines()
    covered = [line.split("cov: ")[1].split()[0] for line in lines if " cov: " in line]
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        print(f"{name}: broken; the input is in {found}: python -m tests.fuzz {name} --input FILE")
        return 1
    said = next((line for line in reversed(lines) if line.startswith("Done ")), "Done")
    print(
        f"{name}: {said} guided by coverage: {covered[-1] if covered else '?'} edges "
        f"({covered[0] if covered else '?'} by the corpus), {inputs} new inputs"
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--runs", type=int, default=20_000, help="of each target, at most")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, default=Path("build/found"))
    parser.add_argument("--input", type=Path, help="run this one alone")
    parser.add_argument(
        "--by-chance", action="store_true", help="without atheris, also if it is there"
    )
    options = parser.parse_args()
    os.environ.setdefault("PINFUT_CHECKED", "1")
    unknown = set(options.targets) - set(NAMES)
    if unknown or (options.input and len(options.targets) != 1):
        parser.error(f"targets are {', '.join(NAMES)}; --input takes one of them")
    if options.input:
        from tests.fuzz.harness import check
        from tests.fuzz.targets import TARGETS

        tracemalloc.start()
        counts = check(TARGETS[options.targets[0]], options.input.read_bytes())
        print(", ".join(f"{what} {count}" for what, count in sorted(counts.items())) or "nothing")
        return 0
    options.found.mkdir(parents=True, exist_ok=True)
    look = by_coverage
    if options.by_chance or find_spec("atheris") is None:
        look = by_chance
        if not options.by_chance:
            print("atheris is not installed here (pip install '.[fuzz]'): looking by chance")
    broken = 0
    for name in options.targets or NAMES:
        broken |= look(name, options.runs, options.seconds, options.seed, options.found)
    return broken


if __name__ == "__main__":
    sys.exit(main())
