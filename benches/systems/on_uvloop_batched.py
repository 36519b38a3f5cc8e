"""The echo benches over batched streams, on uvloop."""

import uvloop

from benches.systems.asyncio_family import BATCHED, suite

SUITE = suite(uvloop.new_event_loop, BATCHED)
