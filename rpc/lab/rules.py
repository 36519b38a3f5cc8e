"""The rules of paying kernels that this project holds itself to, each with the test that holds it.

docs/banks.md shows the same table, and a test of the house checks both against the tests.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Rule(NamedTuple):
    """One rule. `where`: the file that keeps it; `test`: the test that fails when it is broken,
    as pytest names it."""

    number: int
    text: str
    where: str
    test: str

    def row(self) -> str:
        """The line of a Markdown table."""
        return f"| {self.number} | {self.text} | `{self.where}` | `{self.test}` |"


RULES: Final = (
    Rule(
        1,
        "An allocation debits the bank and every ancestor; the tightest limit wins",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned",
    ),
    Rule(
        2,
        "An ancestor's refusal undoes all debits",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned",
    ),
    Rule(
        3,
        "Allocating or freeing several objects is all-or-nothing",
        "rpc/memory/pages.py",
        "tests/rpc/bank/test_bank_rules.py::test_several_regions_are_handed_over_all_or_none",
    ),
    Rule(
        4,
        "Destroy reclaims every object and sub-bank",
        "rpc/bank/teardown.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_ten_thousand_objects_are_destroyed_in_bounded_steps_with_right_answers_between",
    ),
    Rule(
        5,
        "Remove passes ownership to the parent with no re-accounting",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned",
    ),
    Rule(
        6,
        "`no_remove` forbids gifting storage to a parent",
        "rpc/bank/handle.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_no_remove_keeps_an_attacker_from_giving_its_memory_to_a_parent",
    ),
    Rule(
        7,
        "Only the owning bank frees; freeing kills every capability",
        "rpc/memory/pages.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_only_the_bank_that_bought_pages_can_sell_them_and_every_capability_dies",
    ),
    Rule(
        8,
        "A new object's capability is the only one to it",
        "rpc/memory/pages.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_a_new_region_has_one_capability_and_so_has_one_that_was_handed_over",
    ),
    Rule(
        9,
        "`verify` tells a real bank from a fake",
        "rpc/bank/handle.py",
        "tests/rpc/bank/test_bank_rules.py::test_a_kernel_tells_its_banks_from_every_fake",
    ),
    Rule(
        10,
        "Restrictions only accumulate",
        "rpc/bank/handle.py",
        "tests/rpc/bank/test_bank_rules.py::test_a_handle_can_only_be_made_weaker",
    ),
    Rule(
        11,
        "A limit below usage is allowed; available is then 0, never negative",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned",
    ),
    Rule(
        12,
        "The effective limit includes the bank's own limit",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned",
    ),
    Rule(
        13,
        "A bank's own metadata is charged to it",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_what_a_bank_keeps_about_itself_comes_out_of_its_limit",
    ),
    Rule(
        14,
        "A session that cannot be paid for fails before it exists",
        "rpc/kernel/sim/channel.py",
        "tests/rpc/test_quota.py::test_a_session_that_cannot_be_paid_for_does_not_exist",
    ),
    Rule(
        15,
        '"Payer exhausted" and "donation too small" are two errors',
        "rpc/kernel/sim/channel.py",
        "tests/rpc/test_quota.py::test_a_session_that_cannot_be_paid_for_does_not_exist",
    ),
    Rule(
        16,
        "Upgrade and retry, bounded attempts",
        "rpc/refill.py",
        "tests/rpc/test_quota.py::"
        "test_a_refused_request_is_refilled_for_and_succeeds_on_the_nth_attempt",
    ),
    Rule(
        17,
        "A quota transfer is transactional",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_a_transfer_that_fails_at_any_step_leaves_every_sum_as_it_was",
    ),
    Rule(
        18,
        "Only unused quota leaves an account",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_rules.py::test_only_what_is_unused_leaves_an_account",
    ),
    Rule(
        19,
        "A session's donation can never be spent elsewhere, so it can return at close",
        "rpc/kernel/sim/channel.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_what_was_donated_cannot_be_spent_elsewhere_and_returns",
    ),
    Rule(
        20,
        "Transfers go only to and from the reference account",
        "rpc/bank/transfers.py",
        "tests/rpc/bank/test_bank_rules.py::test_transfers_between_siblings_are_refused",
    ),
    Rule(
        21,
        "Close returns the donation and the metadata cost",
        "rpc/kernel/sim/channel.py",
        "tests/rpc/test_quota.py::"
        "test_closing_a_session_returns_its_donation_and_what_its_books_cost",
    ),
    Rule(
        22,
        "Capabilities are a second quota",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_rules.py::test_capabilities_are_a_second_quota",
    ),
    Rule(
        23,
        "A yield request is a friendly request, not revocation",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_rules.py::test_who_is_asked_to_give_memory_back_may_refuse",
    ),
    Rule(
        24,
        "Memory is reused only when no capability remains, and zeroed",
        "rpc/memory/pages.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_memory_that_is_bought_again_shows_nothing_and_old_capabilities_stay_dead",
    ),
    Rule(
        25,
        "Revoking is preemptible",
        "rpc/bank/teardown.py",
        "tests/rpc/bank/test_bank_rules.py::"
        "test_ten_thousand_objects_are_destroyed_in_bounded_steps_with_right_answers_between",
    ),
    Rule(
        26,
        "A signal ORs its badge in; a wait reads and zeroes",
        "rpc/memory/notification.py",
        "tests/rpc/memory/test_notification.py::test_badges_are_seen_once_sorted_and_none_is_lost",
    ),
    Rule(
        27,
        "One wait covers notifications and messages",
        "rpc/vat.py",
        "tests/rpc/test_vats.py::test_a_vat_may_serve_several_services_and_be_its_own_client",
    ),
    Rule(
        28,
        "Replying never blocks; the caller's death kills its reply capability",
        "rpc/session/calls_in.py",
        "tests/rpc/test_death.py::"
        "test_when_the_client_dies_its_handlers_are_cancelled_and_its_bank_is_whole",
    ),
    Rule(
        29,
        "A capability to an own object unwraps to that object",
        "rpc/objects/capabilities.py",
        "tests/rpc/test_calls.py::test_an_own_object_keeps_its_identity_on_a_round_trip",
    ),
    Rule(
        30,
        "What a sender buffers is bounded by what it pays",
        "rpc/session/backlog.py",
        "tests/rpc/test_memory.py::test_more_calls_than_slots_wait_paid_and_all_complete",
    ),
    Rule(
        31,
        "A capability has its place before it is sent",
        "rpc/wire/exports.py",
        "tests/rpc/wire/test_bushel.py::test_an_object_that_cannot_be_paid_is_not_handed_out",
    ),
    Rule(
        32,
        "An id differs from every id in progress",
        "pinfut/slots.py",
        "tests/rpc/test_calls.py::test_answers_come_in_any_order_each_to_its_own_call",
    ),
    Rule(
        33,
        "A reply after its deadline is handled, and its capabilities released",
        "rpc/session/returns.py",
        "tests/rpc/test_cancel.py::test_the_capabilities_of_a_late_reply_are_released",
    ),
    Rule(
        34,
        "Capabilities move all or nothing, on any error",
        "rpc/objects/capabilities.py",
        "tests/rpc/test_memory.py::test_a_refused_call_with_capabilities_hands_nothing_out",
    ),
    Rule(
        35,
        "One record for each wait; observations are ORed; cancel removes what is queued",
        "rpc/memory/event_buffer.py",
        "tests/rpc/test_events.py::test_events_equal_their_model_in_any_history",
    ),
    Rule(
        36,
        "No global cap stands in for payment",
        "rpc/bank/account.py",
        "tests/hostile/test_slope.py::test_what_a_client_holds_is_charged_however_much_it_is",
    ),
    Rule(
        37,
        "Completion overflow cannot happen",
        "rpc/memory/lane.py",
        "tests/hostile/test_scenarios.py::"
        "test_more_answers_than_slots_end_the_session_and_overwrite_nothing",
    ),
    Rule(
        38,
        "What gives several events ends with exactly one last",
        "rpc/session/subscriptions.py",
        "tests/rpc/test_events.py::test_events_equal_their_model_in_any_history",
    ),
    Rule(
        39,
        "Cancel has its own completion; the slot is free only after the target's",
        "rpc/session/calls_in.py",
        "tests/rpc/test_cancel.py::"
        "test_the_slot_of_a_cancelled_call_is_taken_until_the_handler_acknowledges",
    ),
    Rule(
        40,
        "An id is free after the Return came and the Finish went",
        "rpc/wire/peer.py",
        "tests/rpc/wire/test_peer.py::test_a_slot_that_waits_for_its_finish_is_in_use",
    ),
    Rule(
        41,
        "A disconnect drops all four tables",
        "rpc/wire/peer.py",
        "tests/rpc/wire/test_peer.py::test_close_refunds_everything_in_the_midst_of_everything",
    ),
    Rule(
        42,
        "What a nested server holds counts against the first payer; returns never wait for credit",
        "rpc/session/serving.py",
        "tests/rpc/test_charging.py::"
        "test_what_a_nested_server_holds_counts_against_the_first_payer",
    ),
    Rule(
        43,
        "Books are whole at every remaining depth of the stack",
        "pinfut/stack.py",
        "tests/rpc/bank/test_bank_stack.py::test_an_operation_without_stack_changes_nothing",
    ),
    Rule(
        44,
        "A lasting hold charges its holder the whole, once; the owner's free takes nobody's hold",
        "rpc/memory/pages.py",
        "tests/rpc/memory/test_hold.py::"
        "test_an_owner_that_frees_is_refunded_at_once_and_takes_nobodys_hold",
    ),
    Rule(
        45,
        "A short hold is free and ends with the work; racing a lasting one loses no quota",
        "rpc/bank/owned.py",
        "tests/rpc/memory/test_hold.py::"
        "test_a_short_hold_costs_nothing_and_loses_no_quota_in_any_order_beside_a_lasting_one",
    ),
    Rule(
        46,
        "What the kernel keeps in an account survives that everything is freed",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_asking.py::"
        "test_what_the_kernel_keeps_in_a_bank_survives_that_everything_is_freed",
    ),
    Rule(
        47,
        "Who must not fail later can ask first whether it may free or pay",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_asking.py::"
        "test_who_asked_first_whether_it_may_pay_or_free_is_not_refused",
    ),
    Rule(
        48,
        "A waiter knows which shortage it waits for: the machine's or its quota's",
        "rpc/bank/freed.py",
        "tests/rpc/bank/test_bank_asking.py::"
        "test_who_waits_knows_whose_shortage_it_is_and_is_woken_when_that_one_ends",
    ),
    Rule(
        49,
        "What is kept for a client has a fixed type and refuses re-entry; what is swapped is whole",
        "rpc/session/subscriptions.py",
        "tests/rpc/test_grants.py::"
        "test_a_subscription_that_is_swapped_is_heard_no_more_or_is_not_swapped",
    ),
    Rule(
        50,
        "What one message makes the server copy or hold is bounded per message",
        "rpc/memory/ring.py",
        "tests/hostile/test_amplification.py::"
        "test_what_one_message_makes_a_server_hold_is_bounded_by_its_length",
    ),
    Rule(
        51,
        "What is freed under another payer or thread drifts nothing",
        "rpc/session/kept.py",
        "tests/rpc/test_drift.py::"
        "test_what_is_freed_under_another_payer_or_in_another_thread_drifts_nothing",
    ),
    Rule(
        52,
        "A shared value whose other holders have gone is charged to the last",
        "rpc/session/shared.py",
        "tests/rpc/test_charging.py::"
        "test_shared_state_goes_with_the_last_who_pays_for_it_in_whatever_order_they_leave",
    ),
)
