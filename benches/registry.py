"""What can be measured, and on what: the names, in the order of the table.

A new bench is a line in `BENCHES` and a function of that name in the suites that have it.
A new system is a line in `SYSTEMS` and a module with a `SUITE`. Nothing here imports a
system: the parent process never loads one, and a missing package is only a `skipped`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Unit = Literal["ns", "bytes"]

# This checkout.
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Bench:
    name: str
    # What one operation is, as the table and `--list` say it.
    op: str
    # Operations in one round: some tens of milliseconds on most systems.
    ops: int
    # The same under `--quick`, where only the shape of the answer counts.
    quick_ops: int
    unit: Unit = "ns"

    @property
    def base(self) -> str:
        """The system that the others are compared with."""
        if self.name.startswith("remote-"):
            return REMOTE
        return LOOP if self.name.startswith("loop-") else BASE

    @property
    def fresh(self) -> bool:
        """Must each round have a new process?

        Memory must: a pool that an earlier round had filled would be used again, uncounted.
        """
        return self.unit == "bytes"


@dataclass(frozen=True)
class System:
    name: str
    # Where its `SUITE` is; imported by its worker only.
    module: str
    # Top-level modules without which this system is skipped.
    requires: tuple[str, ...] = ()
    # Set for its worker, on top of the parent's environment.
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    # The checkout that its worker runs: its benches, and its pinfut.
    root: Path = ROOT

    @property
    def own(self) -> bool:
        """Is it pinfut in another form, and so nobody to win or to lose against?"""
        return self.name.startswith(BASE)

    def missing(self) -> list[str]:
        return [module for module in self.requires if find_spec(module) is None]


# The system that every ratio is against.
BASE = "pinfut"

# The same for the benches of event loops, which ask asyncio's tasks for all.
LOOP = "pinfut-loop"

# The same for the benches of two processes.
REMOTE = "pinfut-unix"

# What the table of a run has to say beside echo rows of peers.
ECHO_NOTE = (
    "echo: no peer charges, cancels at the server or pipelines. pinfut and *-memory stay in "
    "memory, the others go through a socket pair."
)

BENCHES = (
    Bench("yield", "one yield to the scheduler, among 100 tasks", 20_000, 2_000),
    Bench("await", "create, await and complete a pending future", 5_000, 500),
    Bench("spawn", "spawn and join a trivial coroutine", 5_000, 500),
    Bench("channel", "one round trip over two bounded channels", 3_000, 300),
    Bench("timeout", "enter and exit a timeout that does not fire", 5_000, 500),
    Bench("cancel", "spawn, let it park, cancel, join", 2_000, 200),
    Bench("lock", "take and give back a lock that is free", 20_000, 2_000),
    Bench("wake-100", "wake one of 100 parked tasks, in random order", 20_000, 2_000),
    Bench("wake-100000", "wake one of 100,000 parked tasks, in random order", 100_000, 1_000),
    Bench("depth-1", "wake a task that waits 1 await deep", 5_000, 500),
    Bench("depth-10", "wake a task that waits 10 awaits deep", 5_000, 500),
    Bench("depth-50", "wake a task that waits 50 awaits deep", 5_000, 500),
    Bench("depth-100", "wake a task that waits 100 awaits deep", 5_000, 500),
    Bench("chain-10", "call ten coroutines deep, with one yield at the bottom", 5_000, 500),
    Bench("tree", "a node of a tree, joined in place where that can be", 55_987, 1_555),
    Bench("tree-io", "the same with a sleep of 50 ms at each leaf", 55_987, 1_555),
    Bench("tree-tasks", "a node of a tree, each a task of its own", 55_987, 1_555),
    Bench("tree-io-tasks", "the same with a sleep of 50 ms at each leaf", 55_987, 1_555),
    Bench("memory", "one task parked on its own pending future", 10_000, 1_000, unit="bytes"),
    Bench("echo-1", "one RPC echo of 16 bytes, 1 call in flight", 1_000, 100),
    Bench("echo-64", "one RPC echo of 16 bytes, 64 calls in flight", 6_400, 640),
    Bench("idle-10", "one RPC echo, with 10 idle sessions beside it", 10_000, 300),
    Bench("idle-10000", "the same with 10,000 idle sessions", 10_000, 300),
    Bench("echo-64-deep", "the same, its handler ten calls deep", 6_400, 640),
    Bench("echo-1000", "one RPC echo of 16 bytes, 1,000 calls in flight", 5_000, 1_000),
    Bench("remote-1", "one echo from another process, 1 call in flight", 1_000, 100),
    Bench("remote-64", "one echo from another process, 64 calls in flight", 6_400, 640),
    Bench("remote-1000", "one echo from another process, 1,000 in flight", 5_000, 1_000),
    Bench("hostile-bytes", "held for an unfinished call of 8 KiB", 1_000, 100, unit="bytes"),
    Bench("hostile-paid", "what its client's bank was charged", 1_000, 100, unit="bytes"),
    Bench("socket-echo", "one echo over a socket pair, both ends here", 3_000, 300),
    Bench("socket-cpu", "server's user CPU for one TCP echo, 32 connections", 20_000, 2_000),
    Bench("socket-cpu-raw", "the same, asyncio and trio on bare sockets", 20_000, 2_000),
    Bench("loop-chain", "a callback of a loop that calls the next", 20_000, 2_000),
    Bench("loop-future", "create, complete and await a loop's future", 10_000, 1_000),
    Bench("loop-group", "one task of a task group of 100", 10_000, 1_000),
    Bench("loop-timer", "set a timer of a loop, and cancel it", 20_000, 2_000),
    Bench("loop-sock", "one round trip by sock_sendall and sock_recv", 3_000, 300),
    Bench("loop-http", "one HTTP request on a connection that is kept", 3_000, 300),
    Bench("guest-switch", "a yield of a lone task; elsewhere pinfut's, as a guest", 20_000, 2_000),
    Bench("guest-hop", "spawn and await a task; elsewhere across, pinfut a guest", 5_000, 500),
)

# Tables of docs/comparisons.md: they count, and time nothing. Run when they are asked for.
COMPARISONS = {
    "calls": "other ways to lay out a call",
    "bushels": "other ways to name the objects of a client",
    "pairs": "a pair of rings for each bushel, or one for all",
}

SYSTEMS = (
    System(
        "pinfut",
        "benches.systems.on_pinfut",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "0"},
    ),
    System(
        "pinfut-pure",
        "benches.systems.on_pinfut",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "0", "PINFUT_PURE": "1"},
    ),
    System(
        "pinfut-unboxed",
        "benches.systems.on_pinfut_unboxed",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "0", "PINFUT_BOXED": "0"},
    ),
    System(
        "pinfut-recorded",
        "benches.systems.on_pinfut_observed",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "0"},
    ),
    System(
        "pinfut-checked",
        "benches.systems.on_pinfut_observed",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "1"},
    ),
    System(
        LOOP,
        "benches.systems.on_pinfut_loop",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "0"},
    ),
    System(
        REMOTE,
        "benches.systems.on_pinfut_unix",
        requires=("pinfut",),
        env={"PINFUT_CHECKED": "0"},
    ),
    System("asyncio", "benches.systems.on_asyncio"),
    System("uvloop", "benches.systems.on_uvloop", requires=("uvloop",)),
    System("rloop", "benches.systems.on_rloop", requires=("rloop",)),
    System("zloop", "benches.systems.on_zloop", requires=("zloop",)),
    System("trio", "benches.systems.on_trio", requires=("trio",)),
    System("asyncio-batched", "benches.systems.on_asyncio_batched"),
    System("uvloop-batched", "benches.systems.on_uvloop_batched", requires=("uvloop",)),
    System("uvloop-msgpack", "benches.systems.on_uvloop_msgpack", requires=("uvloop",)),
    System("asyncio-memory", "benches.systems.on_asyncio_memory"),
    System("uvloop-memory", "benches.systems.on_uvloop_memory", requires=("uvloop",)),
)
