"""asyncio on zloop: the same benches, line for line, on another loop."""

import zloop

from benches.systems.asyncio_family import BENCHES, suite

# It has transports, but no `loop.sock_recv`.
SUITE = suite(
    zloop.new_event_loop,
    {
        name: bench
        for name, bench in BENCHES.items()
        if name not in ("socket-echo", "socket-cpu-raw", "loop-sock")
    },
)
