"""The child process: imports one system and measures a round whenever it is asked.

    python -m benches.worker benches.systems.on_trio

One JSON object per line. It speaks first, then answers each line that it reads:

    >  {"benches": ["await", "cancel", ...]}
    <  {"bench": "yield", "ops": 20000}
    >  {"per_op": 2841.3}            or  {"error": "Traceback ..."}

It ends when its input does. Since lines can be written by hand, this is also how to look at
one side alone:

    echo '{"bench": "spawn", "ops": 50000}' |
        python -m cProfile -s tottime -m benches.worker benches.systems.on_asyncio 2>&1 | head -40
"""

import json
import os
import sys
import traceback
from importlib import import_module
from typing import TextIO

from benches.probe import Suite


def take_stdout() -> TextIO:
    """The real standard output, for answers only: a stray `print` now goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def answer(suite: Suite, line: str) -> dict[str, object]:
    try:
        request = json.loads(line)
        return {"per_op": suite.measure(request["bench"], request["ops"])}
    except Exception:
        return {"error": traceback.format_exc()}


def main(module: str) -> None:
    answers = take_stdout()

    def say(message: dict[str, object]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        suite: Suite = import_module(module).SUITE
    except Exception:
        say({"error": traceback.format_exc()})
        return
    say({"benches": sorted(suite.benches)})
    for line in sys.stdin:
        say(answer(suite, line))


if __name__ == "__main__":
    main(sys.argv[1])
