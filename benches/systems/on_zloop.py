"""asyncio on zloop: the same benches, line for line, on another loop."""

import zloop

from benches.systems.asyncio_family import suite

SUITE = suite(zloop.new_event_loop)
