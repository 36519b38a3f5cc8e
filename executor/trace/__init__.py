"""Watching an executor: every step as an event, and what can be made of the events.

With no instrument and checked mode off the executor runs a loop that knows nothing of
this package, so watching is free when nobody watches."""

from pinfut.executor.trace.dump import dump
from pinfut.executor.trace.instrument import Instrument, Instruments
from pinfut.executor.trace.recorder import History, Recorder
from pinfut.executor.trace.slow import SlowStep, SlowSteps
from pinfut.executor.trace.timeline import timeline

__all__ = [
    "History", "Instrument", "Instruments", "Recorder", "SlowStep", "SlowSteps", "dump", "timeline",
]  # fmt: skip
