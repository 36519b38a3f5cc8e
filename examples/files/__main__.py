"""``python -m examples.files``: a file service in five steps, each figure counted; with ``serve``
or ``fetch``, one side of it in a process of its own (`examples.files.remote`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from examples.files import digest, fetching, greed, pipelining, refilling, remote
from examples.files.audit import Auditor
from examples.files.interface import READ_MAX
from examples.files.options import Options, enough_pages, parse
from examples.files.report import Report
from examples.files.server import TreeDirectory
from examples.files.streams import Refusal
from pinfut import executor
from pinfut.rpc import BankError, RpcError, SimKernel, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in remote.COMMANDS:
        return remote.main(words)
    try:
        options = parse(words)
        try:
            return _run(options)
        except Exception as error:
            return _explain(error, options)
    except KeyboardInterrupt:
        print("\nstopped; every session was closed", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone; say nothing more, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(options: Options) -> int:
    tree, in_flight, chunk = options.tree, options.in_flight, options.chunk
    disk = digest.on_disk(tree)
    sizes = {path: size for path, (size, _) in disk.files.items() if size}
    if not sizes:
        options.fail(f"argument --tree: {tree.root!r} has no file with anything in it")
    path = pipelining.choose(sizes)
    head = Path(tree.root, *path.split("/")).read_bytes()[:READ_MAX]

    kernel = SimKernel(options.seed)
    auditor = Auditor(kernel)
    # Each call may bring a handle, which is a capability.
    fetcher = auditor.open("fetch", options.pages, 1024 + 8 * in_flight)
    single = auditor.open("chain", pipelining.PAGES)
    short = auditor.open("short", refilling.PAGES)
    greedy = auditor.open("greedy", greed.PAGES)
    well = auditor.open("well-behaved", greed.WELL_PAGES)

    # First of all, so that a bank that is too small for the job shows at once.
    peak = fetching.observe(kernel, tree, auditor, fetcher, in_flight=in_flight, chunk=chunk)
    report = Report()
    report.begin(options, disk)

    async def chain() -> pipelining.Chain:
        async with serve(kernel, "files", TreeDirectory(tree)):
            return await pipelining.compare(kernel, path, head, single)

    async def refill() -> refilling.Refilling:
        async with serve(kernel, "files", TreeDirectory(tree)):
            return await refilling.run_short(kernel, path, short)

    async def meet() -> greed.Greed:
        async with serve(kernel, "files", TreeDirectory(tree)):
            return await greed.Encounter(kernel, tree, sizes, greedy, well).run()

    report.chain(executor.run(chain(), instruments=[auditor]))
    found = fetching.compare(
        kernel, tree, fetcher, in_flight=in_flight, chunk=chunk, rounds=options.rounds
    )
    found.ours.in_flight = peak
    report.comparison(found, options, disk.hexdigest())
    if digest.on_disk(tree).hexdigest() != disk.hexdigest():
        report.changed()
    report.refilling(executor.run(refill(), instruments=[auditor]), short, head)
    report.greed(executor.run(meet(), instruments=[auditor]), greedy, well, auditor)
    report.banks(auditor)
    report.end()
    return 0 if report.held else 1


def _explain(error: Exception, options: Options) -> int:
    """Say what went wrong in a line, if it is anything that can be expected."""
    if isinstance(error, BrokenPipeError):
        raise error
    for one in _leaves(error):
        if isinstance(one, BankError) and "'fetch'" in str(one):
            options.fail(
                f"argument --pages: {options.pages} is too few for {options.in_flight} calls of "
                f"{options.chunk} bytes in flight ({one}). Give more (without --pages it is "
                f"{enough_pages(options.in_flight, options.chunk)}), or lower --in-flight or "
                "--chunk"
            )
    for one in _leaves(error):
        if isinstance(one, RpcError | Refusal | OSError):
            print(f"the run ended early: {type(one).__name__}: {one}", file=sys.stderr)
            return 1
    raise error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


if __name__ == "__main__":
    sys.exit(main())
