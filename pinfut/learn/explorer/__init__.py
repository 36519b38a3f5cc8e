"""Traces: recorded, kept in a file, folded into states, shown as a page. See docs/trace.md."""

from pinfut.learn.explorer.chrome import chrome_trace
from pinfut.learn.explorer.fold import fold
from pinfut.learn.explorer.record import record, record_file
from pinfut.learn.explorer.render import render
from pinfut.learn.explorer.trace import Trace, TraceError

__all__ = ["Trace", "TraceError", "chrome_trace", "fold", "record", "record_file", "render"]
