"""The echo benches over memory, on asyncio's own event loop."""

import asyncio

from benches.systems.asyncio_family import IN_MEMORY, suite

SUITE = suite(asyncio.new_event_loop, IN_MEMORY)
