"""Rows about bushels and capabilities: who may name what, and who pays for the name."""

from __future__ import annotations

from typing import Final

from pinfut.rpc.lab.rows.row import Row

_BUSHEL: Final = "tests/rpc/wire/test_bushel.py::test_"
_INTRODUCE: Final = "tests/rpc/test_introduce.py::test_"
_SHARED: Final = "tests/rpc/test_shared_exports.py::test_"
_COMPARE: Final = "tests/benches/test_compare.py::test_"
_TABLES: Final = _COMPARE + "a_bushel_names_what_was_given_and_nothing_else"

ROWS: Final = (
    Row(
        35,
        13,
        "A capability is sent when its place at the receiver is paid; else the message is not sent",
        "rpc/wire/exports.py",
        _BUSHEL + "an_object_that_cannot_be_paid_is_not_handed_out",
        "rule 31",
    ),
    Row(
        36,
        33,
        "Pages with a bit for each object that a client may name: compared, and not taken",
        "benches/compare/bushels.py",
        _TABLES,
        "row 36",
    ),
    Row(
        37,
        34,
        "Who holds the ring may use what was handed out over it, and nothing else",
        "rpc/wire/peer.py",
        "tests/rpc/wire/test_peer.py::test_a_call_for_an_object_that_is_not_held_is_refused_alone",
        "row 37",
    ),
    Row(
        38,
        37,
        "A client introduces two servers to each other; it pays, and then they talk directly",
        "rpc/session/introduce.py",
        _INTRODUCE + "what_was_introduced_is_called_directly_and_the_client_sees_nothing_of_it",
    ),
    Row(
        39,
        38,
        "There is one way between two servers for each client, however much is introduced",
        "rpc/session/introduce.py",
        _INTRODUCE + "two_servers_have_one_route_however_much_is_introduced_to_them",
        "row 39",
    ),
    Row(
        40,
        39,
        "Each half of an introduction is paid by its own bank; if either fails, nothing stays",
        "rpc/session/introduce.py",
        _INTRODUCE + "whatever_a_leg_lacks_nothing_of_the_introduction_stays",
        "row 40",
    ),
    Row(
        41,
        50,
        "References are counted where they are; the server is told in batches, with the count seen",
        "rpc/wire/exports.py",
        "tests/rpc/test_calls.py::test_an_object_is_released_at_the_server_when_its_proxy_is_gone",
        "row 41",
    ),
    Row(
        42,
        52,
        "One table of objects for a client and bank: in each session an object has one number",
        "rpc/wire/export_table.py",
        _SHARED + "an_object_has_one_number_in_both_sessions_and_is_charged_once",
        "row 42",
    ),
    Row(
        43,
        53,
        "No bank need be shared: who allows no refund, or dies, pays none",
        "rpc/session/prepayment.py",
        "tests/rpc/test_prepayment.py::"
        "test_a_client_that_allows_nothing_and_one_that_dies_pay_nothing",
        "row 43",
    ),
    Row(
        44,
        55,
        "One allocation for all bushels with a tag on each object: compared, and not taken",
        "benches/compare/bushels.py",
        _TABLES,
        "row 44",
    ),
    Row(
        45,
        58,
        "An object is an index and a generation; no number is used for a second object",
        "rpc/wire/export_table.py",
        _BUSHEL + "a_bushel_names_each_object_by_one_id_and_no_id_twice",
        "row 45",
    ),
    Row(
        46,
        59,
        "A bushel is charged to one bank from its beginning to its end",
        "rpc/wire/exports.py",
        "tests/rpc/test_credit.py::"
        "test_a_bushel_says_which_bank_pays_for_it_and_that_one_does_from_beginning_to_end",
        "row 46",
    ),
    Row(
        47,
        60,
        "A bushel as a map and as a slab: compared; a map is taken in Python, a slab in C",
        "benches/compare/bushels.py",
        _TABLES,
        "row 47",
    ),
    Row(
        48,
        73,
        "A number may be used again without the kernel's help: generation, and a release that acks",
        "rpc/wire/export_table.py",
        _BUSHEL + "no_index_stands_for_two_objects_at_once",
        "T3",
    ),
    Row(
        49,
        75,
        "Kernel capabilities name sessions; objects are numbers in messages, each with what it is",
        "rpc/objects/capabilities.py",
        "tests/rpc/test_facets.py::"
        "test_no_number_reaches_a_method_of_an_interface_that_was_not_granted",
    ),
    Row(
        50,
        76,
        "Queues as objects of the kernel, built beside the rings and compared with them",
        "benches/compare/queues.py",
        _COMPARE + "each_design_gives_the_same_answers",
        "row 50",
    ),
    Row(
        51,
        80,
        "To copy, compare and drop a reference, for the last time too, enters no kernel",
        "rpc/session/calls_out.py",
        _INTRODUCE + "clone_drop_and_compare_are_no_kernel_transitions",
        "row 51",
    ),
    Row(
        52,
        84,
        "Data in shared memory, capabilities in a side table of the kernel, checked when sent",
        "rpc/memory/side_table.py",
        "tests/rpc/test_forged.py::"
        "test_no_bytes_in_the_ring_make_a_server_see_what_was_not_handed_over",
        "row 52",
    ),
    Row(
        53,
        86,
        "A set of capabilities in the kernel: an index for each, used again under another number",
        "rpc/kernel/sim/capset.py",
        "tests/rpc/kernel/test_capset.py::test_a_handle_names_one_object_for_ever_or_nothing",
        "row 53",
    ),
    Row(
        54,
        90,
        "What stands in a list of the kernel's is taken out when its memory is destroyed",
        "rpc/kernel/sim/channel.py",
        "tests/rpc/contract/test_money.py::"
        "test_both_sides_hear_that_the_bank_is_being_destroyed_and_it_waits_for_them",
    ),
    Row(
        55,
        92,
        "A parent opens for its child; who has an empty bank makes no server allocate anything",
        "examples/sandbox.py",
        "tests/examples/test_sandbox.py::"
        "test_a_child_without_pages_makes_no_server_but_its_parents_hold_anything",
        "row 55",
    ),
    Row(
        56,
        99,
        "Parts of a space of capabilities are not shared; an import that can only read stands in",
        "rpc/objects/capabilities.py",
        "tests/rpc/test_read_only.py::test_an_import_that_can_only_read_is_read_and_never_written",
        "row 56",
    ),
    Row(
        57,
        101,
        "A parameter may demand an object of one's own, or of this session; others are refused",
        "rpc/objects/demands.py",
        "tests/rpc/test_demands.py::test_an_object_of_the_caller_is_refused_and_charged_nothing",
        "row 57",
    ),
    Row(
        58,
        105,
        "One pair of rings for a client and server, or one for each bushel: both, compared",
        "benches/compare/pairs.py",
        _COMPARE + "the_tables_are_printed_for_people",
    ),
    Row(
        59,
        107,
        "A reply is named by a place and a generation, is checked, and is taken once",
        "rpc/wire/questions.py",
        "tests/rpc/test_hostile.py::test_a_reply_that_comes_twice_is_an_unknown_reply",
    ),
)
