"""asyncio on its own event loop."""

import asyncio

from benches.systems.asyncio_family import suite

SUITE = suite(asyncio.new_event_loop)
