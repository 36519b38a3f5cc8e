"""pinfut observed: what instruments and checked mode cost who asks for them.

Beside pinfut itself, which has no hook for either, this shows that the two are paid for by
nobody else.
"""

from benches.probe import BenchFunction, Probe, Suite
from benches.systems import on_pinfut
from pinfut import executor

_SHOWN = ("yield", "await", "spawn", "channel", "timeout", "cancel")


def run(bench: BenchFunction, probe: Probe) -> None:
    """On an executor that records its last 10,000 events, or in checked mode if the registry
    has asked for that."""
    if executor.Executor().checked:
        executor.run(bench(probe))
    else:
        executor.run(bench(probe), instruments=[executor.Recorder(10_000)])


SUITE = Suite(run, {name: on_pinfut.SUITE.benches[name] for name in _SHOWN})
