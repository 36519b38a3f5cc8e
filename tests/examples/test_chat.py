"""The chat: everybody hears everybody, and it ends when it is told to."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from tests.house.imports import ROOT


@pytest.fixture
def chat() -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen(
        [sys.executable, "-m", "examples.chat", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield server, int(server.stdout.readline().split()[-1])
        server.kill()


class Visitor:
    def __init__(self, port: int, name: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file: IO[str] = self.socket.makefile("rw", newline="\n")
        assert self.hear() == "your name?"
        self.say(name)
        assert self.hear() == f"* {name} is here"

    def say(self, text: str) -> None:
        print(text, file=self.file, flush=True)

    def hear(self) -> str:
        return self.file.readline().strip()

    def leave(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everybody_hears_everybody_until_it_is_told_to_end(
    chat: tuple[subprocess.Popen[str], int], number: signal.Signals
) -> None:
    server, port = chat
    ada = Visitor(port, "Ada")
    bob = Visitor(port, "Bob")
    assert ada.hear() == "* Bob is here"
    ada.say("hello")
    assert ada.hear() == bob.hear() == "Ada: hello"
    ada.leave()
    assert bob.hear() == "* Ada has left"
    server.send_signal(number)
    assert bob.hear() == ""  # the end of the connection
    bob.leave()
    out, err = server.communicate(timeout=60)
    assert (out, err, server.returncode) == ("closed\n", "", 0)


def test_a_line_that_is_too_long_ends_the_visit_and_nothing_else(
    chat: tuple[subprocess.Popen[str], int],
) -> None:
    _, port = chat
    ada = Visitor(port, "Ada")
    loud = Visitor(port, "Loud")
    assert ada.hear() == "* Loud is here"
    loud.say("x" * 5000)
    assert ada.hear() == "* Loud has left"
    ada.say("silence")
    assert ada.hear() == "Ada: silence"
    ada.leave()
    loud.leave()
