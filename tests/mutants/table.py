"""Faults planted on purpose, for each bank rule and each trap, and the test that sees each.

A mutant is a piece of source text that stands exactly once in its file, and what it is replaced
by. It is killed when the test named beside it fails. The text is exact, so whoever changes such
a line has to look at its mutant again.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One fault. `breaks`: the rules ("rule 7"), traps ("T24") and rows of the design notes
    ("row 60", of `pinfut rows`) that do not hold with it."""

    breaks: tuple[str, ...]
    file: str
    old: str
    new: str
    test: str

    @property
    def name(self) -> str:
        """What it breaks and where, as the id of a test."""
        return f"{'+'.join(self.breaks)} in {self.file}: {self.old.strip().splitlines()[0][:40]}"


RULES = range(1, 53)

TRAPS = range(1, 43)
"""Five are made here in another form than where they were met. Memory under a server cannot be
truncated (no view of a bytearray lets it shrink), but its owner may free it (16). A thread may wait
for a call, and who waits for room may stop reading (36). Cycles across processes end with what
pays (27), no refund of what was let go of waits for a collector (33), and who reads no answers has
no more of them than it has room for (29)."""

_TREE = "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned"
_RULES = "tests/rpc/bank/test_bank_rules.py::test_"
_QUOTA = "tests/rpc/test_quota.py::test_"
_MEMORY = "tests/rpc/test_memory.py::test_"
_CHARGING = "tests/rpc/test_charging.py::test_"
_PEER = "tests/rpc/wire/test_peer.py::test_"
_CANCEL = "tests/rpc/test_cancel.py::test_"
_BUSHEL = "tests/rpc/wire/test_bushel.py::test_"
_SHARED = "tests/rpc/test_shared_exports.py::test_"
_EVENTS = "tests/rpc/test_events.py::test_"
_TURNS = "tests/rpc/test_turns.py::test_"
_ARRIVAL = "tests/rpc/test_arrival.py::test_"
_OWN_ORDER = "tests/rpc/test_own_order.py::test_"
_RESOLVE = "tests/rpc/test_resolve.py::test_"
_RESUMED = "tests/rpc/test_resumed.py::test_"
_STATUS = "tests/rpc/test_status.py::test_"
_SYNC = "tests/rpc/test_sync.py::test_"
_BACKSTOPS = "tests/rpc/test_backstops.py::test_"

_RECEIVE = "tests/rpc/memory/test_receive.py::test_"
_INTRODUCE = "tests/rpc/test_introduce.py::test_"
_SLOTS = "tests/pinfut/test_slots.py::test_"
_PIN = "tests/pinfut/test_pin.py::test_"
_COMPARE = "tests/benches/test_compare.py::test_"
_LAWS = "tests/pinfut/test_laws.py::test_"
_COMBINATORS = "tests/pinfut/test_combinators.py::test_"
_FRAMES = "tests/pinfut/unboxed/test_frames.py::test_"

_STACK = "tests/rpc/bank/test_bank_stack.py::test_"
_HOLD = "tests/rpc/memory/test_hold.py::test_"
_ASKING = "tests/rpc/bank/test_bank_asking.py::test_"
_GROWING = "tests/rpc/test_growing.py::test_"
_GRANTS = "tests/rpc/test_grants.py::test_"
_AMPLIFICATION = "tests/hostile/test_amplification.py::test_"
_DRIFT = (
    "tests/rpc/test_drift.py::"
    "test_what_is_freed_under_another_payer_or_in_another_thread_drifts_nothing"
)

BANK = "rpc/bank/bank.py"
PAGES = "rpc/memory/pages.py"
CHANNEL = "rpc/kernel/sim/channel.py"
ENDPOINT = "rpc/kernel/sim/endpoint.py"
FUNDS = "rpc/bank/funds.py"
PEER = "rpc/wire/peer.py"
TABLE = "rpc/wire/export_table.py"
SESSION = "rpc/session/session.py"
CALLS_OUT = "rpc/session/calls_out.py"
RESOLVING = "rpc/session/resolving.py"
SIDE_TABLE = "rpc/memory/side_table.py"
CALLS_IN = "rpc/session/calls_in.py"
KEPT = "rpc/session/kept.py"
EVENTS = "rpc/memory/event_buffer.py"

