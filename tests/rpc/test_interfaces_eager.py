"""Interfaces in a module whose annotations are evaluated at once, as they are by default."""

import dataclasses
from typing import Protocol

from pinfut.rpc import Interface, method
from tests.rpc.world import World, run


@dataclasses.dataclass
class Mark:
    n: int


class Leaf(Interface, Protocol):
    @method
    async def mark(self, mark: Mark) -> list[Mark]: ...


class Tree(Interface, Protocol):
    @method
    async def leaf(self) -> Leaf: ...
    @method
    async def tree(self, other: "Tree") -> "Tree": ...
    @method
    async def later(self, data: "PromisedCapability") -> "list[Sooner]": ...


class LeafServer(Leaf):
    @method
    async def mark(self, mark: Mark) -> list[Mark]:
        return [mark, Mark(mark.n + 1)]


class TreeServer(Tree):
    @method
    async def leaf(self) -> Leaf:
        return LeafServer()

    @method
    async def tree(self, other: Tree) -> Tree:
        return other

    @method
    async def later(self, data: "PromisedCapability") -> "list[Sooner]":
        return [SoonerServer(data.n)]


@dataclasses.dataclass
class PromisedCapability:
    n: int


class Sooner(Interface, Protocol):
    @method
    async def number(self) -> int: ...


class SoonerServer(Sooner):
    def __init__(self, n: int) -> None:
        self.n = n

    @method
    async def number(self) -> int:
        return self.n


def test_eager_annotations_and_quoted_ones_work_alike() -> None:
    async def main(world: World) -> None:
        async with world.session(Tree, TreeServer()) as tree:
            assert await tree.leaf().mark(Mark(1)) == [Mark(1), Mark(2)]
            assert await tree.tree(tree).tree(TreeServer()).leaf().mark(Mark(2)) == [
                Mark(2),
                Mark(3),
            ]
            (later,) = await tree.later(PromisedCapability(5))
            assert await later.number() == 5

    run(main)


def test_eager_interfaces_inside_a_function_work() -> None:
    async def main(world: World) -> None:
        class Inner(Interface, Protocol):
            @method
            async def next(self, mark: Mark) -> "Inner": ...
            @method
            async def mark(self) -> Mark: ...

        class InnerServer(Inner):
            def __init__(self, mark: Mark) -> None:
                self.kept = mark

            @method
            async def next(self, mark: Mark) -> Inner:
                return InnerServer(Mark(self.kept.n + mark.n))

            @method
            async def mark(self) -> Mark:
                return self.kept

        async with world.session(Inner, InnerServer(Mark(1))) as inner:
            assert await inner.next(Mark(2)).next(Mark(3)).mark() == Mark(6)

    run(main)
