"""Rows about memory: who pays for what a server holds."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows.row import Row

_RULES: Final = "tests/rpc/bank/test_bank_rules.py::test_"
_CHARGING: Final = "tests/rpc/test_charging.py::test_"
_MEMORY: Final = "tests/rpc/test_memory.py::test_"
_QUOTA: Final = "tests/rpc/test_quota.py::test_"
_RECEIVE: Final = "tests/rpc/memory/test_receive.py::test_"

ROWS: Final = (
    Row(
        1,
        1,
        "What a server holds for a client is bought from that client's bank, and the books add up",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_bank_tree.py::test_whatever_happens_usage_is_the_sum_of_what_is_owned",
        "rule 1",
    ),
    Row(
        2,
        2,
        "No client takes back what is in use: a destroy waits for it",
        "rpc/bank/owned.py",
        _RULES + "a_destroy_waits_for_what_is_in_use_and_for_nothing_else",
        "T21",
    ),
    Row(
        3,
        3,
        "The server may charge a session up to its ceiling without asking, and holds nothing more",
        "rpc/bank/funds.py",
        "tests/rpc/contract/test_money.py::"
        "test_a_donation_is_bought_at_once_and_is_all_that_the_session_has",
        "row 3",
    ),
    Row(
        4,
        4,
        "What cannot be paid fails by name, leaves nothing half done, and the session goes on",
        "rpc/objects/capabilities.py",
        _MEMORY + "objects_of_a_list_that_cannot_be_paid_are_handed_out_all_or_none",
        "rule 34",
    ),
    Row(
        5,
        6,
        "A charge never waits for another process: it changes the books, and calls nobody",
        "rpc/bank/bank.py",
        "tests/rpc/bank/test_charges_call_nobody.py::"
        "test_nothing_that_is_charged_calls_anybody_whether_it_is_paid_or_refused",
        "row 5",
    ),
    Row(
        6,
        8,
        "Every operation of a bank ends: depth is bounded, and a large destroy goes in steps",
        "rpc/bank/teardown.py",
        _RULES + "ten_thousand_objects_are_destroyed_in_bounded_steps_with_right_answers_between",
        "rule 25",
    ),
    Row(
        7,
        8,
        "A small bank may be refilled when a request is refused, and the request made again",
        "rpc/refill.py",
        _QUOTA + "a_request_that_is_never_paid_for_is_given_up_after_the_bound",
        "rule 16",
    ),
    Row(
        8,
        9,
        "Who waits for pages is told once when they are there; no queue grows",
        "rpc/bank/freed.py",
        _RULES + "who_waits_for_pages_is_told_once_and_not_too_early",
        "row 8",
    ),
    Row(
        9,
        11,
        "State that sessions share is stored once, and each of them pays for the whole of it",
        "rpc/session/shared.py",
        _CHARGING + "shared_state_is_stored_once_and_each_subscriber_pays_for_all_of_it",
        "row 9",
    ),
    Row(
        10,
        15,
        "What is only lent to a server takes a place there too, and the lender pays for it",
        "rpc/wire/imports.py",
        "tests/rpc/test_release.py::test_an_import_costs_its_client_a_capability",
        "row 10",
    ),
    Row(
        11,
        15,
        "Messages that wait may hold capabilities, each in a place that was paid before",
        "rpc/memory/side_table.py",
        "tests/rpc/contract/test_capabilities.py::"
        "test_entries_are_bought_before_anything_lies_in_them_and_sold_when_empty",
        "row 11",
    ),
    Row(
        12,
        18,
        "Packets take buffers that their receiver has posted; the others are dropped, counted",
        "rpc/memory/receive.py",
        _RECEIVE + "packets_take_what_the_receiver_posted_and_are_dropped_and_counted_beyond",
        "row 12",
    ),
    Row(
        13,
        20,
        "A call is sent when the room for its answer is bought, so that an answer never fails",
        "rpc/memory/lane.py",
        _MEMORY + "a_call_whose_answer_cannot_be_paid_is_not_sent_and_succeeds_after_a_refill",
    ),
    Row(
        14,
        22,
        "Transfers of credit may wait in a queue, reserved, for anybody to carry out in order",
        "rpc/bank/transfers.py",
        _RULES + "transfers_in_a_queue_are_reserved_and_flushed_by_anyone_in_order",
        "T14",
    ),
    Row(
        15,
        22,
        "A page tells what a bank has left without a call; it advises, and the bank decides",
        "rpc/bank/credit_page.py",
        "tests/rpc/test_credit.py::test_a_client_reads_what_its_bank_has_left_without_a_call_and_"
        "only_the_bank_decides",
        "row 15",
    ),
    Row(
        16,
        24,
        "What a message brings is copied once, checked, and then used as it was copied",
        "rpc/memory/ring.py",
        "tests/rpc/memory/test_ring.py::"
        "test_a_body_is_copied_once_and_what_was_copied_is_what_is_used",
        "row 16",
    ),
    Row(
        17,
        25,
        "What a piece of work uses is kept until it ends, and cannot be freed or sold meanwhile",
        "rpc/memory/pages.py",
        "tests/rpc/memory/test_hold.py::"
        "test_a_short_hold_costs_nothing_and_loses_no_quota_in_any_order_beside_a_lasting_one",
        "rule 45",
    ),
    Row(
        18,
        28,
        "Things kept for a client are reached through a reference that raises once they are gone",
        "rpc/session/kept.py",
        _CHARGING + "what_is_kept_is_charged_and_nothing_of_it_is_reachable_after_the_end",
        "row 18",
    ),
    Row(
        19,
        29,
        "Reading what is gone raises; writing to it is dropped and counted",
        "rpc/session/kept.py",
        _CHARGING + "a_session_that_ends_in_the_midst_of_a_turn_takes_nothing_from_under_it",
        "T12",
    ),
    Row(
        20,
        31,
        "A piece of work may pin so much as the server has memory of its own to stand in for it",
        "rpc/session/charging.py",
        _CHARGING + "a_turn_is_bounded_by_the_servers_own_safety_memory",
        "row 20",
    ),
    Row(
        21,
        42,
        "Pages are what is bought; bytes are counted inside of them, and an empty page goes back",
        "rpc/bank/account.py",
        "tests/rpc/bank/test_account.py::"
        "test_a_account_holds_what_was_taken_in_the_pages_that_it_pays",
        "T38",
    ),
    Row(
        22,
        45,
        "A server that calls another spends its caller's memory, within a ceiling for each call",
        "rpc/bank/funds.py",
        _CHARGING + "what_a_nested_server_holds_counts_against_the_first_payer",
        "rule 42",
    ),
    Row(
        23,
        48,
        "Packets move by the session in one batch: pages change owner, all or none, and no copy",
        "rpc/memory/receive.py",
        "tests/rpc/contract/test_packets.py::test_of_a_batch_that_cannot_move_nothing_does",
        "row 23",
    ),
    Row(
        24,
        53,
        "A server that paid for a client in advance is refunded, once, within what was allowed",
        "rpc/session/prepayment.py",
        "tests/rpc/test_prepayment.py::test_a_charge_stands_on_one_bank_and_moves_at_most_once",
        "T5",
    ),
    Row(
        25,
        63,
        "Whatever a call makes a server allocate is charged to the caller, at a price that is told",
        "rpc/lab/calls.py",
        "tests/rpc/test_call_prices.py::"
        "test_what_a_call_is_charged_is_what_was_said_before_it_was_made",
        "row 25",
    ),
    Row(
        26,
        64,
        "A session that is idle costs its server nothing in a turn; ready ones share by bytes",
        "rpc/session/fairness.py",
        "tests/rpc/test_turns.py::test_idle_sessions_are_never_looked_at",
        "row 26",
    ),
    Row(
        27,
        67,
        "The tables that grow in a server are charged by what they take when they are emptiest",
        "rpc/prices.py",
        "tests/rpc/bank/test_prices.py::test_an_entry_of_a_bushel",
        "row 27",
    ),
    Row(
        28,
        82,
        "The queue to a server is bought by the client that fills it, whole or not at all",
        "rpc/bank/funds.py",
        "tests/rpc/kernel/test_channel.py::test_a_channel_is_bought_whole_or_not_at_all",
        "T20",
    ),
    Row(
        29,
        88,
        "Servers neither block on a full ring nor grow unpaid: room is bought before",
        "rpc/session/session.py",
        "tests/rpc/test_reverse.py::test_two_that_call_each_other_with_full_rings_both_go_on",
        "T36",
    ),
    Row(
        30,
        94,
        "Pages come from the kernel alone; who did not buy them cannot sell them, and nobody twice",
        "rpc/bank/bank.py",
        _RULES + "only_the_bank_that_bought_pages_can_sell_them_and_every_capability_dies",
        "rule 7",
    ),
    Row(
        31,
        96,
        "Memory in one piece is bought as one, mapped once, and pages can be taken out of it",
        "rpc/memory/pages.py",
        _RECEIVE + "a_region_is_one_mapping_and_its_pages_can_be_taken_out",
        "row 31",
    ),
    Row(
        32,
        164,
        "While a server works for a client, what it allocates lies in pages of that client's",
        "pinfut/payers.py",
        "tests/payers/test_accounts.py::"
        "test_what_is_made_while_a_payer_is_current_lies_in_its_pages_until_it_goes",
    ),
    Row(
        33,
        281,
        "Slots, rings and pages for answers are bought when more calls run at once, and go back",
        "rpc/session/room.py",
        "tests/rpc/test_growing.py::"
        "test_what_a_session_costs_is_what_it_uses_whatever_it_asked_for",
        "row 33",
    ),
    Row(
        34,
        143,
        "A ring grows while calls are under way: the old one is emptied before the next one",
        "rpc/memory/lane.py",
        "tests/rpc/contract/test_growing.py::"
        "test_what_was_submitted_before_is_read_before_and_answers_keep_their_order",
        "row 34",
    ),
)
