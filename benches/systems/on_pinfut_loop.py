"""asyncio on pinfut's loop: the same benches, line for line, on another loop."""

from benches.systems import loops
from benches.systems.asyncio_family import suite
from pinfut.executor import new_event_loop

SUITE = suite(new_event_loop, loops.BENCHES)
