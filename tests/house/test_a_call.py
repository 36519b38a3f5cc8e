"""docs/a-call.md lists the files that a plain call passes, in the order in which it meets them."""

import inspect
import os
import re
import subprocess
import sys
from types import CodeType, FrameType
from typing import Protocol

from pinfut import executor
from pinfut.rpc import Interface, SimKernel, connect, method, serve
from tests.house.imports import FLOORS, ROOT

PAGE = (ROOT / "docs" / "a-call.md").read_text("utf-8")
ROW = re.compile(r"^\| (\d+) \| `([^`]+)` \| (\d+) \| ([^|]+) \|$", re.MULTILINE)
LISTED = [(int(number), path, int(lines)) for number, path, lines, _ in ROW.findall(PAGE)]


class Echo(Interface, Protocol):
    @method
    async def echo(self, data: bytes) -> bytes: ...


class EchoServer(Echo):
    @method
    async def echo(self, data: bytes) -> bytes:
        return data


def code_of_a_call() -> dict[str, list[CodeType]]:
    """The functions of the floors that a call enters, by file, in the order of the first entry."""
    met: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            met.setdefault(frame.f_code)

    async def main() -> None:
        kernel = SimKernel()
        bank = kernel.bank("client", pages=400)
        async with serve(kernel, "echo", EchoServer()), connect(kernel, "echo", Echo, bank) as root:
            await root.echo(b"x")  # the first has what is made once
            sys.setprofile(note)
            try:
                assert await root.echo(b"x") == b"x"
            finally:
                sys.setprofile(None)

    executor.run(main())
    roots = tuple(str(ROOT / floor) + os.sep for floor in FLOORS)
    files: dict[str, list[CodeType]] = {}
    for code in met:
        path = os.path.realpath(code.co_filename)
        if path.startswith(roots):
            files.setdefault(os.path.relpath(path, ROOT), []).append(code)
    return files


def test_the_page_lists_the_files_of_a_call_in_their_order() -> None:
    # In a process of its own: checked mode adds to what a call passes, and C is not seen.
    environment = {name: value for name, value in os.environ.items() if name != "PINFUT_CHECKED"}
    environment["PINFUT_PURE"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "tests.house.test_a_call"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    functions, lines, *met = done.stdout.split()
    assert len(met) >= 10, "the call was not traced"
    said = re.search(r"what it enters\s+is\s+(\d+)\s+functions\s+of\s+about\s+(\d+)\s+lines", PAGE)
    assert said is not None
    assert int(said[1]) == int(functions)
    assert abs(int(said[2]) - int(lines)) <= 50
    assert [path for _, path, _ in LISTED] == met
    assert [number for number, _, _ in LISTED] == [*range(1, len(met) + 1)]


def test_the_page_counts_about_right() -> None:
    lines = [len((ROOT / path).read_text("utf-8").splitlines()) for _, path, _ in LISTED]
    far = [
        f"{path}: {count} lines, not {said}"
        for (_, path, said), count in zip(LISTED, lines, strict=True)
        if abs(count - said) > max(40, said // 8)
    ]
    assert far == []
    said = re.search(r"passes (\d+) files, about ([\d,]+) lines", PAGE)
    assert said is not None
    assert int(said[1]) == len(LISTED)
    assert abs(int(said[2].replace(",", "")) - sum(lines)) <= sum(lines) // 20


def test_what_the_page_names_is_there() -> None:
    named = 0
    for _, path, _, what in ROW.findall(PAGE):
        source = (ROOT / path).read_text("utf-8")
        for name in re.findall(r"`([A-Za-z_.]+)`", what):
            named += 1
            assert re.search(rf"\b(def|class) {name.rpartition('.')[2]}\b", source), (path, name)
    assert named >= len(LISTED)


if __name__ == "__main__":
    codes = code_of_a_call()
    every = [code for one in codes.values() for code in one]
    print(len(every), sum(len(inspect.getsourcelines(code)[0]) for code in every))
    print(*codes, sep="\n")
