"""The server of a bench in another process."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_at(module: str) -> Iterator[str]:
    """Run a module as a program. It serves at the path that it is given, says when, and ends with
    its standard input."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "s"))
        command = [sys.executable, "-m", module, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                if server.stdout.readline() != b"ready\n":
                    raise RuntimeError(f"the server {module} did not start")
                yield path
            finally:
                server.kill()
