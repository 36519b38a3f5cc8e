"""The echo benches over batched streams, on asyncio's own event loop."""

import asyncio

from benches.systems.asyncio_family import BATCHED, suite

SUITE = suite(asyncio.new_event_loop, BATCHED)
