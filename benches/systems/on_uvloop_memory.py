"""The echo benches over memory, on uvloop."""

import uvloop

from benches.systems.asyncio_family import IN_MEMORY, suite

SUITE = suite(uvloop.new_event_loop, IN_MEMORY)
