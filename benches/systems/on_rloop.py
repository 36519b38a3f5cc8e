"""asyncio on rloop: the same benches, line for line, on another loop."""

import rloop

from benches.systems.asyncio_family import suite

SUITE = suite(rloop.new_event_loop)
