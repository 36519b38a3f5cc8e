"""The credit page: limit and use of a bank where its clients may read them without the kernel.

It says what was true a moment ago and promises nothing: only the bank itself decides."""

from __future__ import annotations

from typing import final

from pinfut.rpc.bank.bank import PAGE, Bank
from pinfut.rpc.bank.owned import STACK, Owned
from pinfut.rpc.credit import WORDS
from pinfut.stack import require_stack


@final
class CreditPage(Owned):
    """A page, paid by the bank, that shows its credit: published whenever that changes, until the
    last who looks has left (`show`). A bank has one, so a purchase writes one for each bank above.
    Raises OutOfPages and BankDead.

    The first word counts publications; it is odd while one is being written, and a reader that
    sees that, or sees it change, reads again."""

    __slots__ = ("_shows", "_words", "lookers")

    def __init__(self, bank: Bank) -> None:
        require_stack(STACK)
        self._words = memoryview(bytearray(PAGE)).cast("Q")[:WORDS]
        bank.acquire(1, why="a page that shows its credit")
        super().__init__(bank)
        self._shows = bank
        self.lookers = 0
        bank.credit = self
        self.publish()

    @property
    def view(self) -> memoryview:
        """What a reader maps: the words, read-only."""
        return self._words.toreadonly()

    def publish(self) -> None:
        """Write how it stands now: a bank that can buy nothing any more has nothing left."""
        bank, words = self._shows, self._words
        words[0] += 1
        words[1], words[2] = bank.page_limit * bank.alive, bank.pages_used
        words[3], words[4] = bank.cap_limit * bank.alive, bank.caps_used
        words[0] += 1

    def leave(self) -> None:
        """One looks no more; with the last the page is given back, and shows what it showed."""
        self.lookers -= 1
        if not self.lookers and self._shows.credit is self:
            require_stack(STACK)
            self._reclaim()

    def _reclaim(self) -> None:
        # Who still looks at a bank that is destroyed is shown that nothing is left.
        bank = self.bank
        self.leave_bank()
        bank.refund(1)
        self._shows.credit = None


def show(bank: Bank) -> CreditPage:
    """The page of a bank, for one who looks more. Raises as `CreditPage`."""
    page = bank.credit
    if not isinstance(page, CreditPage):
        page = CreditPage(bank)
    page.lookers += 1
    return page
