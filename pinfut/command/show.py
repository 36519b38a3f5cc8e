"""Turn a trace into a page that opens from disk, or into one for Perfetto."""

from __future__ import annotations

import json
from argparse import ArgumentError, ArgumentParser, Namespace

from pinfut.command.options import writable
from pinfut.command.output import write
from pinfut.learn.explorer import Trace, TraceError, chrome_trace, render


def add_arguments(parser: ArgumentParser) -> None:
    """The trace, and the file."""
    parser.add_argument("trace", metavar="TRACE", help="what `pinfut record` wrote")
    text = "the page, or what --chrome gives"
    parser.add_argument("-o", "--output", type=writable, required=True, metavar="FILE", help=text)
    text = "for https://ui.perfetto.dev and chrome://tracing instead"
    parser.add_argument("--chrome", action="store_true", help=text)


def run(options: Namespace) -> int:
    """Read, and write."""
    try:
        trace = Trace.load(options.trace)
    except (TraceError, OSError) as error:
        raise ArgumentError(None, str(error)) from None
    text = json.dumps(chrome_trace(trace)) if options.chrome else render(trace)
    write(options.output, text)
    return 0
