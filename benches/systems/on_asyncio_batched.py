"""The echo benches over batched streams, on asyncio's own event loop."""

import asyncio

from benches.systems.asyncio_family import suite

SUITE = suite(asyncio.new_event_loop, batched=True)
