"""``python -m examples.files serve --tcp HOST:PORT`` and ``... fetch --tcp HOST:PORT``: the service
in one process, and a client in another, on two machines if you like."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from signal import SIGINT, SIGTERM
from typing import Final

from examples.files.client import Fetch
from examples.files.digest import on_disk
from examples.files.interface import Directory
from examples.files.options import enough_pages
from examples.files.server import TreeDirectory
from examples.files.tree import HIDDEN, Tree
from pinfut import executor
from pinfut.executor.io import signals
from pinfut.rpc import PAGE, RpcError, connect, serve
from pinfut.rpc.kernel.stream import ANYONE, Tcp, tls_context

COMMANDS: Final = ("serve", "fetch")

_IN_FLIGHT: Final = 64
_CHUNK: Final = 4 * PAGE - 64


def main(arguments: Sequence[str]) -> int:
    """Run one side; its exit status."""
    options = _parse(arguments)
    host, _, port = options.tcp.rpartition(":")
    tls = None
    if options.certificate:
        tls = tls_context(
            options.certificate, options.key, options.peers, serving=options.command == "serve"
        )
    kernel = Tcp(host, int(port), tls=tls)
    work = _serve(kernel, options) if options.command == "serve" else _fetch(kernel)
    try:
        executor.run(work)
    except (RpcError, OSError, ExceptionGroup) as error:
        print(f"the run ended early: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.files", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--tcp", metavar="HOST:PORT", required=True)
    parser.add_argument("--tree", metavar="PATH", default=".", help="the folder to serve")
    parser.add_argument(
        "--pages", metavar="N", type=int, default=4096, help="what all clients together may hold"
    )
    parser.add_argument("--certificate", metavar="FILE", help="this side's, in PEM; with it, TLS")
    parser.add_argument("--key", metavar="FILE", help="of the certificate")
    parser.add_argument("--peers", metavar="FILE", help="the certificates of whom to talk to")
    options = parser.parse_args(arguments)
    if not options.tcp.rpartition(":")[2].isdecimal():
        parser.error(f"argument --tcp: {options.tcp!r} is no HOST:PORT, as 127.0.0.1:7000 is")
    if len({bool(options.certificate), bool(options.key), bool(options.peers)}) > 1:
        parser.error("TLS takes all of --certificate, --key and --peers")
    return options


async def _serve(kernel: Tcp, options: argparse.Namespace) -> None:
    """Serve a tree until a signal comes."""
    tree = Tree(options.tree, HIDDEN)
    bank = kernel.bank("all clients", pages=options.pages)
    kernel.grant(ANYONE, bank)
    with signals(SIGINT, SIGTERM) as stop:
        async with serve(kernel, "files", TreeDirectory(tree)):
            print(f"serving {tree.root} at {kernel.host}:{kernel.port}", flush=True)
            print(f"its digest: {on_disk(tree).hexdigest()}", flush=True)
            await stop.next()
    print(f"closed; {bank.pages_used} pages are held for anybody", flush=True)


async def _fetch(kernel: Tcp) -> None:
    """Read the whole tree of a server."""
    bank = kernel.bank("fetch", pages=enough_pages(_IN_FLIGHT, _CHUNK))
    async with connect(kernel, "files", Directory, bank, slots=_IN_FLIGHT) as root:
        job = Fetch(root, workers=_IN_FLIGHT // 2, chunk=_CHUNK)
        begin = time.perf_counter()
        await job.run()
        seconds = time.perf_counter() - begin
        held = bank.pages_used
    contents = job.contents
    print(f"{len(contents.files)} files, {contents.size:,} bytes, {job.calls:,} calls")
    print(f"digest: {contents.hexdigest()}")
    print(f"{seconds:.2f} s; {held} pages here meanwhile, {bank.pages_used} now")
