"""Instructions per operation, as valgrind's callgrind counts them.

The same program on the same interpreter takes the same instructions, whatever else the machine
does, if nothing in it depends on chance. So hashes have a fixed seed, the environment is made
here and not inherited, and valgrind itself gives every run the same addresses. Two runs of
one tree agree to the instruction, or nearly.

Instructions are no time: they know nothing of caches, of branches or of the kernel.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

from benches.counted import MARK
from benches.registry import ROOT, System

# Seconds that a bench, or the import before it, may take. The slowest takes one of twenty.
PATIENCE = 600.0

MISSING = "counting needs valgrind, a system package: `apt-get install valgrind`, or the like"


class CallgrindFailed(Exception):
    """It cannot run, or what it wrote is not what the marks should have made it write."""


@dataclass(frozen=True)
class Part:
    """What was counted between two marks."""

    # What ended it, as callgrind says it.
    trigger: str
    instructions: int


def parse(text: str) -> Part:
    """The sums of one of callgrind's files; `CallgrindFailed` if it lacks one."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        for name in ("desc: Trigger: ", "events: ", "totals: "):
            if line.startswith(name):
                fields[name] = line.removeprefix(name).strip()
    try:
        if fields["events: "] != "Ir":
            raise CallgrindFailed(f"it counted {fields['events: ']} and not instructions")
        return Part(fields["desc: Trigger: "], int(fields["totals: "]))
    except (KeyError, ValueError) as error:
        raise CallgrindFailed(f"this is no file of callgrind's: {error}") from error


def between_marks(folder: Path, process: str) -> int:
    """Instructions of this process from its first mark to its second."""
    parts = []
    for number in (1, 2):
        file = folder / f"{process}.{number}"
        if not file.exists():
            raise CallgrindFailed(f"it made {number - 1} of 2 marks: its error is above")
        parts.append(parse(file.read_text("utf-8", errors="replace")))
    if any(part.trigger != f"--dump-before={MARK}" for part in parts):
        raise CallgrindFailed("something else than a mark has divided the count")
    return parts[1].instructions


def environment(system: System) -> dict[str, str]:
    # What chooses between the ways in which pinfut does the same: `PINFUT_MEMORY`, `PINFUT_PURE`.
    asked = {name: value for name, value in os.environ.items() if name.startswith("PINFUT_")}
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", **asked, **system.env}


def count(
    system: System, ops: Mapping[str, int], progress: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, str]]:
    """Instructions per operation of each bench, and of each that failed the reason.

    ops: how many operations of which bench; those that the system lacks are passed over.
    `CallgrindFailed` without `valgrind` on the PATH, or if the system cannot be imported.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CallgrindFailed(MISSING)
    command = [sys.executable, "-m", "benches.counted", system.module]
    env = environment(system)
    # Once without: so that nothing is left to compile, which is slow under valgrind, and would
    # leave other objects in memory than a run that finds it compiled.
    try:
        subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=PATIENCE)
    except subprocess.SubprocessError as error:
        raise CallgrindFailed(f"{system.name} cannot be imported: {error}") from error
    processes: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        options = [
            *("-q", "--tool=callgrind", f"--dump-before={MARK}"),
            f"--callgrind-out-file={folder}/%p",
        ]
        child = subprocess.Popen(
            [valgrind, *options, *command, *(f"{name}={n}" for name, n in ops.items())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=env,
            start_new_session=True,  # it forks, and is ended with its children
        )
        alarm = Timer(PATIENCE * (1 + len(ops)), end, [child])
        alarm.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                bench, process = line.split()
                processes[bench] = process
                progress(f"{system.name}: {bench}")
            child.wait()
        finally:
            alarm.cancel()
            end(child)
            child.communicate()
        counts: dict[str, float] = {}
        failures: dict[str, str] = {}
        for bench, n in ops.items():
            try:
                if bench not in processes:
                    if child.returncode in (0, 1):
                        continue  # the system has no such bench
                    raise CallgrindFailed(f"valgrind ended before it, with {child.returncode}")
                counts[bench] = between_marks(Path(folder), processes[bench]) / n
            except CallgrindFailed as error:
                failures[bench] = str(error)
    return counts, failures


def end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
