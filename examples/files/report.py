"""What is shown: tables, errors as they came, and the checks."""

from __future__ import annotations

import sys
from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.files.audit import Account, Auditor
from examples.files.digest import Contents
from examples.files.fetching import Comparison
from examples.files.greed import SIZE, Greed
from examples.files.options import Options
from examples.files.pipelining import LEVELS, Chain, Cost
from examples.files.refilling import Refilling
from pinfut.rpc import PAGE


class Report:
    """Writes to stdout, and remembers whether every check held."""

    def __init__(self) -> None:
        # A name that the terminal cannot show is shown with question marks, not an error.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        self._console = Console(highlight=False, emoji=False)
        self.checks: list[tuple[str, bool]] = []

    @property
    def held(self) -> bool:
        """Whether every check so far held."""
        return all(held for _, held in self.checks)

    def check(self, what: str, held: bool) -> None:
        """Show a check and remember it."""
        self.checks.append((what, held))
        mark = Text("  ok      ", "green") if held else Text("  FAILED  ", "bold red")
        table = Table.grid()
        table.add_row(mark, Text(what))
        self._console.print(table)

    def begin(self, options: Options, disk: Contents) -> None:
        """What is served."""
        self._line(f"Serving {_shown(options.tree.root)}")
        files, size = _count(len(disk.files), "file"), _count(disk.size, "byte")
        self._line(f"{files}, {size}; simulated kernel, seed {options.seed}")

    def chain(self, chain: Chain) -> None:
        """Step 1."""
        self._head(1, "One file through a chain of calls")
        if chain.levels < LEVELS:
            self._line(f"No file here is {LEVELS} levels down; the deepest is {chain.levels}.")
        levels, size = _count(chain.levels, "level"), _count(len(chain.on_disk), "byte")
        self._line(f"{_shown(chain.path)}: {levels}, {size} read")
        table = _table("", "pipelined", "one by one")
        ways = chain.pipelined, chain.stepwise
        table.add_row("calls", *(str(way.calls) for way in ways))
        table.add_row("round trips", *(str(way.round_trips) for way in ways))
        table.add_row("kernel transitions", *(str(_total(way)) for way in ways))
        for kind in sorted(ways[0].transitions | ways[1].transitions):
            table.add_row(f"  {kind}", *(str(way.transitions[kind]) for way in ways))
        table.add_row("simulated time, us", *(f"{way.clock_ns / 1000:,.1f}" for way in ways))
        self._console.print(table)
        self._note(
            "signal: one side tells the other to look; buy, sell: pages or capabilities for "
            "answers, handlers and handles."
        )
        self.check(
            "the bytes are those of the file on disk, both ways",
            all(way.data == chain.on_disk for way in ways),
        )
        self.check("the pipelined chain took one round trip", ways[0].round_trips == 1)
        self.check(
            "one by one it took a round trip for each call",
            ways[1].round_trips == ways[1].calls,
        )

    def comparison(self, found: Comparison, options: Options, digest: str) -> None:
        """Step 2. `digest`: of the files on disk."""
        ours, theirs = found.ours, found.theirs
        self._head(2, f"The whole tree, up to {_count(options.in_flight, 'call')} in flight")
        table = _table("", "pinfut", "asyncio streams")
        both = ours, theirs
        table.add_row("files", *(f"{len(way.contents.files):,}" for way in both))
        table.add_row("bytes", *(f"{way.contents.size:,}" for way in both))
        table.add_row("sha256", *(way.contents.hexdigest()[:16] for way in both))
        table.add_row("calls", *(f"{way.calls:,}" for way in both))
        table.add_row("calls in flight at most", *(f"{way.in_flight:,}" for way in both))
        table.add_row("calls a second", *(f"{way.rate:,.0f}" for way in both))
        table.add_row("whole job, ms", *(f"{way.median * 1000:,.1f}" for way in both))
        transitions = found.transitions.total() / ours.calls
        table.add_row("kernel transitions a call", f"{transitions:.3f}", "not simulated")
        for kind, count in sorted(found.transitions.items()):
            table.add_row(f"  {kind}", f"{count / ours.calls:.3f}", "")
        self._console.print(table)
        self._line(_verdict("calls a second", ours.rate / theirs.rate))
        self._line(_verdict("the whole job", theirs.median / ours.median))
        self._note(
            f"Medians of {len(ours.seconds)} rounds in turns. A stream request names its file "
            "by path and needs no enter and no open: there are fewer calls for the same job and "
            "each does more, so the whole job is the fairer line. Both sides run client and "
            "server in this one process; streams go through sockets of the real kernel, pinfut "
            "through memory of the simulated one."
        )
        for name, way in (("pinfut", ours), ("streams", theirs)):
            self.check(
                f"{name}: digest equal to that of the disk ({digest[:16]})",
                way.contents.hexdigest() == digest,
            )

    def changed(self) -> None:
        """The files on disk are not what they were at the beginning."""
        self._line("The tree was changed during the run; run again while nobody writes.", "red")

    def refilling(self, found: Refilling, account: Account, on_disk: bytes) -> None:
        """Step 3."""
        self._head(3, "A bank that is too small")
        self._line(f"A bank of {account.pages} pages, a read of up to {found.asked:,} bytes:")
        self._error(found.error)
        size = _count(len(found.data), "byte")
        self._line(f"After bank.refill(pages={found.refilled}) the same read gives {size}.")
        self.check("the call failed for lack of pages", found.error is not None)
        self.check("refilled and called again, it gave the file's bytes", found.data == on_disk)

    def greed(self, found: Greed, greedy: Account, well: Account, auditor: Auditor) -> None:
        """Step 4."""
        self._head(4, "A greedy client beside one that behaves")
        self._error(found.error)
        table = _table("", "greedy", "well-behaved")
        table.add_row("bank, pages", str(greedy.pages), str(well.pages))
        table.add_row("pages held when stopped", str(found.pages), "")
        table.add_row("pages held at most", str(greedy.peak_pages), str(well.peak_pages))
        table.add_row(f"calls made, of {SIZE} bytes, none awaited", f"{found.calls:,}", "")
        table.add_row("files read while the other fired", "", str(found.during))
        table.add_row("files read after it was stopped", "", str(found.after))
        table.add_row("of these wrong", "", str(found.wrong))
        self._console.print(table)
        self.check("the greedy client was stopped by its own bank", _names(found.error, greedy))
        self.check(
            "all files of the other one are right, also after that",
            found.wrong == 0 and found.after > 0,
        )
        self.check(
            f"beside the clients' banks the machine paid {auditor.peak_beside} pages at most "
            f"(looked at {auditor.looked:,} times)",
            auditor.peak_beside == 0 and auditor.looked > 0,
        )
        self._note(
            "The serving process has no bank: what it holds for a client is in that client's "
            "figures, by declared bounds. Its own code and objects are not counted here."
        )

    def banks(self, auditor: Auditor) -> None:
        """Step 5."""
        self._head(5, "Every session is closed: what the banks pay for")
        pages = "pages\nlimit", "\nadded", "\nbefore", "\npeak", "\nafter"
        table = _table("\nbank", *pages, "caps\nlimit", "\nbefore", "\npeak", "\nafter")
        table.padding = 0
        for one in auditor.accounts:
            pages_before, caps_before = one.used_before
            figures = (
                *(one.pages, one.refilled, pages_before, one.peak_pages, one.bank.pages_used),
                *(one.caps, caps_before, one.peak_caps, one.bank.caps_used),
            )
            table.add_row(one.bank.name, *(f"{figure:,}" for figure in figures))
        self._console.print(table)
        self._note(
            f"Pages of {PAGE:,} bytes. Peaks are seen at every charge, in all steps but the "
            "timed rounds of step 2, where nobody looks on; one round more is run for them."
        )
        for one in auditor.accounts:
            self.check(f"bank {one.bank.name!r} is back at its balance", one.restored)
        self.check("the machine pays for nothing else", auditor.beside == 0)

    def end(self) -> None:
        """How many checks held."""
        held = sum(held for _, held in self.checks)
        self._console.print()
        if self.held:
            self._line(f"All {held} checks hold.", "bold green")
        else:
            self._line(
                f"{len(self.checks) - held} of {len(self.checks)} checks FAILED:", "bold red"
            )
            for what, one in self.checks:
                if not one:
                    self._line(f"  {what}")

    def _head(self, number: int, title: str) -> None:
        self._console.print()
        self._line(f"{number}. {title}", "bold")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))

    def _note(self, text: str) -> None:
        self._console.print(Text(text, "dim"))

    def _error(self, error: BaseException | None) -> None:
        if error is None:
            self._line("  no error came", "red")
        else:
            self._console.print(Text(f"{type(error).__name__}: {error}", "yellow"))


def _table(first: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True, overflow="fold")
    return table


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _shown(text: str) -> str:
    """A name as the terminal may have it: without control characters."""
    return text if text.isprintable() else repr(text)


def _total(cost: Cost) -> int:
    return Counter(cost.transitions).total()


def _names(error: BaseException | None, account: Account) -> bool:
    return error is not None and repr(account.bank.name) in str(error)


def _verdict(what: str, ratio: float) -> str:
    if ratio >= 1:
        return f"{what}: pinfut is ahead, {ratio:.2f} times the streams"
    return f"{what}: streams are ahead, {1 / ratio:.2f} times pinfut"
