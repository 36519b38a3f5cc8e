"""asyncio on uvloop: the same benches, line for line, on another loop."""

import uvloop

from benches.systems.asyncio_family import suite

SUITE = suite(uvloop.new_event_loop)
