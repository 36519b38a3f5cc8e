"""`echo_by_hand`, on pinfut: what was built there by hand is in the house.

The places are a `SlotTable` of fixed size, whose ids count up forever; the future is the
slot's; the task and the loop are the executor's. It prints the same, line by line.

    python -m examples.lessons.echo_on_executor
"""

from __future__ import annotations

from examples.lessons.echo_by_hand import FarSide
from pinfut import FutureBase, SlotTable, drop, executor, yield_now
from pinfut.slots import DuplicateReply, UnknownId


class Calls:
    """The calls under way, four at most."""

    def __init__(self, far: FarSide) -> None:
        self.far = far
        self.table: SlotTable[int] = SlotTable(4)

    def add(self, a: int, b: int) -> FutureBase[int]:
        slot = self.table.acquire()
        self.far.add_rpc(slot.x, a, b)
        return self.table.future(slot)

    def deliver(self, val: int, total: int) -> str:
        """Write an answer in its place and wake who waits; what happened, for the log."""
        try:
            if self.table.complete(val, total):
                return "delivered"
            return "given up meanwhile: its place is free now"
        except UnknownId:
            return "nobody asked, or it was answered before: refused"
        except DuplicateReply:
            return "answered already: refused"

    async def carry(self) -> None:
        """Take answers off the wire as long as there are any."""
        while answer := self.far.recv():
            print(f"answer {answer}: {self.deliver(*answer)}")
            await yield_now()


async def main() -> None:
    calls = Calls(FarSide())

    async def caller(name: str, a: int, b: int) -> None:
        print(f"{name} has {a} + {b} = {await calls.add(a, b)}")

    async def gives_up() -> None:
        drop(calls.add(7, 8))  # to drop a future is to cancel what it had started
        print("dave has given up")

    async with executor.scope() as scope:
        scope.spawn(caller("alice", 1, 2))
        scope.spawn(caller("bob", 3, 4))
        scope.spawn(caller("carol", 5, 6))
        scope.spawn(gives_up())
        scope.spawn(calls.carry())
    assert len(calls.table) == 0


if __name__ == "__main__":
    executor.run(main())
