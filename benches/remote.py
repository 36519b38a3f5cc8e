"""The parent's end of a worker: starts it, asks it for rounds, and never waits forever."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from threading import Timer
from typing import Any

from benches.registry import System


class WorkerFailed(Exception):
    """The worker answered with an error, died, or did not answer in time."""


class Worker:
    def __init__(self, system: System, patience: float = 120.0) -> None:
        self.patience = patience
        # Before whatever else is installed; a safe path would leave the folder out.
        paths = [str(system.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.worker", system.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=system.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **system.env},
        )
        try:
            self.benches = frozenset(self._answer()["benches"])
        except WorkerFailed:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def measure(self, bench: str, ops: int) -> float:
        """One round: nanoseconds, or bytes, per operation."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead; reading its answer says how it died
            print(json.dumps({"bench": bench, "ops": ops}), file=self._process.stdin, flush=True)
        return float(self._answer()["per_op"])

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            self._process.kill()

        alarm = Timer(self.patience, give_up)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        if late:
            raise WorkerFailed(f"no answer within {self.patience:g} s")
        if not line:
            raise WorkerFailed(f"the worker died with exit code {self._process.wait()}")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise WorkerFailed(message["error"].rstrip())
        return message
