"""Space banks: who pays. A tree of limits, and what each bank owns.

The rules are those of Coyotos and KeyKOS space banks: an allocation debits the bank and every
ancestor, the tightest limit wins, and it happens whole or not at all. Capabilities are a second
quota beside pages, and a funded bank's limit is bought in advance, both as in Genode.

The life of a bank::

    OPEN ──close, unused──────────────────────────────────────▶ DEAD
      ├──remove──▶ REMOVED: what it owned is its parent's ──▶ DEAD, with its last sub-bank
      │               ▼ when a bank above is destroyed
      └──destroy──▶ DYING: takes nothing, gives back ────────▶ DEAD, with the last pin
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, Protocol, final

from pinfut.poll import Waker, wake_each
from pinfut.rpc import prices
from pinfut.rpc.bank.account import CAP_LOT, PAGE, SessionAccount
from pinfut.rpc.bank.owned import STACK, Objects
from pinfut.rpc.bank.share import Share
from pinfut.rpc.contract import Balance
from pinfut.rpc.errors import BankDead, BankError, OutOfCaps, OutOfPages, QuotaInUse, Restricted
from pinfut.rpc.names import require_short
from pinfut.stack import require_stack
from pinfut.tables import tidied

__all__ = ["CAP_LOT", "MAX_DEPTH", "PAGE", "Balance", "Bank", "SessionAccount"]

MAX_DEPTH: Final = 16
"""How deep banks may nest: every operation walks to the root, so its cost is bounded."""

_STACK: Final = 8
"""Frames that buying and selling take at most, the kernel's hearing of it included."""

_VANISH: Final = STACK + MAX_DEPTH
"""Frames that the end of a bank takes at most: it may be that of banks above, one by one."""

OPEN: Final = 0
REMOVED: Final = 1
DYING: Final = 2
DEAD: Final = 3

_UNLIMITED: Final = 1 << 62


@final
class HandleTable(dict[int, "Bank"]):
    """The banks that handles stand for, by number. What a process has instead of a bank is such a
    number: given out once, it names nothing any more when its handle is dropped or gone."""

    __slots__ = ()


@final
class Machine:
    """What all banks of one tree have in common. `changed`: hears of every purchase and (negative)
    sale, with the bank that it was made from, and what a purchase was for. `buying`: asked before
    a purchase that could be paid, by `Faults` say; raises to refuse it."""

    __slots__ = ("buying", "changed", "handles", "numbers")

    def __init__(
        self,
        changed: Callable[[Bank, int, int, str], None] | None = None,
        buying: Callable[[Bank, int, int], None] | None = None,
    ) -> None:
        self.changed = changed
        self.buying = buying
        self.handles = HandleTable()
        self.numbers = count(1)  # for handles, each given out once


class Shown(Protocol):
    """Where what a bank has left may be read without the kernel."""

    def publish(self) -> None:
        """Write how it stands now."""


