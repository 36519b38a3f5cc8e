"""The programs that the benches of event loops ask every loop for."""

from typing import Any
from unittest.mock import Mock

from benches.systems.loops import ANSWER, HELLO, Hello


def test_the_http_server_answers_once_for_each_request_in_whatever_pieces_it_comes() -> None:
    stream = HELLO * 3
    for size in range(1, len(stream) + 1):
        server, transport = Hello(), Mock()
        server.connection_made(transport)
        for at in range(0, len(stream), size):
            server.data_received(stream[at : at + size])
            whole = (at + size) // len(HELLO)
            calls: list[Any] = transport.write.call_args_list
            assert [call.args for call in calls] == [(ANSWER,)] * min(whole, 3)
