"""Row 56: an import that can only read stands in for a shared part of a table of capabilities.

`Page` extends `Sheet` by `write`. Who is given a page as a `Sheet` reads it, shares it, and never
writes; and nobody but the session that it was given to can name it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import pytest

from pinfut.rpc import (
    ForeignCapability,
    Interface,
    InterfaceMismatch,
    UnknownMethod,
    Vat,
    connect,
    introduce,
    method,
    session_of,
)
from pinfut.rpc.contract import RECEIVER, Cap
from pinfut.rpc.errors import UnknownObject
from pinfut.rpc.objects.method import Method
from pinfut.rpc.objects.promise import Target
from pinfut.rpc.objects.proxy import proxy, target_of
from tests.covered import covered, require
from tests.rpc.world import World, run


class Sheet(Interface, Protocol):
    @method
    async def read(self) -> str: ...


class Page(Sheet, Protocol):
    @method
    async def write(self, text: str) -> None: ...


class Book(Interface, Protocol):
    @method
    async def reader(self) -> Sheet: ...
    @method
    async def page(self) -> Page: ...
    @method
    async def show(self, page: Sheet) -> str: ...
    @method
    async def scribble(self, page: Page) -> str: ...
    @method
    async def scribble_if(self, page: Interface) -> str: ...


class PageServer(Page):
    def __init__(self) -> None:
        self.text = "clean"

    @method
    async def read(self) -> str:
        return self.text

    @method
    async def write(self, text: str) -> None:
        self.text = text


class BookServer(Book):
    def __init__(self) -> None:
        self.one = PageServer()

    @method
    async def reader(self) -> Sheet:
        return self.one

    @method
    async def page(self) -> Page:
        return self.one

    @method
    async def show(self, page: Sheet) -> str:
        return await page.read()

    @method
    async def scribble(self, page: Page) -> str:
        await page.write("scribbled")
        return await page.read()

    @method
    async def scribble_if(self, page: Interface) -> str:
        return await self.scribble(cast(Page, page))


def _number(target: Target, number: int) -> Any:
    """A call for a method by its number, whatever the target is."""
    forged = cast(Method, cast(Any, Page.write)).served_by(cast(Any, Page.write).function, None, 0)
    forged.number, forged.calling = number, None
    return target.caller.call(None, target, forged, ("forged",))


def _as_page(reader: Sheet) -> Any:
    """What a client makes of its import that takes it for a `Page`."""
    target = target_of(reader)
    assert target is not None
    target.interface = Page
    return proxy(target)


def _try_number(book: Book, reader: Sheet) -> Any:
    target = target_of(reader)
    assert target is not None
    return _number(target, 1)


WAYS: dict[str, tuple[Callable[[Book, Any], Any], type[Exception]]] = {
    "its method": (lambda book, reader: reader.write("mine"), AttributeError),
    "its number": (_try_number, UnknownMethod),
    "handed back as a page": (lambda book, reader: book.scribble(reader), TypeError),
    "said to be a page": (lambda book, reader: book.scribble(_as_page(reader)), InterfaceMismatch),
    "as any interface": (lambda book, reader: book.scribble_if(reader), AttributeError),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_import_that_can_only_read_is_read_and_never_written(way: str) -> None:
    attempt, error = WAYS[way]

    async def main(world: World) -> None:
        server = BookServer()
        async with world.session(Book, server) as book:
            reader = await book.reader()
            assert await reader.read() == await book.show(reader) == "clean"
            with pytest.raises(Exception, match=r".") as caught:
                await attempt(book, reader)
            told = f"{type(caught.value).__name__} {caught.value}"
            refused = int(error.__name__ in told)
            assert server.one.text == "clean"
            covered("an import that can only read", refused=refused)
            # It is no fault of the page's: as one it is written.
            page = await book.page()
            assert await book.scribble(page) == server.one.text == "scribbled"
            assert await book.reader().read() == "scribbled", "what is read is the page itself"
        require(covered("an import that can only read"), "refused")

    run(main)


def test_a_promise_of_what_can_only_be_read_is_not_called_as_a_page() -> None:
    async def main(world: World) -> None:
        server = BookServer()
        async with world.session(Book, server) as book:
            first, second = book.reader(), book.reader()
            with pytest.raises(InterfaceMismatch):
                await _as_page(first).write("mine")
            with pytest.raises(InterfaceMismatch):
                await book.scribble(_as_page(second))
            assert server.one.text == "clean"

    run(main)


def test_what_one_session_imports_no_other_can_name_or_change() -> None:
    """Nothing of a table is shared: another session of the same client, of the same bank, to the
    same server holds its own imports, and the kernel puts nothing into it for the first."""

    async def main(world: World) -> None:
        async with (
            world.served("book", server := BookServer()) as vat,
            connect(world.kernel, "book", Book, bank := world.bank()) as one,
            connect(world.kernel, "book", Book, bank) as other,
        ):
            first, second = vat.sessions
            page = await one.page()
            held = target_of(page)
            assert held is not None
            before = len(session_of(other).peer.imports)
            with pytest.raises(ForeignCapability):
                await other.show(page)
            with pytest.raises(UnknownObject, match="holds nothing"):
                session_of(other).end.hand_over([Cap(RECEIVER, held.id, Page._pinfut_id)])
            assert len(session_of(other).peer.imports) == before
            assert len(first.peer.exports) == 2
            assert len(second.peer.exports) == 1
            assert server.one.text == "clean"

    run(main)


def test_what_is_introduced_to_another_server_can_only_be_read_there_too() -> None:
    async def main(world: World) -> None:
        owner, stranger = BookServer(), BookServer()
        mine = Vat(world.kernel, "client")
        async with (
            world.served("owner", owner),
            world.served("stranger", stranger) as vat,
            connect(world.kernel, "owner", Book, world.bank("a"), vat=mine) as at,
            connect(world.kernel, "stranger", Book, world.bank("b"), vat=mine) as to,
        ):
            reader = await introduce(await at.reader(), to)
            assert await to.show(reader) == "clean"
            with pytest.raises(InterfaceMismatch):
                await to.scribble(_as_page(reader))
            assert owner.one.text == "clean"
            assert all(one.error is None for one in vat.sessions)

    run(main)
