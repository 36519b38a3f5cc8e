"""The tables of docs/speed.md: `python -m benches.markdown FILE`.

FILE is what `python -m benches --json FILE` wrote; - is standard input. There is a column for each
system that was measured, and a row for each bench. A loss is bold: a ratio below 1 to a peer.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benches.registry import BASE, BENCHES, ECHO_NOTE, LOOP, REMOTE, SYSTEMS

# The rows of the second table begin with one of these.
SERVICES: Final = ("echo-", "remote-", "idle-", "hostile-")

# And those of the third, of event loops, with this.
LOOPS: Final = "loop-"

COLUMNS: Final = {
    "pinfut": "pinfut",
    "pinfut-loop": "pinfut's loop",
    "asyncio": "asyncio",
    "uvloop": "uvloop",
    "rloop": "rloop",
    "zloop": "zloop",
    "trio": "trio",
    "asyncio-batched": "asyncio, batched",
    "uvloop-batched": "uvloop, batched",
    "asyncio-memory": "asyncio, in memory",
    "uvloop-memory": "uvloop, in memory",
    "pinfut-unix": "pinfut, two processes",
    "uvloop-msgpack": "uvloop, two processes",
    "pinfut-unboxed": "pinfut, unboxed",
    "pinfut-pure": "pinfut, Python alone",
}
"""The systems that are shown, and their headings."""

LABELS: Final = {
    "yield": "`yield`, among 100 tasks",
    "await": "`await` a pending future",
    "spawn": "`spawn` and join",
    "channel": "`channel`, a round trip",
    "timeout": "`timeout`, enter and exit",
    "cancel": "`cancel` a parked task and join",
    "lock": "`lock`, free",
    "wake-100": "`wake-100`: one of 100 parked tasks",
    "wake-100000": "`wake-100000`: one of 100,000",
    "depth-1": "`depth-1`: woken one await deep",
    "chain-10": "`chain-10`: ten calls deep, one wait",
    "tree": "`tree` of coroutines, joined in place",
    "tree-io": "`tree-io`, each leaf sleeps",
    "tree-tasks": "`tree-tasks`, each node a task",
    "memory": "`memory`, bytes for a parked task",
    "socket-echo": "`socket-echo`, both ends in one loop",
    "socket-cpu": "`socket-cpu`, user CPU for a TCP echo",
    "socket-cpu-raw": "`socket-cpu-raw`, peers on bare sockets",
    "echo-64-deep": "`echo-64-deep`: its handler ten calls deep",
    "idle-10": "`idle-10`: with 10 idle sessions beside it",
    "hostile-bytes": "`hostile-bytes`: held for a call of 8 KiB that never ends",
    "hostile-paid": "`hostile-paid`: what its client was charged",
}
"""What a row is called, where that is more than its name."""

OWN: Final = frozenset(system.name for system in SYSTEMS if system.own)
"""pinfut in its forms, to which nothing is lost."""


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """The tables, of what of them was measured."""
    parts = (
        table(rows, lambda bench: not bench.startswith((*SERVICES, LOOPS))),
        table(rows, lambda bench: bench.startswith(SERVICES)),
        table(rows, lambda bench: bench.startswith(LOOPS)),
    )
    return "\n".join(part for part in (*parts, note(rows)) if part)


def note(rows: Sequence[Mapping[str, Any]]) -> str:
    """What goes with the second table, if a peer is in it."""
    peers = [row for row in rows if row["system"] not in OWN and row["bench"].startswith("echo-")]
    return ECHO_NOTE + "\n" if peers else ""


def table(rows: Sequence[Mapping[str, Any]], chosen: Callable[[str], bool]) -> str:
    measured = {(row["bench"], row["system"]): row for row in rows if chosen(row["bench"])}
    systems = [name for name in COLUMNS if any(system == name for _, system in measured)]
    if not systems:
        return ""
    lines = [["", *(COLUMNS[name] for name in systems)]]
    for name in [bench.name for bench in BENCHES if chosen(bench.name)]:
        cells = [cell(measured.get((name, system))) for system in systems]
        if any(cells):
            lines.append([LABELS.get(name, f"`{name}`"), *cells])
    text = ["|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines]
    return "\n".join([text[0], "|---" * len(lines[0]) + "|", *text[1:]]) + "\n"


def cell(row: Mapping[str, Any] | None) -> str:
    """The median, and how many times pinfut's it is."""
    if row is None:
        return ""
    value = row.get("ns_per_op", row.get("bytes_per_op"))
    if row["system"] in (BASE, LOOP, REMOTE) or row["ratio"] is None:
        return f"{value:,.0f}"
    ratio = f"{row['ratio']:.2f}"
    if float(ratio) < 1 and row["system"] not in OWN:
        ratio = f"**{ratio}**"
    return f"{value:,.0f} ({ratio})"


def figures(file: str) -> Any:
    """What `python -m benches --json FILE` wrote; - is standard input. Raises OSError, and
    ValueError for what is no JSON."""
    return json.loads(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))


def main(argv: Sequence[str] | None = None) -> int:
    cli = argparse.ArgumentParser(
        prog="python -m benches.markdown",
        description="Print the tables of docs/speed.md from the figures of a run.",
    )
    cli.add_argument("file", metavar="FILE", help="what `python -m benches --json FILE` wrote")
    args = cli.parse_args(argv)
    try:
        print(tables(figures(args.file)), end="")
    except (OSError, ValueError, LookupError, TypeError) as error:
        cli.error(f"{args.file} has no figures of a run: {error!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