MUTANTS = (
    # ---- banks ----
    Mutant(
        ("rule 1",),
        BANK,
        "                paying = not bank.funded\n",
        "                paying = False\n",
        _TREE,
    ),
    Mutant(
        ("rule 1",),
        BANK,
        "            bank.pages_used += pages\n",
        "            bank.pages_used += pages if bank is self else 0\n",
        _TREE,
    ),
    Mutant(
        ("rule 2", "T20"),
        BANK,
        "        self._require_payable(pages, caps, why)\n"
        "        require_stack(_STACK)\n"
        "        self._own_pages += pages\n",
        "        self._require_payable(0, 0, why)\n"
        "        below = self\n"
        "        while self.lacking(pages, caps) not in (None, below):\n"
        "            below.pages_used += pages\n"
        "            below = below._above\n"
        "        self._require_payable(pages, caps, why)\n"
        "        self._own_pages += pages\n",
        _TREE,
    ),
    Mutant(
        ("rule 3", "T20"),
        PAGES,
        "            bank.take_back(pages)\n",
        "            pass\n",
        _RULES + "several_regions_are_handed_over_all_or_none",
    ),
    Mutant(
        ("rule 4",),
        BANK,
        "        if bank._children:\n            _, child",
        "        if bank._children and bank is self:\n            _, child",
        _TREE,
    ),
    Mutant(
        ("rule 5",),
        BANK,
        "        heir._own_pages += pages\n",
        "        heir._own_pages += 0\n",
        _TREE,
    ),
    Mutant(
        ("rule 6", "T22"),
        BANK,
        "        if self.no_remove:\n",
        "        if False:\n",
        _RULES + "no_remove_keeps_an_attacker_from_giving_its_memory_to_a_parent",
    ),
    Mutant(
        ("rule 6", "T22"),
        "rpc/bank/handle.py",
        "name, pages=pages, caps=caps, funded=funded, no_remove=self.no_remove\n",
        "name, pages=pages, caps=caps, funded=funded\n",
        _RULES + "no_remove_keeps_an_attacker_from_giving_its_memory_to_a_parent",
    ),
    Mutant(
        ("rule 7",),
        BANK,
        "        if not (0 <= pages <= bank._loose_pages and",
        "        if not (0 <= pages <= bank._own_pages and",
        _RULES + "only_the_bank_that_bought_pages_can_sell_them_and_every_capability_dies",
    ),
    Mutant(
        ("rule 8",),
        PAGES,
        "        self.generation += 1\n        self.sharers = 1\n",
        "        self.generation += 1\n",
        _RULES + "a_new_region_has_one_capability_and_so_has_one_that_was_handed_over",
    ),
    Mutant(
        ("rule 9",),
        "rpc/bank/handle.py",
        "    return type(thing) is Bank and thing.alive and thing.is_below(root)\n",
        "    return isinstance(thing, Bank) and thing.alive\n",
        _RULES + "a_kernel_tells_its_banks_from_every_fake",
    ),
    Mutant(
        ("rule 10",),
        "rpc/bank/handle.py",
        "        bank = self.bank(wanted)\n",
        "        bank = self.bank()\n",
        _RULES + "a_handle_can_only_be_made_weaker",
    ),
    Mutant(
        ("rule 11", "T19"),
        BANK,
        "max(0, self.page_limit - self.pages_used), max(0, self.cap_limit - self.caps_used)",
        "self.page_limit - self.pages_used, self.cap_limit - self.caps_used",
        _TREE,
    ),
    Mutant(
        ("rule 12",),
        BANK,
        "        pages, caps = self.balance\n",
        "        pages, caps = 1 << 40, 1 << 40\n",
        _TREE,
    ),
    Mutant(
        ("rule 13",),
        BANK,
        'self.ledger.take(prices.BANK, "the bank itself")',
        'self.ledger.take(0, "the bank itself")',
        _RULES + "what_a_bank_keeps_about_itself_comes_out_of_its_limit",
    ),
    Mutant(
        ("rule 14",),
        FUNDS,
        "    if max(short) > 0:\n",
        "    if max(short) > 1:\n",
        _QUOTA + "a_session_that_cannot_be_paid_for_does_not_exist",
    ),
    Mutant(
        ("rule 15",),
        FUNDS,
        '        raise PayerExhausted(\n            f"a donation of',
        '        raise DonationTooSmall(\n            f"a donation of',
        _QUOTA + "a_session_that_cannot_be_paid_for_does_not_exist",
    ),
    Mutant(
        ("rule 16", "T17"),
        "rpc/refill.py",
        "        for left in reversed(range(attempts)):\n",
        "        for left in reversed(range(attempts + 1)):\n",
        _QUOTA + "a_request_that_is_never_paid_for_is_given_up_after_the_bound",
    ),
    Mutant(
        ("rule 17",),
        BANK,
        "        payer._require_payable(max(0, pages), max(0, caps), why)\n"
        "        above._debit(pages, caps, why)\n"
        "        self.page_limit += pages\n",
        "        self.page_limit += pages\n"
        "        payer._require_payable(max(0, pages), max(0, caps), why)\n"
        "        above._debit(pages, caps, why)\n",
        _RULES + "a_transfer_that_fails_at_any_step_leaves_every_sum_as_it_was",
    ),
    Mutant(
        ("rule 18",),
        BANK,
        "        if short > 0:\n",
        "        if False:\n",
        _RULES + "only_what_is_unused_leaves_an_account",
    ),
    Mutant(
        ("rule 19",),
        FUNDS,
        "caps=quota.caps, funded=True, no_remove=True)",
        "caps=quota.caps, no_remove=True)",
        _QUOTA + "closing_a_session_returns_its_donation_and_what_its_books_cost",
    ),
    Mutant(
        ("rule 20",),
        "rpc/bank/transfers.py",
        "    elif start.funded and start.parent is end:\n",
        "    elif start.funded:\n",
        _RULES + "transfers_between_siblings_are_refused",
    ),
    Mutant(
        ("rule 21",),
        FUNDS,
        "        self.bank.refund(caps=CAPS)\n\n",
        "\n",
        _QUOTA + "closing_a_session_returns_its_donation_and_what_its_books_cost",
    ),
    Mutant(
        ("rule 22",),
        BANK,
        "                    raise bank._lack(OutOfCaps, caps, self, why)\n",
        "                    pass\n",
        _RULES + "capabilities_are_a_second_quota",
    ),
    Mutant(
        ("rule 22",),
        "rpc/bank/account.py",
        "            self.free_caps -= CAP_LOT\n",
        "            self.free_caps -= CAP_LOT - 1\n",
        "tests/rpc/bank/test_account.py::"
        "test_a_account_holds_what_was_taken_in_the_pages_that_it_pays",
    ),
    Mutant(
        ("rule 23",),
        BANK,
        "        self.wanted = min(pages, self.pages_used)\n",
        "        self.wanted = min(pages, self.pages_used)\n"
        "        self.page_limit = max(0, self.page_limit - pages)\n",
        _RULES + "who_is_asked_to_give_memory_back_may_refuse",
    ),
    Mutant(
        ("rule 24",),
        PAGES,
        "        return self.region.generation == self.generation and self.region.pages > 0\n",
        "        return self.region.pages > 0\n",
        _RULES + "a_new_region_has_one_capability_and_so_has_one_that_was_handed_over",
    ),
    Mutant(
        ("rule 24",),
        PAGES,
        "            memory = bytearray(pages * PAGE)\n",
        "            memory = bytearray(b'x') * (pages * PAGE)\n",
        "tests/rpc/memory/test_region.py::test_a_region_shows_nothing_of_a_former_owner",
    ),
    Mutant(
        ("rule 25", "T21"),
        "rpc/bank/teardown.py",
        "        for _ in range(self._step if pieces is None else pieces):\n",
        "        while True:\n",
        _RULES + "ten_thousand_objects_are_destroyed_in_bounded_steps_with_right_answers_between",
    ),
    Mutant(
        ("T21",),
        "rpc/bank/owned.py",
        "        if not self.pins:\n            self._reclaim()\n            return\n",
        "        if True:\n            self._reclaim()\n            return\n",
        _RULES + "a_destroy_waits_for_what_is_in_use_and_for_nothing_else",
    ),
    Mutant(
        ("rule 42",),
        FUNDS,
        "        bank = self.bank.child(name, pages=pages, caps=caps, no_remove=True)\n",
        "        bank = self.bank.parent.child(name, pages=pages, caps=caps, no_remove=True)\n",
        _CHARGING + "what_a_nested_server_holds_counts_against_the_first_payer",
    ),
    Mutant(
        ("T37",),
        ENDPOINT,
        '        bank = funds.nested(shortened(f"{self.name}+{self._nestings}"), pages, caps)\n',
        '        bank = funds.nested(shortened(f"{self.name}+{self._nestings}"), 1 << 20, caps)\n',
        _CHARGING + "a_nested_call_spends_no_more_than_its_ceiling",
    ),
    Mutant(
        ("rule 42",),
        FUNDS,
        "            if isinstance(thing, Bank):\n                destroy(thing)\n",
        "            if thing is self.own:\n                destroy(thing)\n",
        "tests/rpc/simulate/test_found.py::"
        "test_what_a_dead_server_had_below_the_bank_of_a_session_ends_with_the_session",
    ),
    Mutant(
        ("T37",),
        "rpc/errors.py",
        "    told = NestedShortage(words_of(error))\n",
        "    return error\n    told = NestedShortage(words_of(error))\n",
        "tests/rpc/test_vats.py::"
        "test_what_a_nested_call_lacks_is_told_to_the_first_caller_and_both_go_on",
    ),
    # ---- signals and capabilities ----
    Mutant(
        ("rule 26",),
        "rpc/memory/notification.py",
        "        words[index] |= 1 << badge % _BITS\n",
        "        words[index] = 1 << badge % _BITS\n",
        "tests/rpc/memory/test_notification.py::test_badges_are_seen_once_sorted_and_none_is_lost",
    ),
    Mutant(
        ("rule 27", "T9"),
        "rpc/vat.py",
        "            if len(badges) == 1:\n",
        "            if badges:\n",
        _TURNS + "one_wait_sees_a_new_session_a_message_and_an_answer",
    ),
    Mutant(
        ("rule 28",),
        CALLS_IN,
        "        if session.error is not None:\n            if self.running.waiting is None:\n",
        "        if False:\n            if self.running.waiting is None:\n",
        "tests/rpc/test_death.py::"
        "test_when_the_client_dies_its_handlers_are_cancelled_and_its_bank_is_whole",
    ),
    Mutant(
        ("rule 29",),
        "rpc/objects/capabilities.py",
        "        return self._of(self._peer.exports.get(cap.id), interface)\n",
        "        return __import__('copy').copy("
        "self._of(self._peer.exports.get(cap.id), interface))\n",
        "tests/rpc/test_calls.py::test_an_object_of_the_server_keeps_its_identity_on_a_round_trip",
    ),
    Mutant(
        ("rule 30",),
        "rpc/session/backlog.py",
        "        charge = prices.UNSENT + len(payload) + prices.QUEUED_CAP * len(caps)\n",
        "        charge = 0\n",
        _MEMORY + "a_call_that_is_refused_again_and_again_uses_nothing_up",
    ),
    Mutant(
        ("rule 31",),
        "rpc/wire/charge.py",
        "        account.give_cap()\n        raise\n",
        "        pass\n",
        _BUSHEL + "an_object_that_cannot_be_paid_is_not_handed_out",
    ),
    Mutant(
        ("rule 32", "T1"),
        "pinfut/slots.py",
        "            slot = self.free[0]\n",
        "            slot = self.free[0]\n"
        "            slot = self._slots[(self._last + 1) % self.capacity]\n",
        "tests/pinfut/test_slots.py::test_a_slot_table_agrees_with_its_model_in_every_history",
    ),
    Mutant(
        ("rule 32", "T2"),
        "pinfut/slots.py",
        "        slot.state = CANCELLING\n        slot.waker = None\n",
        "        self.release(slot)\n",
        "tests/pinfut/test_slots.py::test_a_dropped_slot_future_keeps_its_slot_until_the_"
        "acknowledgement",
    ),
    Mutant(
        ("rule 33", "T34"),
        "rpc/session/returns.py",
        "            # Late, but not ignored: its capabilities are released.\n"
        "            self._arrive(question)\n            self.open(question, release=True)\n",
        "            self._arrive(question)\n            self.open(question, release=False)\n",
        _CANCEL + "the_capabilities_of_a_late_reply_are_released",
    ),
    Mutant(
        ("rule 34",),
        "rpc/objects/capabilities.py",
        "            self.take_back(tuple(caps))\n            for thing",
        "            for thing",
        _MEMORY + "objects_of_a_list_that_cannot_be_paid_are_handed_out_all_or_none",
    ),
    # ---- events and completions ----
    Mutant(
        ("rule 35",),
        "rpc/session/subscriptions.py",
        "        self._bits |= bits & _MASK\n",
        "        self._bits = bits & _MASK\n",
        _EVENTS + "events_equal_their_model_in_any_history",
    ),
    Mutant(
        ("rule 35",),
        EVENTS,
        "            if place < self.shape.places and self._armed[place]:\n",
        "            if place < self.shape.places:\n",
        _EVENTS + "events_equal_their_model_in_any_history",
    ),
    Mutant(
        ("rule 36",),
        TABLE,
        "        price = prices.EXPORT + type(thing)._pinfut_charge\n",
        "        price = prices.EXPORT + type(thing)._pinfut_charge\n"
        "        price *= len(self.entries) < 256\n",
        "tests/hostile/test_slope.py::"
        "test_what_a_client_holds_is_charged_however_much_it_is[held capabilities]",
    ),
    Mutant(
        ("rule 37",),
        "rpc/memory/lane.py",
        "        if len(posted) > self.capacity:\n",
        "        if len(posted) > 2 * self.capacity:\n",
        "tests/hostile/test_scenarios.py::"
        "test_more_answers_than_slots_end_the_session_and_overwrite_nothing",
    ),
    Mutant(
        ("rule 38",),
        "rpc/session/subscriptions.py",
        "                self._words[self._at + END] = self._generation\n",
        "",
        _EVENTS + "events_equal_their_model_in_any_history",
    ),
    Mutant(
        ("rule 38",),
        EVENTS,
        "                    if event.last:\n                        self._close(place)\n",
        "",
        _EVENTS + "events_equal_their_model_in_any_history",
    ),
    Mutant(
        ("T11",),
        "rpc/session/subscriptions.py",
        "        if words[at + GENERATION] != self._generation:\n",
        "        if words[at + GENERATION] < self._generation:\n",
        _EVENTS + "a_cancelled_place_is_let_go_of_by_the_server",
    ),
    Mutant(
        ("T11",),
        EVENTS,
        "            return self._seen[place]  # not subscribed yet\n",
        "            pass\n",
        _EVENTS + "a_cancelled_place_is_let_go_of_by_the_server",
    ),
    Mutant(
        ("rule 40",),
        PEER,
        "            if flags & frames.NO_FINISH:\n                answer.clear()\n",
        "            if True:\n                answer.clear()\n",
        _PEER + "a_slot_that_waits_for_its_finish_is_in_use",
    ),
    Mutant(
        ("rule 41",),
        PEER,
        "        self.exports.close()\n",
        "",
        _PEER + "close_refunds_everything_in_the_midst_of_everything",
    ),
    # ---- traps of calls and slots ----
    Mutant(
        ("T2",),
        PEER,
        "        if answer is None or answer.x != x or answer.state != RETURNED:\n",
        "        if answer is None or answer.x != x:\n",
        _PEER + "a_finish_without_a_return_is_an_error_of_the_protocol",
    ),
    Mutant(
        ("T2",),
        PEER,
        "            if flags & frames.NO_FINISH:\n                answer.clear()\n",
        "            if True:\n                answer.clear()\n",
        _PEER + "a_slot_that_waits_for_its_finish_is_in_use",
    ),
    Mutant(
        ("T3",),
        TABLE,
        "        if number >> _INDEX_BITS < _LAST_GENERATION:\n",
        "        if True:\n",
        _BUSHEL + "an_index_whose_generations_are_used_up_is_retired",
    ),
    Mutant(
        ("T3",),
        TABLE,
        "            while self._next & _INDEX in self._kept:\n                self._next += 1\n",
        "",
        _BUSHEL + "no_index_stands_for_two_objects_at_once",
    ),
    Mutant(
        ("T3",),
        TABLE,
        "        self._next = self._generation + 1 << _INDEX_BITS | self._base\n",
        "        self._next = self._generation + 1 << _INDEX_BITS | self._width\n",
        _BUSHEL + "an_object_that_stays_does_not_make_the_indices_of_the_others_run_out",
    ),
    Mutant(
        ("T4",),
        CALLS_IN,
        "    def on_cancel(self, answer: Answer, /) -> None:\n",
        "    def on_cancel(self, answer: Answer, /) -> None:\n"
        "        self._account.give(answer.charged)\n        answer.charged = 0\n",
        _CANCEL + "the_charge_of_a_cancelled_call_stays_until_its_handler_has_ended",
    ),
    Mutant(
        ("T5",),
        "rpc/session/prepayment.py",
        "        if self.state != OWN:\n",
        "        if self.state == CLOSED:\n",
        "tests/rpc/test_prepayment.py::test_a_charge_stands_on_one_bank_and_moves_at_most_once",
    ),
    Mutant(
        ("T5",),
        "rpc/bank/account.py",
        "            if free > self.pages * PAGE:\n",
        "            if False:\n",
        "tests/rpc/bank/test_account.py::"
        "test_a_account_holds_what_was_taken_in_the_pages_that_it_pays",
    ),
    Mutant(
        ("T6",),
        PEER,
        "        if answer.state or x <= answer.x or room < MIN_ROOM or length != len(frame):\n"
        "            raise self._improper(answer, x, room)\n        answer.x = x\n"
        "        answer.flags = 0\n",
        "        answer.x = x\n        answer.flags = 0\n",
        _PEER + "a_slot_that_is_in_use_takes_no_second_call",
    ),
    Mutant(
        ("T6",),
        "rpc/memory/lane.py",
        "        if not head <= posted <= head + self.capacity:\n",
        "        if False:\n",
        "tests/rpc/memory/test_lane.py::test_a_hostile_count_of_completions_is_refused_or_bounded",
    ),
    Mutant(
        ("T7",),
        "rpc/memory/ring.py",
        "        self._words[_WANT] = 1\n        return end <= self._read_limit()\n",
        "        self._words[_WANT] = 1\n        return False\n",
        "tests/rpc/memory/test_ring.py::test_no_order_of_steps_loses_the_wake_up_of_a_writer",
    ),
    Mutant(
        ("T7",),
        "rpc/memory/notification.py",
        "        if self._summary:\n            return False\n",
        "",
        "tests/rpc/memory/test_notification.py::"
        "test_a_task_that_waits_gets_what_was_signalled_before_during_and_after",
    ),
    Mutant(
        ("T8",),
        "rpc/vat.py",
        "                    if process.ready:\n"
        "                        self._sort(process.take())\n",
        "                    process.take()\n",
        _TURNS + "what_is_signalled_while_others_are_looked_at_is_not_lost",
    ),
    Mutant(
        ("T9",),
        "rpc/memory/notification.py",
        "        self._summary |= 1 << index\n",
        "        self._summary = 1 << index\n",
        "tests/rpc/memory/test_notification.py::test_badges_are_seen_once_sorted_and_none_is_lost",
    ),
    Mutant(
        ("T10",),
        "rpc/bank/freed.py",
        "            lacking = bank.lacking(self._pages, self._caps)\n",
        "            lacking = bank.lacking(self._pages, self._caps) or bank\n",
        _RULES + "who_waits_for_pages_is_told_once_and_not_too_early",
    ),
    Mutant(
        ("T12",),
        KEPT,
        "            self._kept.discarded += 1\n            return False\n",
        "            raise SessionDead('gone')\n",
        _CHARGING + "a_session_that_ends_in_the_midst_of_a_turn_takes_nothing_from_under_it",
    ),
    Mutant(
        ("T13",),
        "rpc/credit.py",
        "        if seq % 2 == 0 and view[0] == seq:\n",
        "        if True:\n",
        "tests/rpc/memory/test_receive.py::"
        "test_a_reader_never_takes_half_a_publication_and_never_hangs",
    ),
    Mutant(
        ("T14",),
        "rpc/bank/transfers.py",
        "        while done < limit and len(self):\n",
        "        while len(self):\n",
        _RULES + "transfers_in_a_queue_are_reserved_and_flushed_by_anyone_in_order",
    ),
    Mutant(
        ("T15",),
        "rpc/memory/ring.py",
        "        if not self._seen <= seen <= head + self.capacity or seen & 7:\n",
        "        if False:\n",
        "tests/rpc/memory/test_ring.py::test_a_tail_that_makes_no_sense_is_refused",
    ),
    Mutant(
        ("T15",),
        "rpc/memory/ring.py",
        "                if not _MIN_FRAME <= length <= largest or end > size:\n",
        "                if False:\n",
        "tests/rpc/memory/test_ring.py::test_a_length_that_runs_out_of_what_was_written_is_refused",
    ),
    Mutant(
        ("T17",),
        "rpc/refill.py",
        "                if not left or error.begun or isinstance(error, BankDead):\n",
        "                if not left or isinstance(error, BankDead):\n",
        _QUOTA + "a_request_whose_handler_began_is_not_made_again",
    ),
    Mutant(
        ("T18",),
        "rpc/refill.py",
        "    end.keep_ticket(x, ticket)\n",
        "",
        _QUOTA + "no_other_request_eats_what_was_refilled_for_one",
    ),
    Mutant(
        ("T20",),
        FUNDS,
        "                self.far.seize()\n                bank.refund(caps=CAPS)\n",
        "                self.far.seize()\n",
        "tests/rpc/kernel/test_channel.py::test_a_channel_is_bought_whole_or_not_at_all",
    ),
    Mutant(
        ("T23",),
        "rpc/session/shared.py",
        "keep(self, self.size)\n",
        "keep(self, self.size // (1 + len(self._refs)))\n",
        _CHARGING + "shared_state_is_stored_once_and_each_subscriber_pays_for_all_of_it",
    ),
    Mutant(
        ("T24",),
        "rpc/wire/imports.py",
        "        received: int = counts[0]\n",
        "        received: int = 1\n",
        "tests/rpc/wire/test_bushel.py::"
        "test_imports_count_how_often_an_object_came_and_how_many_stand_for_it",
    ),
    Mutant(
        ("T25",),
        "rpc/objects/capabilities.py",
        "            target.be(own, EMBARGOED if target.under_way else OWN)\n",
        "            target.be(own)\n",
        "tests/rpc/test_order.py::"
        "test_a_promise_that_resolves_to_an_own_object_keeps_the_order_of_calls",
    ),
    Mutant(
        ("T26",),
        CALLS_IN,
        "        if waits_for_itself(answer, waits_for):\n",
        "        if False:\n",
        "tests/rpc/test_pipelining.py::test_a_promise_that_would_wait_for_itself_is_refused",
    ),
    Mutant(
        ("T25",),
        SESSION,
        "if self.credit <= 0 or resumed.waiting is not None:\n",
        "if self.credit <= 0:\n",
        _RESUMED + "no_frame_overtakes_those_whose_turn_has_not_come",
    ),
    Mutant(
        ("T25",),
        SESSION,
        "            while resumed.waiting is None:\n",
        "            while True:\n",
        _RESUMED + "no_frame_overtakes_those_whose_turn_has_not_come",
    ),
    Mutant(
        ("T41",),
        SESSION,
        "                budget = self._resume(budget)\n",
        "                self._resume(budget)\n",
        _RESUMED + "those_that_begin_and_those_that_come_are_of_one_budget",
    ),
    Mutant(
        ("T41",),
        SESSION,
        "budget > 0 and self.credit >= 0:\n",
        "budget > 0:\n",
        _RESUMED + "those_that_begin_use_the_credit_of_their_session_up",
    ),
    Mutant(
        ("T28",),
        SESSION,
        "self.end.process.nudge(self.end.handle & 0xFFFF_FFFF)\n        return budget\n",
        "pass\n        return budget\n",
        _RESUMED + "all_begin_though_nothing_else_comes",
    ),
    Mutant(
        ("T28",),
        PEER,
        "is not None and not self._resuming:\n",
        "is not None:\n",
        _RESUMED + "a_chain_of_any_length_that_ends_at_once_is_no_chain_of_frames",
    ),
    Mutant(
        ("T26",),
        PEER,
        "other.state == FREE or other is asking:\n",
        "other.state == FREE:\n",
        _PEER + "a_call_on_its_own_result_is_refused",
    ),
    Mutant(
        ("T28",),
        PEER,
        "        charge = prices.QUEUED + len(answer.payload) + "
        "prices.QUEUED_CAP * len(answer.caps)\n",
        "        charge = 0\n",
        _MEMORY + "the_bytes_of_pipelined_calls_that_wait_at_the_server_are_paid_and_refunded",
    ),
    Mutant(
        ("T28", "T41"),
        PEER,
        "        charge = prices.QUEUED + len(answer.payload) + "
        "prices.QUEUED_CAP * len(answer.caps)\n",
        "        charge = len(answer.payload)\n",
        _PEER + "a_pipelined_call_that_cannot_be_paid_is_refused_and_nothing_stays",
    ),
    Mutant(
        ("T30",),
        "rpc/memory/lane.py",
        "        self._posted += len(posted)\n",
        "        self._posted += min(1, len(posted))\n",
        "tests/rpc/memory/test_lane.py::test_completions_come_once_in_order_and_only_when_published",
    ),
    Mutant(
        ("rule 39", "T31"),
        CALLS_OUT,
        "            self.questions.cancel(question.x)\n            self.peer.cancel(question.x)\n",
        "            self.questions.release(question)\n            self.peer.cancel(question.x)\n",
        _CANCEL + "the_slot_of_a_cancelled_call_is_taken_until_the_handler_acknowledges",
    ),
    Mutant(
        ("T32",),
        "rpc/objects/handlers.py",
        "            coro = coro.cr_await\n",
        "            coro = None\n",
        "tests/rpc/test_handlers.py::"
        "test_a_handler_that_holds_more_is_charged_that_from_when_it_first_waits",
    ),
    Mutant(
        ("T34",),
        CALLS_OUT,
        "            self.returns.open(question, release=True)\n",
        "            self.returns.open(question, release=False)\n",
        _CANCEL + "capabilities_of_an_answer_that_nobody_takes_are_released",
    ),
    Mutant(
        ("T35",),
        "rpc/session/fairness.py",
        "            queue = low or normal or high\n",
        "            queue = high or normal or low\n",
        _TURNS + "with_all_levels_ready_each_has_its_part_of_the_looks",
    ),
    Mutant(
        ("T35",),
        "rpc/kernel/sim/kernel.py",
        "        levels = spec.level, max(spec.level, service.spec.level)\n",
        "        levels = spec.level, spec.level\n",
        _TURNS + "a_service_gives_no_higher_priority_than_it_wants_to",
    ),
    Mutant(
        ("T35",),
        SESSION,
        "                self.credit -= requests.consumed - begin or RING\n",
        "",
        _TURNS + "a_message_longer_than_the_credit_is_paid_off_though_nothing_follows_it",
    ),
    Mutant(
        ("T38",),
        "rpc/bank/account.py",
        "            self._resize(1 - free // PAGE)\n",
        "            pass\n",
        "tests/rpc/bank/test_account.py::"
        "test_a_account_holds_what_was_taken_in_the_pages_that_it_pays",
    ),
    Mutant(
        ("rule 28", "T39"),
        PEER,
        "        if len(payload) > room:\n",
        "        if False:\n",
        _PEER + "every_error_fits_into_the_least_room_that_can_be_reserved",
    ),
    Mutant(
        ("T40",),
        CALLS_IN,
        "        if answer.waits_on is not self.running or answer.stops:\n",
        "        if answer.waits_on is not self.running:\n",
        _CANCEL + "a_second_cancel_frame_does_not_cut_a_clean_up_off",
    ),
    Mutant(
        ("T41",),
        SESSION,
        "requests.receive(budget, credit if",
        "requests.receive(1 << 30, credit if",
        _TURNS + "messages_that_are_nearly_empty_count_too",
    ),
    Mutant(
        ("T41",),
        SESSION,
        "                            requests.put_back(list(left))\n",
        "                            pass\n",
        "tests/rpc/test_work.py::test_one_look_at_a_session_is_bounded_by_what_its_messages_become",
    ),
    Mutant(
        ("T41",),
        "rpc/session/calls_in.py",
        "        self._session.credit -= bound // ADVANCE\n",
        "",
        "tests/rpc/test_work.py::test_one_look_at_a_session_is_bounded_by_what_its_messages_become",
    ),
    Mutant(
        ("T42",),
        "tests/covered.py",
        "    if missing:\n",
        "    if False:\n",
        "tests/house/test_covered.py::test_a_case_that_was_never_met_fails_the_test",
    ),
    # ---- traps that are made in another form ----
    Mutant(
        ("T16",),
        EVENTS,
        "        self.require_unused()\n        self._region.pin()\n",
        "        self.require_unused()\n",
        _EVENTS + "a_buffer_stays_while_its_session_is_there",
    ),
    Mutant(
        ("T27",),
        CHANNEL,
        "        if self.on_revoke is not None:\n            self.on_revoke()\n",
        "        pass\n",
        _BACKSTOPS + "a_cycle_across_processes_ends_with_what_pays_for_it[destroy]",
    ),
    Mutant(
        ("T27",),
        PEER,
        "        self.exports.close()\n",
        "        for one in list(self.exports._uses.values()):\n"
        "            if not getattr(one.facet[0], 'keeping', None):\n"
        "                self.exports._drop(one)\n",
        _BACKSTOPS + "a_cycle_across_processes_ends_with_what_pays_for_it[close]",
    ),
    Mutant(
        ("T29",),
        PEER,
        "        if answer.state or x <= answer.x or room < MIN_ROOM or length != len(frame):\n"
        "            raise self._improper(answer, x, room)\n        answer.x = x\n"
        "        answer.flags = 0\n",
        "        if answer.state or x <= answer.x or length != len(frame):\n"
        "            raise self._improper(answer, x, room)\n        answer.x = x\n"
        "        answer.flags = 0\n",
        "tests/rpc/test_hostile.py::test_a_frame_that_no_honest_client_sends_ends_its_session_"
        "and_no_other[a room too small for an error]",
    ),
    Mutant(
        ("T29",),
        "rpc/memory/lane.py",
        "        page[start : start + length] = frame\n        self._post(x)\n",
        "        page[start : start + length] = frame\n"
        "        globals().setdefault('kept', []).append((x, bytearray(frame)))\n"
        "        self._post(x)\n",
        "tests/hostile/test_scenarios.py::test_a_hostile_client_pays_for_what_it_makes_the_"
        "server_hold_and_hurts_nobody[never reads answers]",
    ),
    Mutant(
        ("T33",),
        KEPT,
        "        self._kept.give(self._charged)\n",
        "        __import__('weakref').finalize(self, self._kept.give, self._charged)\n",
        _BACKSTOPS + "a_refund_waits_for_no_collector_and_for_nobody_to_let_go",
    ),
    Mutant(
        ("T36",),
        SESSION,
        "                frames = requests.receive(budget, ",
        "                frames = [] if out.waiting else requests.receive(budget, ",
        "tests/rpc/test_reverse.py::test_two_that_call_each_other_with_full_rings_both_go_on",
    ),
    # ---- what is whole at every depth of the stack ----
    Mutant(
        ("rule 43",),
        BANK,
        "        require_stack(_STACK)\n        self._own_pages += pages\n",
        "        self._own_pages += pages\n",
        _STACK + "an_operation_without_stack_changes_nothing[buy]",
    ),
    Mutant(
        ("rule 43",),
        "rpc/bank/account.py",
        "        free = self.free + count\n        if free >= self.high:\n",
        "        free = self.free + count\n        self.free = free\n        count = 0\n"
        "        if free >= self.high:\n",
        _STACK + "an_operation_without_stack_changes_nothing[give]",
    ),
    Mutant(
        ("rule 43",),
        "rpc/session/sending.py",
        "            if self._outbox.mixed:\n                self._outbox.put(",
        "            self.touched = True\n            if self._outbox.mixed:\n"
        "                self._outbox.put(",
        "tests/rpc/test_stack.py::"
        "test_a_call_at_any_remaining_depth_is_made_or_changes_nothing[plain-unchecked]",
    ),
    Mutant(
        ("rule 43",),
        "executor/task.py",
        "            except RecursionError:\n                self.queued = False\n",
        "            except RecursionError:\n",
        "tests/executor/test_stack.py::"
        "test_an_operation_without_stack_changes_nothing_and_the_run_goes_on[waking-hosted]",
    ),
    # ---- who holds, who asks, who waits ----
    Mutant(
        ("rule 44",),
        PAGES,
        "        hold = self.holds.get(bank) if self.holds else None\n",
        "        hold = None\n",
        _HOLD + "a_lasting_hold_is_paid_whole_by_its_holder_once_however_often_it_is_taken",
    ),
    Mutant(
        ("rule 44",),
        PAGES,
        "        pages, self.pages = self.pages, 0\n        bank = self.bank\n",
        "        pages, self.pages = self.pages, 0\n        bank = self.bank\n"
        "        for one in list((self.holds or {}).values()):\n            one._reclaim()\n",
        _HOLD + "an_owner_that_frees_is_refunded_at_once_and_takes_nobodys_hold",
    ),
    Mutant(
        ("rule 45",),
        PAGES,
        "        if self.pages:\n            self.require_unpinned()\n",
        "        if self.pages:\n",
        _HOLD + "a_short_hold_costs_nothing_and_loses_no_quota_in_any_order_beside_a_lasting_one",
    ),
    Mutant(
        ("rule 46",),
        BANK,
        "        if not (0 <= pages <= bank._loose_pages and",
        "        if not (0 <= pages <= bank._own_pages and",
        _ASKING + "what_the_kernel_keeps_in_a_bank_survives_that_everything_is_freed",
    ),
    Mutant(
        ("rule 47",),
        BANK,
        "            if caps and bank.caps_used + caps > bank.cap_limit:\n"
        "                return bank\n",
        "",
        _ASKING + "who_asked_first_whether_it_may_pay_or_free_is_not_refused",
    ),
    Mutant(
        ("rule 48",),
        "rpc/bank/freed.py",
        "        self.lacking = lacking\n        lacking.enlist(self)\n",
        "        self.lacking = bank\n        bank.enlist(self)\n",
        _ASKING + "who_waits_knows_whose_shortage_it_is_and_is_woken_when_that_one_ends",
    ),
    Mutant(
        ("rule 49",),
        "rpc/session/charging.py",
        "        if self._entered:\n",
        "        if False:\n",
        _GRANTS + "a_scope_that_is_entered_already_is_refused_and_holds_what_it_held",
    ),
    Mutant(
        ("rule 49",),
        "rpc/session/subscriptions.py",
        "    if former is not None:\n        former.release()\n",
        "",
        _GRANTS + "a_subscription_that_is_swapped_is_heard_no_more_or_is_not_swapped",
    ),
    Mutant(
        ("rule 50",),
        "rpc/memory/ring.py",
        "_MIN_FRAME <= length <= largest",
        "_MIN_FRAME <= length",
        _AMPLIFICATION + "what_one_message_makes_a_server_hold_is_bounded_by_its_length",
    ),
    Mutant(
        ("rule 51",),
        KEPT,
        "        self._charged += change\n",
        "        self._charged = size\n",
        _DRIFT,
    ),
    Mutant(
        ("rule 52",),
        KEPT,
        "        self._thing = None\n        self._charged = 0\n",
        "        self._charged = 0\n",
        _CHARGING + "shared_state_goes_with_the_last_who_pays_for_it_in_whatever_order_they_leave",
    ),
    # ---- rows that no test held, or not the one that is named for them ----
    Mutant(
        ("row 8",),
        BANK,
        "            if bank._waiting and (pages < 0 or caps < 0):\n"
        "                bank.tell_waiting()\n",
        "",
        _RULES + "who_waits_for_pages_is_told_once_and_not_too_early",
    ),
    Mutant(
        ("row 8", "T10"),
        BANK,
        "        waiting, self._waiting = self._waiting, None\n",
        "        waiting = list(self._waiting or ())\n",
        _RULES + "who_waits_for_pages_is_told_once_and_not_too_early",
    ),
    Mutant(
        ("row 9",),
        "rpc/session/shared.py",
        "(next(iter(self._refs)).get() if self._refs else self._make())",
        "(self._make())",
        _CHARGING + "shared_state_is_stored_once_and_each_subscriber_pays_for_all_of_it",
    ),
    Mutant(
        ("row 9", "T23"),
        "rpc/session/shared.py",
        "        ref.drop()\n        self._sweep()\n",
        "        ref.drop()\n        self._sweep()\n        for one in self._refs:\n"
        "            one.resize(self.size + self.size // len(self._refs))\n",
        _CHARGING + "shared_state_is_stored_once_and_each_subscriber_pays_for_all_of_it",
    ),
    Mutant(
        ("row 16", "T15"),
        "rpc/memory/ring.py",
        "                frame = data[start : start + length]\n",
        "                begin = position + start\n"
        "                frame = self._buffer[begin : begin + length].tobytes()\n",
        "tests/rpc/memory/test_ring.py::"
        "test_a_body_is_copied_once_and_what_was_copied_is_what_is_used",
    ),
    Mutant(
        ("row 41", "T24"),
        "rpc/wire/exports.py",
        "        use.uses -= count\n",
        "        use.uses = 0\n",
        "tests/rpc/test_calls.py::test_an_object_is_released_at_the_server_when_its_proxy_is_gone",
    ),
    Mutant(
        ("row 42",),
        "rpc/vat.py",
        "            table = self._tables.setdefault(end.client, ExportTable())\n",
        "            table = self._tables[end.client] = ExportTable()\n",
        _SHARED + "an_object_has_one_number_in_both_sessions_and_is_charged_once[sim]",
    ),
    Mutant(
        ("row 42",),
        "rpc/kernel/sim/kernel.py",
        "        client = (id(funds.bank), id(processes[0])) if funds.own is None else number\n",
        "        client = id(processes[0]) if funds.own is None else number\n",
        _SHARED + "who_is_not_the_same_client_and_bank_has_a_table_of_its_own[sim-another bank]",
    ),
    Mutant(
        ("row 42",),
        "rpc/wire/exports.py",
        "                charged = prices.REFERENCE\n",
        "",
        _SHARED + "the_end_of_one_session_leaves_the_other_all_that_it_has[sim-it is broken-0]",
    ),
    Mutant(
        ("row 42",),
        TABLE,
        "        account.pass_on(heir, self.charged, len(self.entries))\n",
        "",
        _SHARED + "the_end_of_one_session_leaves_the_other_all_that_it_has[sim-the server does-0]",
    ),
    Mutant(
        ("row 45",),
        TABLE,
        "            self._free.append(number + (1 << _INDEX_BITS))\n",
        "            self._free.append(number)\n",
        _BUSHEL + "a_bushel_names_each_object_by_one_id_and_no_id_twice",
    ),
    Mutant(
        ("row 51", "T33"),
        CALLS_OUT,
        "            self.dropped.append(dropped)\n            if not self.touched:\n",
        "            self.dropped.append(dropped)\n            self.flush()\n"
        "            if False:\n",
        "tests/rpc/test_introduce.py::test_clone_drop_and_compare_are_no_kernel_transitions",
    ),
    Mutant(
        ("row 11",),
        SIDE_TABLE,
        '        self._use(len(caps) + len(fresh) - len(way.get(place, b"")) // CAP.size)\n',
        "",
        "tests/rpc/contract/test_capabilities.py::"
        "test_entries_are_bought_before_anything_lies_in_them_and_sold_when_empty[sim]",
    ),
    Mutant(
        ("row 11",),
        SIDE_TABLE,
        "        for cap in caps:\n            if not (\n",
        "        for cap in caps:\n            theirs[cap.id] = None\n            if not (\n",
        "tests/rpc/contract/test_capabilities.py::"
        "test_of_what_cannot_be_handed_over_whole_nothing_is[sim]",
    ),
    Mutant(
        ("row 52",),
        SIDE_TABLE,
        "                or (cap.kind == RECEIVER and cap.id in held)\n",
        "                or cap.kind == RECEIVER\n",
        "tests/rpc/test_forged.py::"
        "test_no_bytes_in_the_ring_make_a_server_see_what_was_not_handed_over",
    ),
    Mutant(
        ("row 52",),
        SIDE_TABLE,
        "        if len(packed) != count * CAP.size:\n",
        "        if len(packed) < count * CAP.size:\n",
        "tests/rpc/contract/test_capabilities.py::"
        "test_a_message_that_says_another_number_than_was_handed_over_gets_none[sim]",
    ),
    Mutant(
        ("row 52",),
        SIDE_TABLE,
        "        del way[place]\n",
        "",
        "tests/rpc/contract/test_capabilities.py::"
        "test_capabilities_come_as_they_were_handed_over_in_order_and_once[sim]",
    ),
    Mutant(
        ("row 52",),
        CHANNEL,
        "        self.caps.close()\n",
        "",
        "tests/rpc/contract/test_capabilities.py::"
        "test_whoever_ends_the_session_at_whatever_step_every_entry_goes_back"
        "[sim-1-the client closes]",
    ),
    Mutant(
        ("row 55",),
        "rpc/bank/handle.py",
        "    if type(bank) is not Bank or not (bank.is_below(root) or not bank.alive):\n",
        "    if type(bank) is not Bank and not hasattr(bank, 'alive'):\n",
        "tests/examples/test_sandbox.py::"
        "test_a_child_without_pages_makes_no_server_but_its_parents_hold_anything",
    ),
    Mutant(
        ("row 56",),
        "rpc/objects/capabilities.py",
        "        if not _is_of(facet, interface):\n            raise _mismatch(facet, interface)\n",
        "",
        "tests/rpc/test_read_only.py::"
        "test_an_import_that_can_only_read_is_read_and_never_written[said to be a page]",
    ),
    Mutant(
        ("row 56",),
        "rpc/wire/peer.py",
        "        if expected not in facet[2]._pinfut_ids:\n",
        "        if not expected:\n",
        "tests/rpc/test_read_only.py::"
        "test_a_promise_of_what_can_only_be_read_is_not_called_as_a_page",
    ),
    Mutant(
        ("row 57",),
        "rpc/objects/capabilities.py",
        "        if interface is Interface and not spans(facet[2], type(facet[0])):\n",
        "        if False:\n",
        "tests/rpc/test_facets.py::"
        "test_a_facet_is_not_widened_by_who_takes_and_gives_any_interface",
    ),
    Mutant(
        ("row 57",),
        "rpc/session/returns.py",
        "                    self._peer.release(cap.id, 1)\n",
        "                    self._peer.exports.release(cap.id, 1)\n",
        "tests/rpc/test_hostile.py::"
        "test_what_was_released_and_is_given_back_all_the_same_ends_that_session_alone",
    ),
    Mutant(
        ("row 57",),
        "rpc/wire/peer.py",
        "                charge = prices.GRANTED * (len(caps) - 1)\n",
        "                charge = 0\n",
        "tests/rpc/test_hostile.py::"
        "test_an_answer_that_names_one_object_often_is_paid_until_it_is_finished",
    ),
    Mutant(
        ("row 57",),
        "rpc/objects/capabilities.py",
        "        if not _is_of(facet, interface):\n            raise _mismatch(facet, interface)\n",
        "",
        "tests/rpc/test_hostile.py::"
        "test_an_answer_that_is_an_own_object_of_another_kind_is_a_mismatch[awaited]",
    ),
    Mutant(
        ("row 57",),
        "rpc/objects/capabilities.py",
        "        if not _is_of(facet, interface):\n            raise _mismatch(facet, interface)\n",
        "",
        "tests/rpc/test_hostile.py::"
        "test_an_own_object_that_comes_back_as_what_it_is_not_never_reaches_a_handler",
    ),
    Mutant(
        ("row 57",),
        "rpc/objects/capabilities.py",
        "            if type(cap) is not Cap or cap.kind != frames.RECEIVER:\n",
        "            if type(cap) is not Cap:\n",
        "tests/rpc/test_demands.py::test_an_object_of_the_caller_is_refused_and_charged_nothing",
    ),
    Mutant(
        ("row 57",),
        "rpc/objects/capabilities.py",
        "            if own and target_of(thing) is not None:\n",
        "            if own and thing is None:\n",
        "tests/rpc/test_demands.py::test_same_takes_what_is_served_elsewhere_and_own_does_not[sim]",
    ),
    Mutant(
        ("T33",),
        "rpc/session/calls_out.py",
        "            self._give_up_target(target)\n        target.let_go()\n",
        "            pass\n        target.let_go()\n",
        "tests/rpc/test_release.py::"
        "test_a_proxy_that_was_let_go_of_holds_nothing_though_something_names_it[sim-release]",
    ),
    Mutant(
        ("T33",),
        "rpc/session/returns.py",
        "            gc.collect()\n",
        "            pass\n",
        "tests/rpc/test_release.py::test_proxies_in_cycles_are_found_when_the_bank_is_short[sim]",
    ),
    Mutant(
        ("row 60",),
        ENDPOINT,
        "        news = out is not None and out.publish()\n",
        "        if out is not None and out.unpublished:\n"
        "            self._kernel.signal(self)\n"
        "        news = out is not None and out.publish()\n",
        _ARRIVAL + "what_a_session_signals_is_published_whenever_the_signal_arrives[at once]",
    ),
    Mutant(
        ("row 60",),
        ENDPOINT,
        "        if into is not None and into.publish():\n            news = True\n",
        "        if into is not None and into.completions.posted:\n"
        "            self._kernel.signal(self)\n"
        "        if into is not None:\n            into.publish()\n",
        _ARRIVAL + "what_a_session_signals_is_published_whenever_the_signal_arrives[drawn]",
    ),
    Mutant(
        ("row 60",),
        "rpc/kernel/sim/arrival.py",
        "            if there < said and self.error is None:\n",
        "            if there < said < 0 and self.error is None:\n",
        _ARRIVAL + "a_signal_before_its_message_is_an_error_that_names_session_and_ring[at once]",
    ),
    Mutant(
        ("row 61",),
        "rpc/memory/ring.py",
        "            if not self.submit(frame):\n                break\n            taken += 1\n",
        "            taken += self.submit(frame)\n",
        "tests/rpc/contract/test_lanes.py::"
        "test_a_batch_stops_at_the_first_that_finds_no_room_and_says_how_many_were_taken",
    ),
    Mutant(
        ("row 61", "T5"),
        "rpc/session/sending.py",
        "                self.account.give(sum([charge for _, charge in frames[:taken]]))\n",
        "                self.account.give(sum([charge for _, charge in frames[1:taken]]))\n",
        "tests/rpc/test_vats.py::"
        "test_what_waited_for_room_is_submitted_as_a_batch_and_each_is_refunded_once",
    ),
    Mutant(
        ("row 62",),
        CALLS_OUT,
        "        elif self.opened and not self.held:\n            self.send(frame)\n",
        "",
        _OWN_ORDER
        + "a_call_on_a_promise_that_turned_out_to_be_here_waits_for_no_call_to_end[2-sim]",
    ),
    Mutant(
        ("row 62", "T25"),
        "rpc/session/returns.py",
        "            self._embargoed[question.x] = target\n",
        "            target.settle(OWN)\n",
        _OWN_ORDER + "calls_that_wait_for_a_slot_of_the_other_side_are_not_overtaken[sim]",
    ),
    Mutant(
        ("row 62", "T25"),
        CALLS_OUT,
        "        elif self.opened and not self.held:\n",
        "        elif self.opened:\n",
        _OWN_ORDER + "calls_that_wait_for_a_slot_of_the_other_side_are_not_overtaken[sim]",
    ),
    Mutant(
        ("row 62",),
        RESOLVING,
        "                side.send(self._peer.resolve(one.number, target.id))\n",
        "                pass\n",
        _RESOLVE + "calls_go_the_shorter_way_once_a_resolve_has_come[sim-client]",
    ),
    Mutant(
        ("row 62", "T25"),
        RESOLVING,
        "        target.under_way = len(peer.questions)\n",
        "        target.under_way = 0\n",
        _RESOLVE + "calls_begin_in_the_order_in_which_they_were_made[2-sim-client]",
    ),
    Mutant(
        ("row 62", "T25"),
        RESOLVING,
        "            if target.line:\n",
        "            if False:\n",
        _RESOLVE + "two_promises_that_lead_through_each_other_keep_the_order[sim]",
    ),
    Mutant(
        ("row 62", "T25"),
        "rpc/session/backlog.py",
        "        if not sending.held:\n",
        "        if True:\n",
        _RESOLVE + "what_waits_for_a_slot_of_who_passes_it_on_is_not_overtaken[sim-client]",
    ),
    Mutant(
        ("row 62", "T24"),
        RESOLVING,
        "        target.id = RESOLVED - number\n",
        "",
        _RESOLVE + "calls_go_the_shorter_way_once_a_resolve_has_come[sim-client]",
    ),
    Mutant(
        ("row 62",),
        RESOLVING,
        "        if target.state != IMPORTED:\n",
        "        if False:\n",
        _RESOLVE
        + "what_no_honest_peer_says_of_a_promise_ends_the_session_and_no_other[twice-client]",
    ),
    Mutant(
        ("row 62",),
        RESOLVING,
        " or not one.said:\n",
        ":\n",
        _RESOLVE
        + "what_no_honest_peer_says_of_a_promise_ends_the_session_and_no_other[unasked-client]",
    ),
    Mutant(
        ("row 62", "T25"),
        "rpc/wire/imports.py",
        "self._counts[number][1] == 1",
        "self._counts[number][1]",
        _RESOLVE + "an_import_that_is_held_as_two_interfaces_stays_on_the_longer_way[client]",
    ),
    Mutant(
        ("row 62",),
        RESOLVING,
        "            self.on.waiting.pop(self, None)\n",
        "            pass\n",
        _RESOLVE + "nothing_is_kept_of_a_promise_that_is_released_before_it_comes[sim-client]",
    ),
    Mutant(
        ("row 62",),
        CALLS_OUT,
        "        self.resolving.lift(self.peer.imports.proxies())\n",
        "",
        _RESOLVE + "the_end_of_a_session_in_the_midst_lets_what_waits_go_on[receiver-sim-client]",
    ),
    Mutant(
        ("T36", "row 64"),
        "rpc/sync.py",
        "    if runner is None:\n",
        "    if runner is not None:\n",
        _SYNC + "a_handler_that_would_wait_in_its_servers_thread_is_told_who_waits_for_whom",
    ),
    Mutant(
        ("T36", "row 64"),
        "rpc/sync.py",
        "    if runner is None:\n",
        "    if runner is not target.caller.executor:\n",
        _SYNC + "an_executor_does_not_stand_still_for_a_server_of_another",
    ),
    Mutant(
        ("row 64",),
        "executor/threads.py",
        "not (poller.working or poller.notified)",
        "not poller.notified",
        _SYNC + "a_thread_that_waits_for_what_is_still_to_come_is_no_deadlock",
    ),
    Mutant(
        ("row 65",),
        "rpc/session/fairness.py",
        "            queue = high or normal or low\n",
        "            queue = low or normal or high\n",
        _TURNS + "a_flood_of_low_priority_delays_a_high_one_by_at_most_one_turn",
    ),
    Mutant(
        ("row 68",),
        "rpc/memory/lane.py",
        "return int(word) if number == x else None",
        "return int(word)",
        _STATUS + "a_promise_is_seen_kept_or_broken_without_a_frame_or_a_transition",
    ),
    Mutant(
        ("row 68",),
        "rpc/objects/status.py",
        'return "broken" if word >> 8 & ERROR else "fulfilled"',
        'return "fulfilled"',
        _STATUS + "a_promise_is_seen_kept_or_broken_without_a_frame_or_a_transition",
    ),
    Mutant(
        ("row 68",),
        "rpc/objects/status.py",
        "    word = caller.submissions.peek(sent.place, sent.x)\n",
        "    word = caller.submissions.peek(sent.place, sent.x) if sent.state != 1 else None\n",
        _STATUS + "a_status_is_there_before_the_client_has_been_told",
    ),
    Mutant(
        ("row 68",),
        "rpc/memory/lane.py",
        "self._memory().grow().toreadonly()",
        "self._memory().grow()",
        _STATUS + "a_page_that_lies_gives_no_authority",
    ),
    Mutant(
        ("row 70",),
        CALLS_OUT,
        "            self.questions.cancel(question.x)\n            self.peer.cancel(question.x)\n",
        "            self.questions.cancel(question.x)\n            self.questions._last += 1\n"
        "            self.peer.cancel(question.x)\n",
        _CANCEL + "what_is_one_way_takes_no_slot_and_no_id[sim-by_timeout]",
    ),
    Mutant(
        ("row 76",),
        EVENTS,
        "            place = next(iter(self._ready))\n",
        "            place = next(reversed(self._ready))\n",
        _EVENTS + "sources_that_are_ready_come_in_turn",
    ),
    Mutant(
        ("row 90",),
        "rpc/session/subscriptions.py",
        "        words[at + VERSION] = version\n        self._signal()\n",
        "        self._signal()\n        words[at + VERSION] = version\n",
        _EVENTS + "a_state_is_there_before_its_signal",
    ),
    Mutant(
        ("row 119",),
        "pinfut/unboxed/pool.py",
        "        frame = idle.pop()\n",
        "        idle.pop()\n        frame = Frame(free_list.size, free_list)\n",
        "tests/pinfut/unboxed/test_frames.py::"
        "test_a_hundred_thousand_calls_from_a_pool_allocate_nothing_that_stays",
    ),
    # ---- rows that their own test holds, and no rule or trap beside it ----
    Mutant(
        ("row 16",),
        "rpc/memory/ring.py",
        "                    if self.most is not None and length > self.most(frame):\n",
        "                    if False:\n",
        "tests/rpc/test_limits.py::"
        "test_what_is_longer_than_its_method_touches_is_refused_before_it_is_copied",
    ),
    Mutant(
        ("row 27",),
        "executor/loop.py",
        "        self.tasks = tidied(self.tasks)\n",
        "        return\n",
        "tests/hostile/test_slope.py::"
        "test_what_a_client_holds_is_charged_however_much_it_is[open calls]",
    ),
    Mutant(
        ("row 83",),
        "examples/tcp_window.py",
        "            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)\n",
        "            pass\n",
        "tests/examples/test_events.py::"
        "test_no_more_of_a_stream_lies_in_the_system_than_its_receiver_has_bought",
    ),
    Mutant(
        ("row 46",),
        TABLE,
        "            refund(self.account, entry.charged)\n",
        "            pass\n",
        "tests/rpc/test_credit.py::"
        "test_a_bushel_says_which_bank_pays_for_it_and_that_one_does_from_beginning_to_end",
    ),
    Mutant(
        ("row 84",),
        "rpc/kernel/backlog.py",
        "        if waiting >= places:\n",
        "        if False:\n",
        "tests/rpc/test_limits.py::"
        "test_sessions_wait_in_places_that_the_listener_bought_and_beyond_them_are_refused",
    ),
    Mutant(
        ("row 25",),
        "rpc/session/calls_in.py",
        "                frame += more\n",
        "",
        "tests/rpc/test_call_prices.py::"
        "test_what_a_call_is_charged_is_what_was_said_before_it_was_made",
    ),
    Mutant(
        ("row 15",),
        "rpc/bank/bank.py",
        "            if bank.credit is not None:\n                bank.credit.publish()\n",
        "",
        "tests/rpc/test_credit.py::test_a_client_reads_what_its_bank_has_left_without_a_call_and_"
        "only_the_bank_decides",
    ),
    Mutant(
        ("row 10",),
        "rpc/wire/imports.py",
        '            pay(self.account, prices.IMPORT, "a capability received")\n',
        '            self.account.take(prices.IMPORT, "a capability received")\n',
        "tests/rpc/test_release.py::test_an_import_costs_its_client_a_capability",
    ),
    Mutant(
        ("row 12",),
        "rpc/memory/receive.py",
        "        self.dropped += 1\n        return False\n",
        "        return False\n",
        _RECEIVE + "packets_take_what_the_receiver_posted_and_are_dropped_and_counted_beyond",
    ),
    Mutant(
        ("row 23",),
        "rpc/memory/receive.py",
        "            if (one.bank, one.pages) != (packets[0].bank, self.pages) or size not",
        "            if one.pages != self.pages or size not",
        "tests/rpc/contract/test_packets.py::test_of_a_batch_that_cannot_move_nothing_does[sim]",
    ),
    Mutant(
        ("row 23",),
        "rpc/memory/receive.py",
        "            for one in going:\n                one.pin()\n            raise\n",
        "            self._posted.clear()\n            raise\n",
        "tests/rpc/contract/test_packets.py::test_of_a_batch_that_cannot_move_nothing_does[sim]",
    ),
    Mutant(
        ("row 23",),
        "rpc/memory/receive.py",
        "    first.refund(pages)\n",
        "",
        "tests/rpc/contract/test_packets.py::"
        "test_a_batch_moves_by_the_session_without_a_copy_and_is_paid_once[sim]",
    ),
    Mutant(
        ("row 18",),
        KEPT,
        "        if not self.alive and not self._pins:\n            raise SessionDead(",
        "        if False:\n            raise SessionDead(",
        _CHARGING + "what_is_kept_is_charged_and_nothing_of_it_is_reachable_after_the_end",
    ),
    Mutant(
        ("row 20",),
        "rpc/session/charging.py",
        "        if len(things) > safety:\n",
        "        if len(things) > safety + 1:\n",
        _CHARGING + "a_turn_is_bounded_by_the_servers_own_safety_memory",
    ),
    Mutant(
        ("row 31",),
        PAGES,
        "        region.mappings += 1\n",
        "        region.mappings += region.pages\n",
        _RECEIVE + "a_region_is_one_mapping_and_its_pages_can_be_taken_out",
    ),
    Mutant(
        ("row 37",),
        PEER,
        "        called = things.get(target)\n        if called is None:\n",
        "        called = things.get(target) or next(iter(things.values()), None)\n"
        "        if called is None:\n",
        _PEER + "a_call_for_an_object_that_is_not_held_is_refused_alone",
    ),
    Mutant(
        ("row 39",),
        "rpc/session/introduce.py",
        "    way = ways.get(there.end)\n    if",
        "    way = None\n    if",
        _INTRODUCE + "two_servers_have_one_route_however_much_is_introduced_to_them",
    ),
    Mutant(
        ("row 40",),
        "rpc/session/introduce.py",
        "            at.end.withdraw(way.route)\n",
        "            pass\n",
        _INTRODUCE + "whatever_a_leg_lacks_nothing_of_the_introduction_stays",
    ),
    Mutant(
        ("row 43",),
        "rpc/session/prepayment.py",
        "        if state == OWN:\n            self._bank.sell(self.pages)\n",
        "        if state == OWN:\n            pass\n",
        "tests/rpc/test_prepayment.py::"
        "test_a_client_that_allows_nothing_and_one_that_dies_pay_nothing",
    ),
    Mutant(
        ("row 72",),
        "pinfut/slots.py",
        "        x += (slot.index - x) % self.capacity\n",
        "        slot = self._slots[x % self.capacity]\n",
        "tests/pinfut/test_slots.py::"
        "test_counting_x_without_skipping_would_collide_where_the_table_does_not",
    ),
    Mutant(
        ("row 80",),
        "rpc/session/subscriptions.py",
        "        made._kept = keep(made, prices.SUBSCRIPTION)\n",
        "        made._kept = keep(made, 0)\n",
        _EVENTS + "a_subscription_is_paid_by_who_subscribes_and_refunded_once",
    ),
    Mutant(
        ("row 81",),
        EVENTS,
        "        if self._version(place) > self._seen[place] or self._ended(place):\n",
        "        if self._ended(place):\n",
        _EVENTS + "an_event_between_the_look_and_the_arming_comes_at_once",
    ),
    Mutant(
        ("row 87",),
        EVENTS,
        "            if over > 0:\n",
        "            if over > 1:\n",
        _EVENTS + "what_is_written_over_while_it_is_copied_counts_as_lost",
    ),
    Mutant(
        ("row 95",),
        "pinfut/slots.py",
        "            slot.waker = cx.waker\n",
        "            slot.waker = slot.waker or cx.waker\n",
        _SLOTS + "the_newest_waker_is_the_one_that_is_called",
    ),
    Mutant(
        ("row 96",),
        "pinfut/slots.py",
        "        if slot.x != x or slot.state != READY:\n",
        "        if slot.state != READY:\n",
        _SLOTS + "a_future_never_takes_the_result_of_a_later_operation_in_its_slot",
    ),
    Mutant(
        ("row 97",),
        "pinfut/pin.py",
        '    def __copy__(self) -> NoReturn:\n        raise PinError(self._future, "copied")\n',
        "    def __copy__(self) -> Pinned[T_co]:\n        return Pinned(self._future)\n",
        _PIN + "a_pinned_future_may_not_be_copied_or_pickled",
    ),
    Mutant(
        ("row 99",),
        "pinfut/combinators/selecting.py",
        "            if child is not None\n        )\n        self._given = ()\n",
        "            if child is not None\n        )\n"
        "        for one in losers:\n            one.drop()\n        self._given = ()\n",
        "tests/pinfut/test_combinators.py::"
        "test_select_gives_the_winner_and_leaves_the_losers_where_they_are",
    ),
    Mutant(
        ("row 106",),
        "pinfut/slots.py",
        "        slot.value = None\n        slot.waker = None\n        self.free.append(slot)\n",
        "        slot.waker = None\n        self.free.append(slot)\n",
        _SLOTS + "a_free_slot_holds_neither_value_nor_waker",
    ),
    Mutant(
        ("row 117",),
        "examples/lessons/echo_on_executor.py",
        "            if self.table.complete(val, total):\n",
        "            if self.table.complete(min(s.x for s in self.table.taken()), total):\n",
        "tests/examples/lessons/test_echo.py::test_each_call_gets_its_own_answer_in_any_order",
    ),
    Mutant(
        ("row 130",),
        "pinfut/unboxed/frame.py",
        "        if self._value is _NO_RESULT:\n            raise RuntimeError(",
        "        if True:\n            raise RuntimeError(",
        _FRAMES + "the_result_is_read_without_resuming",
    ),
    Mutant(
        ("row 131",),
        "pinfut/unboxed/frame.py",
        "        if needed > self.size:\n",
        "        if needed > self.size + 8:\n",
        _FRAMES + "a_frame_that_is_too_small_traps_before_anything_is_written",
    ),
    Mutant(
        ("row 5",),
        "rpc/bank/share.py",
        "        leaves = self._leaves if pages else 0\n",
        "        leaves = self._leaves if pages else 0\n"
        "        from pinfut import sync\n\n        sync.Lock()\n",
        "tests/rpc/bank/test_charges_call_nobody.py::"
        "test_nothing_that_is_charged_calls_anybody_whether_it_is_paid_or_refused",
    ),
    Mutant(
        ("row 78",),
        EVENTS,
        "            if buffer.notification.park(cx.waker):\n                return PENDING\n",
        "            return PENDING\n",
        "tests/rpc/test_one_wait.py::"
        "test_one_wait_is_told_of_an_answer_an_event_a_socket_and_a_time_in_any_order",
    ),
    Mutant(
        ("row 109",),
        SESSION,
        "                self.round_trips += 1\n",
        "                self.round_trips += 1\n"
        "                self.subscriptions[-self.round_trips] = None\n",
        "tests/rpc/test_steady_state.py::test_calls_that_come_and_go_keep_not_a_byte",
    ),
    Mutant(
        ("row 3",),
        FUNDS,
        "caps=quota.caps, funded=True, no_remove=True)",
        "caps=quota.caps, no_remove=True)",
        "tests/rpc/contract/test_money.py::"
        "test_a_donation_is_bought_at_once_and_is_all_that_the_session_has",
    ),
    Mutant(
        ("row 26",),
        "rpc/vat.py",
        "            badges = await process.wait()\n",
        "            badges = await process.wait()\n"
        "            badges += [one.handle & 0xFFFF_FFFF for one in self._sessions]\n",
        _TURNS + "idle_sessions_are_never_looked_at",
    ),
    Mutant(
        ("row 33",),
        "rpc/memory/lane.py",
        "        if room <= self.small and self.places:\n",
        "        if room <= self.small and len(self.places) > 1:\n",
        "tests/rpc/memory/test_lane.py::"
        "test_answers_stand_in_places_of_their_own_and_pages_follow_concurrency",
    ),
    Mutant(
        ("row 33",),
        "rpc/contract.py",
        "        return min(self.slots, self.least[0]), min(self.ring, self.least[1])\n",
        "        return self.slots, self.ring\n",
        _GROWING + "what_a_session_costs_is_what_it_uses_whatever_it_asked_for",
    ),
    Mutant(
        ("row 33",),
        "rpc/session/room.py",
        "        if self._most * _LITTLE <= slots:\n            slots //= 2\n",
        "",
        _GROWING + "it_grows_and_shrinks_under_calls_that_end_in_any_order",
    ),
    Mutant(
        ("row 34",),
        "rpc/memory/ring.py",
        "            if seen == head:\n",
        "            if seen >= head:\n",
        "tests/rpc/contract/test_growing.py::"
        "test_what_was_submitted_before_is_read_before_and_answers_keep_their_order",
    ),
    Mutant(
        ("row 74",),
        PEER,
        "        except IndexError:\n            raise self._unbought(x) from None\n",
        "        except IndexError:\n            answer = answers[0]\n",
        _GROWING + "who_lies_about_its_size_ends_its_own_session_and_nothing_else",
    ),
    Mutant(
        ("row 74",),
        PEER,
        '            if answer.state != FREE:\n                raise SlotInUse(f"the slot of',
        '            if False:\n                raise SlotInUse(f"the slot of',
        _GROWING + "who_lies_about_its_size_ends_its_own_session_and_nothing_else",
    ),
    Mutant(
        ("row 74",),
        PEER,
        "off_call(lambda: [Answer(self._callee, self._newest) for",
        "off_call(lambda: [Answer(self._callee) for",
        _PEER + "ids_of_a_slot_that_comes_again_only_go_up",
    ),
    Mutant(
        ("row 53",),
        "rpc/kernel/sim/capset.py",
        "        self._generations[index] += 1\n",
        "",
        "tests/rpc/kernel/test_capset.py::test_a_handle_names_one_object_for_ever_or_nothing",
    ),
    Mutant(
        ("row 74",),
        PEER,
        "        if answer.state or x <= answer.x or room < MIN_ROOM or length != len(frame):\n"
        "            raise self._improper(answer, x, room)\n        answer.x = x\n",
        "        if answer.state or room < MIN_ROOM or length != len(frame):\n"
        "            raise self._improper(answer, x, room)\n        answer.x = x\n",
        _PEER + "ids_of_a_slot_only_go_up",
    ),
    Mutant(
        ("row 103",),
        "pinfut/checked.py",
        "            call._live = False\n            spent",
        "            spent",
        _LAWS + "a_context_used_after_its_poll_is_named",
    ),
    Mutant(
        ("row 103",),
        "pinfut/checked.py",
        "        child._parent = self\n",
        "",
        _LAWS + "a_derived_context_ends_with_the_one_that_it_came_from",
    ),
    Mutant(
        ("row 101", "T9"),
        "pinfut/combinators/group.py",
        "        woken.keys[self._key] = None\n",
        "        woken.keys = {self._key: None}\n",
        _COMBINATORS + "a_poll_sees_each_event_that_came_since_the_last_one_once",
    ),
    Mutant(
        ("row 101",),
        "pinfut/combinators/events.py",
        "        events, woken.keys = woken.keys, {}\n",
        "        events = woken.keys\n",
        _COMBINATORS + "a_poll_sees_each_event_that_came_since_the_last_one_once",
    ),
    Mutant(
        ("row 112",),
        "executor/loop.py",
        "                            cx.waker = nobody\n                            if value",
        "                            if value",
        _LAWS + "a_context_that_is_kept_is_dead_in_every_mode",
    ),
    Mutant(
        ("row 112",),
        "pinfut/poll.py",
        '        raise ContextKept("a Context cannot be copied. Keep cx.waker, never cx")\n',
        "        return object.__reduce_ex__(self, 2)\n",
        _LAWS + "only_an_executor_makes_a_context_and_nobody_copies_one",
    ),
    Mutant(
        ("row 129",),
        "rpc/objects/handlers.py",
        "layout(function).called\n",
        "layout(function).called + 8\n",
        "tests/rpc/test_handlers.py::"
        "test_an_unboxed_handler_is_charged_what_its_frame_takes_to_the_byte",
    ),
    Mutant(
        ("row 132",),
        CALLS_IN,
        "        elif held > frame:\n",
        "        elif held > 0:\n",
        "tests/rpc/test_handlers.py::"
        "test_a_handler_that_holds_what_was_charged_is_charged_nothing_more",
    ),
    Mutant(
        ("row 132",),
        CALLS_IN,
        "            if held + WAIT < frame and method.declared_frame is None:\n",
        "            if held < 0:\n",
        "tests/rpc/test_handlers.py::"
        "test_a_handler_of_which_nothing_is_known_pays_what_it_holds_once_it_waits",
    ),
    Mutant(
        ("row 132",),
        CALLS_IN,
        "            held = held_by(coro) + frame - method.frame\n",
        "            held = held_by(coro)\n",
        "tests/rpc/test_handlers.py::"
        "test_a_handler_of_which_nothing_is_known_pays_what_it_holds_once_it_waits",
    ),
    Mutant(
        ("row 27",),
        "rpc/prices.py",
        "EXPORT: Final = 496\n",
        "EXPORT: Final = 208\n",
        "tests/rpc/bank/test_prices.py::test_an_entry_of_a_bushel",
    ),
    Mutant(
        ("row 36",),
        "benches/compare/bushels.py",
        "        if pages is None or not pages.get(at, 0) >> place & 1:\n",
        "        if pages is None or at not in pages:\n",
        _COMPARE + "a_bushel_names_what_was_given_and_nothing_else",
    ),
    Mutant(
        ("row 44",),
        "benches/compare/bushels.py",
        "        if self._tags[number & _INDEX] != client:\n",
        "        if not self._tags:\n",
        _COMPARE + "a_bushel_names_what_was_given_and_nothing_else",
    ),
    Mutant(
        ("row 47",),
        "benches/compare/bushels.py",
        "        del self.things[number]\n        self._free.append(number + (1 << _INDEX_BITS))\n",
        "        del self.things[number]\n        self._free.append(number)\n",
        _COMPARE + "a_bushel_names_what_was_given_and_nothing_else",
    ),
    Mutant(
        ("row 50",),
        "benches/compare/queues.py",
        "self._serving.begin(x, data, on - 1 if on else None)\n",
        "self._serving.begin(x, data, None)\n",
        _COMPARE + "each_design_gives_the_same_answers",
    ),
    Mutant(
        ("row 66",),
        "benches/compare/objects.py",
        "self._serving.begin(x, data, on - 1 if on else None)\n",
        "self._serving.begin(x, data, None)\n",
        _COMPARE + "each_design_gives_the_same_answers",
    ),
    Mutant(
        ("row 94",),
        "benches/compare/slots.py",
        "self._serving.begin(x, data, on - 1 if on else None)\n",
        "self._serving.begin(x, data, None)\n",
        _COMPARE + "each_design_gives_the_same_answers",
    ),
    # ---- found to survive once ----
    Mutant(
        ("T31",),
        "rpc/session/returns.py",
        "                del early  # or its traceback would keep it\n",
        "                pass\n",
        "tests/rpc/test_pipelining.py::"
        "test_an_error_that_was_read_before_it_was_taken_keeps_nothing_alive",
    ),
)
