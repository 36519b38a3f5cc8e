"""child: the local host of the runner. A learner's program runs in a process with limits.

The limits keep a mistake from hurting the learner's own machine: time, computing time, memory, the
size of files. They are no sandbox: the program may do what its author may do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pinfut.learn.lesson import parse
from pinfut.learn.prove import prove
from pinfut.learn.runner import runner
from pinfut.rpc.kernel.memory_mode import VARIABLE

PACKAGES: Final = str(Path(__file__).parents[2])
"""Where this pinfut lies, installed or not."""

_START: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from pinfut.learn.child import main; main()"
)


@dataclass(frozen=True)
class Limits:
    """What one job may take. Where the system knows no limits (`resource`), time alone is one."""

    seconds: float = 20.0
    """Of real time."""
    cpu: int = 10
    """Seconds of computing."""
    memory: int = 1 << 30
    """Bytes that it may write to. Where only addresses can be limited, bytes of those."""
    file: int = 16 << 20
    """Bytes of a file, and so of the result."""


A_JOB: Final = Limits()
A_PROOF: Final = Limits(seconds=300.0, cpu=120)
"""For all of a lesson's programs, one after the other."""


def run_child(job: dict[str, Any], limits: Limits = A_JOB) -> dict[str, Any]:
    """The result of a job, from a process of its own: as `runner` gives it, or
    ``{"kind": "stopped", "note": ...}``."""
    # By prices a lesson is the same everywhere; a program may ask its kernel for arenas.
    environment = {"PINFUT_CHECKED": "1", "PYTHONIOENCODING": "utf-8", VARIABLE: "prices"}
    for name in ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP"):
        if name in os.environ:
            environment[name] = os.environ[name]
    # A file, for its size has a limit, and a pipe has none.
    with (
        tempfile.TemporaryDirectory(prefix="pinfut-learn-") as folder,
        tempfile.TemporaryFile() as out,
    ):
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-c", _START, PACKAGES],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(
                json.dumps({"job": job, "limits": asdict(limits)}).encode(), limits.seconds
            )
        except subprocess.TimeoutExpired:
            return _stopped(f"It ran for {limits.seconds:g} s and was stopped.")
        finally:
            _end(process)
        if process.returncode:
            return _stopped(_why(process.returncode, limits))
        out.seek(0)
        result = json.loads(out.read())
        assert isinstance(result, dict)
        return result


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, if it still runs, and what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    process.wait()


def _stopped(note: str) -> dict[str, Any]:
    return {"kind": "stopped", "note": note}


def _why(status: int, limits: Limits) -> str:
    if hasattr(signal, "SIGXCPU") and -status in (signal.SIGXCPU, signal.SIGKILL):
        return (
            f"It computed for more than {limits.cpu} s and was stopped. Is there a loop without an "
            "`await` that waits?"
        )
    if hasattr(signal, "SIGXFSZ") and -status == signal.SIGXFSZ:
        return "It wrote more than it may, and was stopped."
    return f"The process of the program has ended by itself (status {status})."


def main() -> None:
    """In the child: read a job from standard input, write its result to standard output."""
    told = json.load(sys.stdin)
    _limit(Limits(**told["limits"]))
    # What the program prints is not the result.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    result = _do(told["job"])
    try:
        out.write(json.dumps(result))
        out.close()
    except OSError:
        os._exit(1)
    # Whatever threads or exit handlers the program has left, they do not matter now.
    os._exit(0)


def _do(job: dict[str, Any]) -> dict[str, Any]:
    try:
        if job["do"] == "prove":
            proof = prove(parse(job["name"], job["source"]), runner)
            return {"orders": proof.orders, "refused": proof.refused, "faults": proof.faults}
        return runner(job)
    except MemoryError:
        return _stopped("It wanted more memory than it may have, and was stopped.")
    except SystemExit:
        return _stopped(
            "It ended the process (`sys.exit`). A lesson's program ends when main ends."
        )


def _limit(limits: Limits) -> None:
    try:
        import resource
    except ImportError:
        return  # not on this system
    for what, most in (
        (resource.RLIMIT_CPU, limits.cpu),
        # Payers reserve many more addresses than they ever use, and Linux counts what is writable.
        (resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
