"""The interfaces that the accepted and the refused code are about."""

from __future__ import annotations

from typing import Protocol

from pinfut.rpc import Interface, method


class File(Interface, Protocol):
    @method(answer=lambda offset, size: size + 64)
    async def read(self, offset: int, size: int) -> bytes: ...
    @method
    async def size(self) -> int: ...


class Folder(Interface, Protocol):
    @method
    async def enter(self, name: str) -> Folder: ...
    @method
    async def open(self, name: str, create: bool = False) -> File: ...
    @method
    async def names(self) -> list[str]: ...
    @method
    async def files(self) -> list[File]: ...
    @method
    async def maybe(self, name: str) -> File | None: ...
    @method
    async def copy(self, file: File) -> int: ...


class Home(Folder, Protocol):
    @method
    async def owner(self) -> str: ...