@final
class Bank:
    """A limit on pages and capabilities, below another bank's.

    Made by `child`, or for the root by a kernel. A bank is not a reserve: what its limit
    allows can still be refused by an ancestor. A *funded* bank is one: its whole limit was
    bought from its parent, which nobody else can spend.

    A bank keeps its books in memory that it pays for itself: its *ledger*. Only the root and
    the banks directly below it, which the machine's owner makes, are the machine's own cost."""

    __slots__ = (
        *("_above", "_charged", "_children", "_doing", "_ends", "_loose_caps"),
        *("_loose_pages", "_own_caps", "_own_pages"),
        *("_unfinished", "_waiting", "armed", "cap_limit", "caps_used", "credit", "doomed"),
        *("funded", "heir", "ledger", "machine", "name", "no_remove", "objects", "page_limit"),
        *("pages_used", "popped", "share", "state", "visited", "wanted"),
    )

    def __init__(
        self,
        name: str,
        pages: int,
        caps: int,
        parent: Bank | None = None,
        machine: Machine | None = None,
        *,
        funded: bool = False,
        no_remove: bool = False,
    ) -> None:
        if pages < 0 or caps < 0:
            raise ValueError(f"limits are 0 or more, not pages={pages}, caps={caps}")
        require_short(name)
        self.name = name
        self._above = parent
        self.page_limit = pages
        self.cap_limit = caps
        # Invariant: the sum over everything bought from this bank and what those below debit:
        # an ordinary one what it uses, a funded one its limit.
        self.pages_used = 0
        self.caps_used = 0
        # Invariant: what of it was bought from this bank and not from one below.
        self._own_pages = 0
        self._own_caps = 0
        # Invariant: what of that no object has: the rest only its object can sell.
        self._loose_pages = 0
        self._loose_caps = 0
        # Pages that somebody has asked its holder to give back; a friendly request, no more.
        self.wanted = 0
        self.state = OPEN
        self.funded = funded
        self.no_remove = no_remove
        self._children: dict[str, Bank] = {}
        self.machine = Machine() if machine is None else machine
        # What it owns as objects; those of them that only pins keep, while DYING.
        self.objects = Objects()
        self.doomed = Objects()
        self.heir: Bank | None = None  # Invariant: once REMOVED, who owns what it owned
        # While DYING: the sub-bank whose turn it is, how many that were visited still stand,
        # whether everything below was visited, and whether this one left its parent's names.
        self._doing: Bank | None = None
        self._unfinished = 0
        self.visited = False
        self.popped = False
        # Who waits for the end of destroying this one.
        self._ends: dict[Waker, None] | None = None
        # The one wait for pages of this bank, if there is one, and the waits of banks below that
        # lack what this one has to have.
        self.armed: Waker | None = None
        self._waiting: dict[Waker, None] | None = None
        # Shows what this bank has left, while somebody looks.
        self.credit: Shown | None = None
        depth = 0
        bank = parent
        while bank is not None:
            depth += 1
            bank = bank._above
        if depth > MAX_DEPTH:
            raise ValueError(f"bank {name!r} would be nested deeper than {MAX_DEPTH}")
        # What its ledger has bought.
        self.share = Share(self)
        self.ledger = SessionAccount(self.share)
        # Whether it pays for itself.
        self._charged = parent is not None and parent._above is not None
        if parent is None:
            return
        if name in parent._children:
            raise ValueError(f"bank {parent.name!r} has a child {name!r} already")
        if funded:
            why = f"funding bank {name!r}"
            parent._require_payable(pages, caps, why)
            parent._debit(pages, caps, why)
        parent._children[name] = self
        if self._charged:
            try:
                self.ledger.take(prices.BANK, "the bank itself")
            except BaseException:
                del parent._children[name]
                if funded:
                    parent._debit(-pages, -caps)
                raise

    @property
    def alive(self) -> bool:
        """Whether it can be bought from. What is above it may be dead all the same."""
        return self.state == OPEN

    @property
    def parent(self) -> Bank | None:
        """The bank above; those that were removed do not count."""
        bank = self._above
        while bank is not None and bank.heir is not None:
            bank = bank._above
        return bank

    @property
    def children(self) -> list[Bank]:
        """The banks directly below, oldest first."""
        return list(self._children.values())

    @property
    def path(self) -> str:
        """The names from the root down, which says who pays in the end."""
        above = self.parent
        return self.name if above is None else f"{above.path}/{self.name}"

    def child(
        self,
        name: str,
        *,
        pages: int,
        caps: int = 1024,
        funded: bool = False,
        no_remove: bool = False,
    ) -> Bank:
        """A bank below this one with limits of its own. `funded`: buy the limits from this bank at
        once. `no_remove`: nobody may give this bank what that one owns. Raises ValueError for a
        name in use and for negative limits, BankDead, and OutOfPages or OutOfCaps when it cannot be
        paid; then it does not exist."""
        self._require_payable(0, 0, "")
        require_stack(STACK)
        return Bank(name, pages, caps, self, self.machine, funded=funded, no_remove=no_remove)

    @property
    def balance(self) -> Balance:
        """What this bank itself still allows; an ancestor may allow less."""
        return Balance(
            max(0, self.page_limit - self.pages_used), max(0, self.cap_limit - self.caps_used)
        )

    @property
    def available(self) -> Balance:
        """What could be bought now: the least that this bank and those above allow."""
        pages, caps = self.balance
        bank = self
        while not bank.funded and bank._above is not None:
            bank = bank._above
            pages, caps = min(pages, bank.balance.pages), min(caps, bank.balance.caps)
        return Balance(pages, caps)

    @property
    def own(self) -> Balance:
        """What was bought from this bank itself and not from one below."""
        return Balance(self._own_pages, self._own_caps)

    # ---- buying and selling ----

    def buy(self, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        """Debit this bank and every ancestor, or nobody. `why` says what it is for, to the reader
        of an error or of a trace. Raises OutOfPages, OutOfCaps, BankDead, and ValueError for
        negative amounts."""
        if pages < 0 or caps < 0:
            raise ValueError(f"buy takes amounts of 0 or more, not {pages} and {caps}")
        self.acquire(pages, caps, why=why)
        self._loose_pages += pages
        self._loose_caps += caps

    def sell(self, pages: int = 0, caps: int = 0) -> None:
        """Refund this bank and every ancestor. Raises ValueError for more than was bought
        with `buy`: what an object has, and the bank's own books, go with these."""
        bank = self
        while bank.heir is not None:
            bank = bank.heir
        if not (0 <= pages <= bank._loose_pages and 0 <= caps <= bank._loose_caps):
            raise ValueError(
                f"bank {bank.name!r} sold {pages} pages and {caps} caps, "
                f"but bought {bank._loose_pages} and {bank._loose_caps}"
            )
        bank.refund(pages, caps)
        bank._loose_pages -= pages
        bank._loose_caps -= caps

    def acquire(self, pages: int = 0, caps: int = 0, *, why: str = "memory") -> None:
        """As `buy`, for an object, which alone gives it back."""
        self._require_payable(pages, caps, why)
        require_stack(_STACK)
        self._own_pages += pages
        self._own_caps += caps
        self._debit(pages, caps, why)

    def refund(self, pages: int = 0, caps: int = 0) -> None:
        """Undo an `acquire`. Raises ValueError for more than was bought from this bank itself."""
        if self.heir is not None:
            self.heir.refund(pages, caps)
            return
        if not (0 <= pages <= self._own_pages and 0 <= caps <= self._own_caps):
            raise ValueError(
                f"bank {self.name!r} sold {pages} pages and {caps} caps, "
                f"but holds {self._own_pages} and {self._own_caps}"
            )
        require_stack(_STACK)
        self._own_pages -= pages
        self._own_caps -= caps
        self._debit(-pages, -caps)

    def take_back(self, pages: int = 0, caps: int = 0) -> None:
        """Undo a `refund` of this very moment, between which and now nobody else has run; it
        cannot fail, also where a limit is below usage."""
        bank = self
        while bank.heir is not None:
            bank = bank.heir
        bank._own_pages += pages
        bank._own_caps += caps
        bank._debit(pages, caps)

    def lacking(self, pages: int, caps: int) -> Bank | None:
        """The first bank, from here up, that has not what is asked; None when all have. Raises
        BankDead for a bank that can buy nothing any more."""
        self._require_payable(0, 0, "")
        bank: Bank | None = self
        while bank is not None:
            if pages and bank.pages_used + pages > bank.page_limit:
                return bank
            if caps and bank.caps_used + caps > bank.cap_limit:
                return bank
            bank = None if bank.funded else bank._above
        return None

    def _require_payable(self, pages: int, caps: int, why: str) -> None:
        # First ask everybody, then debit everybody: a refusal has nothing to undo.
        bank: Bank | None = self
        paying = True
        if self.state != OPEN:
            self._require_alive()
        while bank is not None:
            if bank.state >= DYING:
                bank._require_alive()
            if paying:
                if pages and bank.pages_used + pages > bank.page_limit:
                    raise bank._lack(OutOfPages, pages, self, why)
                if caps and bank.caps_used + caps > bank.cap_limit:
                    raise bank._lack(OutOfCaps, caps, self, why)
                # What is above a funded bank has been paid already.
                paying = not bank.funded
            bank = bank._above
        if (pages or caps) and self.machine.buying is not None:
            self.machine.buying(self, pages, caps)

    def _debit(self, pages: int, caps: int, why: str = "") -> None:
        bank: Bank | None = self
        while bank is not None:
            bank.pages_used += pages
            bank.caps_used += caps
            if bank.wanted and pages < 0:
                bank.wanted = max(0, bank.wanted + pages)
            if bank._waiting and (pages < 0 or caps < 0):
                bank.tell_waiting()
            if bank.credit is not None:
                bank.credit.publish()
            bank = None if bank.funded else bank._above
        if self.machine.changed is not None:
            self.machine.changed(self, pages, caps, why)

    # ---- limits ----

    def refill(self, pages: int = 0, caps: int = 0) -> None:
        """Raise this bank's limits (or, with negative amounts, lower them). A limit below what is
        used takes nothing back: it only refuses what is new. A funded bank's limit is bought from
        its parent and sold to it: more raises OutOfPages or OutOfCaps, and less than is used
        QuotaInUse."""
        self._require_alive()
        require_stack(STACK)
        if self.funded:
            self._move(pages, caps)
        else:
            self.page_limit = max(0, self.page_limit + pages)
            self.cap_limit = max(0, self.cap_limit + caps)
        self.tell_waiting()
        if self.credit is not None:
            self.credit.publish()

    def _move(self, pages: int, caps: int) -> None:
        """Move quota between the bank that funds this one and this one, whole or not at all."""
        above = self._above
        assert above is not None
        short = max(-pages - self.balance.pages, -caps - self.balance.caps)
        if short > 0:
            raise QuotaInUse(
                f"bank {self.name!r} has {self.balance.pages} pages and {self.balance.caps} "
                f"capabilities that are unused, and {-pages} and {-caps} should leave it",
                self.name,
                short,
            )
        payer = self.parent
        assert payer is not None
        why = f"funding bank {self.name!r}"
        payer._require_payable(max(0, pages), max(0, caps), why)
        above._debit(pages, caps, why)
        self.page_limit += pages
        self.cap_limit += caps

    def ask_back(self, pages: int) -> None:
        """Ask the holder of this bank for pages: `wanted` says how many until it has sold as
        many. It may refuse by doing nothing; no limit changes and nothing is taken."""
        self._require_alive()
        if pages < 0:
            raise ValueError(f"ask for 0 pages or more, not {pages}")
        self.wanted = min(pages, self.pages_used)

    # ---- the end ----

    def close(self) -> None:
        """Give an unused bank up. Raises ValueError while anything is bought from it.
        Idempotent."""
        if self.state in (DYING, DEAD):
            return
        # Only its own place may be left in its books.
        kept = self.ledger.pages if self.ledger.used == prices.BANK and self._charged else 0
        if self.pages_used > kept or self.caps_used:
            raise ValueError(
                f"bank {self.name!r} still pays for {self.pages_used - kept} pages and "
                f"{self.caps_used} capabilities; close what uses it first"
            )
        require_stack(_VANISH)
        self._vanish()

    def remove(self) -> None:
        """Give what this bank owns to its parent, as it stands, and be gone. Its sub-banks are the
        parent's from then on; nobody's usage changes. Raises Restricted for a bank made with
        `no_remove`, ValueError for a root and for a funded bank, whose memory is not its parent's
        to hold, and BankDead."""
        self._require_payable(0, 0, "")
        heir = self.parent
        if heir is None or self.funded:
            raise ValueError(f"bank {self.name!r} cannot be removed: destroy it instead")
        if self.no_remove:
            raise Restricted(
                f"bank {self.name!r} was made with no_remove: what it owns cannot be given to "
                f"bank {heir.name!r}; destroy it instead"
            )
        require_stack(_VANISH)
        # What stays is a place in the tree without limits, until the last sub-bank has gone; the
        # books of that place are the heir's as well.
        self.state = REMOVED
        self.heir = heir
        pages, caps = self._own_pages, self._own_caps
        bank: Bank | None = self
        while bank is not heir:
            assert bank is not None
            bank.pages_used -= pages
            bank.caps_used -= caps
            bank = bank._above
        heir._own_pages += pages
        heir._own_caps += caps
        self._own_pages = self._own_caps = 0
        heir._loose_pages += self._loose_pages
        heir._loose_caps += self._loose_caps
        self.page_limit = self.cap_limit = _UNLIMITED
        heir.objects.take_all(self.objects)
        self._tell_waiter()
        self.tell_waiting()
        if self.credit is not None:
            self.credit.publish()
        if not self._children:
            self._vanish()

    def settle(self) -> None:
        """Be dead, if it is dying and nothing of it is left. Cheap when something is."""
        bank: Bank | None = self
        while (
            bank is not None
            and bank.state == DYING
            and bank.visited
            and not (bank._unfinished or bank.doomed.first or bank.objects.first)
        ):
            if bank._own_pages or bank._own_caps:
                bank.refund(bank._own_pages, bank._own_caps)
            bank = bank._vanish()

    def watch_end(self, who: Waker) -> None:
        """Wake `who` when nothing of this bank is left."""
        if self._ends is None:
            self._ends = {}
        self._ends[who] = None

    def forget_end(self, who: Waker) -> None:
        """Wake it no more."""
        if self._ends is not None:
            self._ends.pop(who, None)

    def next_to_destroy(self) -> bool:
        """Do one bounded piece of destroying this bank. False when every piece is done; what
        is pinned goes with its pins."""
        if self.visited or self.state == DEAD:
            return False
        require_stack(_VANISH)
        self.state = DYING
        # The walk stands in the banks, so that the end of a bank above goes on with it.
        bank = self
        while bank._doing is not None:
            bank = bank._doing
        if bank._children:
            _, child = bank._children.popitem()
            child.popped = True
            child.state = DYING
            bank._unfinished += 1
            bank._doing = child
            if child.visited:
                bank._doing = None
        elif bank.objects.first is not None:
            bank.objects.first.revoke()
        else:
            bank.visited = True
            if bank._above is not None and bank._above._doing is bank:
                bank._above._doing = None
            bank._tell_waiter()
            bank.tell_waiting()
            bank.settle()
        return not self.visited

    def _vanish(self) -> Bank | None:
        """Leave the tree: give back what was bought of it. The bank above, if that waits."""
        self.state = DEAD
        if self.heir is None:
            self.share.seize()
        else:
            # What else is kept there is the heir's now, and paid until it is forgotten.
            self.ledger.give(prices.BANK if self._charged else 0)
            self._tidy()
        self._tell_waiter()
        ends, self._ends = self._ends, None
        wake_each(ends or ())
        above = self._above
        if above is None:
            return None
        if self.funded:
            above._debit(-self.page_limit, -self.cap_limit)
        if self.popped:
            above._unfinished -= 1
        else:
            del above._children[self.name]
            above._children = tidied(above._children)
        if above.state == REMOVED and not above._children:
            above._vanish()
        return above

    # ---- its books ----

    def keep(self, count: int, why: str) -> None:
        """Charge `count` bytes of what is kept about this bank to its ledger. Raises as `buy`."""
        self._require_payable(0, 0, why)
        self.ledger.take(count, why)

    def forget(self, count: int) -> None:
        """Refund what `keep` charged."""
        require_stack(2 * _STACK)
        self.ledger.give(count)
        self._tidy()

    def _tidy(self) -> None:
        """An empty ledger has no pages, and of a bank that was removed nobody keeps it."""
        if not self.ledger.used:
            if self.ledger.pages:
                self.ledger.close()
            if self.heir is not None and self.state == DEAD:
                self.share.seize()

    # ---- waiting for what comes back ----

    def _tell_waiter(self) -> None:
        # It stays armed until it has looked, and finds the bank's end then.
        if self.armed is not None:
            self.armed.wake()

    def tell_waiting(self) -> None:
        """Wake those who wait for what this bank lacked: one wake for each bank that is armed."""
        waiting, self._waiting = self._waiting, None
        wake_each(waiting or ())

    def enlist(self, wait: Waker) -> None:
        """Tell `wait`, once, when this bank has more than now."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[wait] = None

    def strike(self, wait: Waker) -> None:
        """Tell it nothing any more."""
        if self._waiting is not None:
            self._waiting.pop(wait, None)

    # ---- what it is ----

    def is_below(self, root: Bank) -> bool:
        """Whether this is a bank of the tree of `root`, and no look-alike: each bank on the way
        up knows the one below it."""
        bank: Bank = self
        for _ in range(MAX_DEPTH + 1):
            if bank is root:
                return True
            above = bank._above
            if type(above) is not Bank or above._children.get(bank.name) is not bank:
                return False
            bank = above
        return False

    def _require_alive(self) -> None:
        if self.state != OPEN:
            how = "removed" if self.heir is not None else "destroyed" if self.visited else "closed"
            if self.state == DYING:
                how = "destroyed"
            raise BankDead(
                f"bank {self.name!r} was {how}; open the session with another bank", self.name
            )

    def _lack(self, kind: type[BankError], need: int, asked: Bank, why: str) -> BankError:
        if kind is OutOfPages:
            used, limit, units, keyword = self.pages_used, self.page_limit, "pages", "pages"
        else:
            used, limit, units, keyword = self.caps_used, self.cap_limit, "capabilities", "caps"
        via = "" if asked is self else f" (asked through bank {asked.name!r})"
        return kind(
            f"bank {self.name!r}{via} has {max(0, limit - used)} of {limit} {units} left and "
            f"needs {need} for {why}: refill it with bank.refill({keyword}={used + need - limit}) "
            "or more, or take answers and release what you hold, then call again",
            self.name,
            used + need - limit,
        )

    def __repr__(self) -> str:
        return (
            f"<Bank {self.name!r}, pages {self.pages_used}/{self.page_limit}, "
            f"caps {self.caps_used}/{self.cap_limit}>"
        )
