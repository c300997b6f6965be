"""Whose turn it is to accept, and the socket that all listen on."""

import os
import socket
from collections.abc import Iterator

import pytest

from pacsnode.accepting import Turns, listening_socket, shared_counts


@pytest.fixture
def three() -> Iterator[list[Turns]]:
    descriptor = shared_counts(3)
    yield [Turns(descriptor, number) for number in range(3)]
    os.close(descriptor)


def test_it_is_the_turn_of_those_with_the_fewest(three: list[Turns]) -> None:
    assert [one.is_ours() for one in three] == [True, True, True]
    three[1].taken()
    assert [one.is_ours() for one in three] == [True, False, True]
    three[0].taken()
    three[2].taken()
    assert [one.is_ours() for one in three] == [True, True, True]
    three[2].left()
    assert [one.is_ours() for one in three] == [False, False, True]


def test_who_takes_its_turns_only_shares_evenly(three: list[Turns]) -> None:
    taken = [0, 0, 0]
    for _ in range(30):
        number = next(number for number, one in enumerate(three) if one.is_ours())
        three[number].taken()
        taken[number] += 1
    assert taken == [10, 10, 10]


def test_one_that_takes_the_place_of_another_begins_with_nothing(three: list[Turns]) -> None:
    for one in three:
        one.taken()
    descriptor = shared_counts(2)
    Turns(descriptor, 0).taken()
    assert Turns(descriptor, 1).is_ours()
    assert Turns(descriptor, 0).is_ours(), "the one before it has died with its connections"
    os.close(descriptor)


def test_alone_it_is_always_ours() -> None:
    alone = Turns()
    alone.taken()
    assert alone.is_ours()


def test_ipv6_takes_ipv4_too() -> None:
    with (
        listening_socket("::", 0) as listening,
        socket.create_connection(("127.0.0.1", listening.getsockname()[1])),
    ):
        connection, address = listening.accept()
        connection.close()
        assert address[0] == "::ffff:127.0.0.1"
