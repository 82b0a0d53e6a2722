"""The mailbox machine: what is done for a message, and what is not."""

import os
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling import mailbox
from signaling.letter import LETTER_MAX
from signaling.mailbox import (
    BOX_MAX,
    Bounds,
    Boxes,
    Client,
    Close,
    Drop,
    Item,
    Keep,
    Look,
    Mailbox,
    Malformed,
    Operation,
    Pause,
    Put,
    Unwatch,
    Watch,
    decode_items,
    decode_operations,
    encode,
)

NAME, OTHER = bytes(16), b"\x01" * 16


def _say(box: Mailbox, client: Client, *operations: Operation, now: float = 0) -> list[object]:
    return list(box.receive(client, encode(operations), now))


def test_what_is_put_is_kept_and_who_watches_is_known() -> None:
    box, ann, bob = Mailbox(Bounds()), Client("a"), Client("b")
    assert _say(box, ann, Watch(NAME)) == [Look(ann, NAME)]
    assert _say(box, bob, Put(NAME, 60, False, b"x"), now=5) == [Keep(NAME, b"x", 65)]
    assert box.watchers(NAME) == [ann]
    _say(box, ann, Unwatch(NAME))
    assert box.watchers(NAME) == []
    assert box.watched == []


def test_what_was_held_goes_with_its_client_and_the_rest_stays() -> None:
    box, ann = Mailbox(Bounds()), Client("a")
    _say(box, ann, Put(NAME, 60, True, b"held"), Put(NAME, 60, False, b"left"), Watch(NAME))
    assert box.leave(ann) == [Drop(NAME, b"held")]
    assert box.watchers(NAME) == []


def test_what_was_put_anew_is_held_by_who_did_so_last() -> None:
    box, old, new = Mailbox(Bounds()), Client("a"), Client("a")
    _say(box, old, Put(NAME, 60, True, b"x"))
    _say(box, new, Put(NAME, 60, True, b"x"))
    assert box.leave(old) == []
    assert box.leave(new) == [Drop(NAME, b"x")]


def test_a_put_without_time_drops() -> None:
    box, ann = Mailbox(Bounds()), Client("a")
    _say(box, ann, Put(NAME, 60, True, b"x"))
    assert _say(box, ann, Put(NAME, 0, False, b"x")) == [Drop(NAME, b"x")]
    assert box.leave(ann) == []


def test_one_source_has_so_many_items_and_its_oldest_make_room() -> None:
    box, ann = Mailbox(Bounds(items_each=2)), Client("a")
    _say(box, ann, Put(NAME, 60, False, b"1"), Put(NAME, 60, False, b"2"))
    assert _say(box, ann, Put(NAME, 60, False, b"3")) == [
        Drop(NAME, b"1"),
        Keep(NAME, b"3", 60),
    ]
    box.handle_timer(61)
    assert box.next_timer() is None
    assert _say(box, ann, Put(NAME, 60, False, b"4"), now=61) == [Keep(NAME, b"4", 121)]


def test_too_many_names_end_the_client() -> None:
    box, ann = Mailbox(Bounds(watches_each=2)), Client("a")
    watches = [Watch(bytes((n,)) * 16) for n in range(3)]
    assert _say(box, ann, *watches)[-1] == Close(ann, mailbox.FLOOD)


def test_who_is_too_fast_has_to_wait_and_who_goes_on_is_closed() -> None:
    box, ann = Mailbox(Bounds(operations_burst=10, operations_per_s=1)), Client("a")
    ten = [Watch(NAME)] * 10
    assert not any(isinstance(output, Pause) for output in _say(box, ann, *ten))
    assert _say(box, ann, *ten)[-1] == Pause(ann, 10)
    assert _say(box, ann, Watch(NAME)) == [Close(ann, mailbox.FLOOD)]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b"[]",
        msgspec.msgpack.encode([[1, b"short"]]),
        msgspec.msgpack.encode([[9, NAME]]),
        msgspec.msgpack.encode([[3, NAME, 3_601, False, b"x"]]),
        msgspec.msgpack.encode([[3, NAME, -1, False, b"x"]]),
        msgspec.msgpack.encode([[3, NAME, 1, False, b""]]),
        msgspec.msgpack.encode([[3, NAME, 1, False, bytes(LETTER_MAX + 1)]]),
        msgspec.msgpack.encode([[1, NAME]] * 65),
        msgspec.msgpack.encode([[4, NAME, 1, b"x"]]),
    ],
)
def test_what_is_no_message_ends_the_client(message: bytes) -> None:
    box, ann = Mailbox(Bounds()), Client("a")
    assert box.receive(ann, message, 0) == [Close(ann, mailbox.BAD)]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_taken_or_refused(data: bytes) -> None:
    box, ann = Mailbox(Bounds()), Client("a")
    box.receive(ann, data, 0)
    for decode in (decode_operations, decode_items):
        with suppress(Malformed):
            decode(data)  # type: ignore[operator]


_names = st.sampled_from([bytes((n,)) * 16 for n in range(4)])
_data = st.sampled_from([b"a", b"b", b"c"])
_operations = st.lists(
    st.builds(Watch, _names)
    | st.builds(Unwatch, _names)
    | st.builds(Put, _names, st.integers(0, 3_600), st.booleans(), _data),
    max_size=64,
)


@given(_operations)
def test_messages_come_back_as_they_were(operations: list[Operation]) -> None:
    assert decode_operations(encode(operations)) == operations
    items = [Item(NAME, 5, b"x")]
    assert decode_items(encode(items)) == items


class Crowd(RuleBasedStateMachine):
    """Clients of two sources come, say anything, and leave: nothing of them remains."""

    def __init__(self) -> None:
        super().__init__()
        self.box = Mailbox(Bounds(items_each=5, watches_each=3))
        self.clients: list[Client] = []
        self.now = 0.0

    @rule(source=st.sampled_from("ab"))
    def enter(self, source: str) -> None:
        self.clients.append(Client(source))

    @rule(which=st.integers(0, 9), operations=_operations)
    def say(self, which: int, operations: list[Operation]) -> None:
        if self.clients:
            client = self.clients[which % len(self.clients)]
            self.box.receive(client, encode(operations), self.now)

    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        if self.clients:
            client = self.clients.pop(which % len(self.clients))
            self.box.leave(client)
            assert not client.watched
            assert not client.held

    @rule(seconds=st.integers(1, 4_000))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.box.handle_timer(self.now)

    @invariant()
    def counts_agree(self) -> None:
        assert all(len(put) <= 5 for put in self.box._put.values())
        assert sum(map(len, self.box._put.values())) == len(self.box._expiring)
        watched = {name for client in self.clients for name in client.watched}
        assert set(self.box.watched) == watched
        held = {(client.source, *item): client for client in self.clients for item in client.held}
        assert held == {
            (source, *item): holder
            for source, put in self.box._put.items()
            for item, holder in put.items()
            if holder is not None
        }


TestCrowd = Crowd.TestCase


# -- boxes -----------------------------------------------------------------------------------------


def test_a_box_holds_so_many_and_the_oldest_makes_room() -> None:
    boxes = Boxes(100)
    for number in range(BOX_MAX):
        assert boxes.keep(NAME, bytes((number,)), 60) == []
    assert boxes.keep(NAME, b"new", 60) == [(NAME, b"\x00")]
    assert len(boxes) == BOX_MAX
    assert boxes.evicted == 1


def test_all_boxes_hold_so_many_and_what_ends_soonest_makes_room() -> None:
    boxes = Boxes(2)
    boxes.keep(NAME, b"long", 90)
    boxes.keep(OTHER, b"short", 10)
    assert boxes.keep(NAME, b"new", 60) == [(OTHER, b"short")]
    assert boxes.items(OTHER, 0) == []


def test_what_is_over_is_gone() -> None:
    boxes = Boxes(10)
    boxes.keep(NAME, b"x", 60)
    boxes.keep(NAME, b"y", 90)
    assert boxes.items(NAME, 70) == [(b"y", 90)]
    boxes.expire(70)
    assert len(boxes) == 1
    assert boxes.drop(NAME, b"y")
    assert not boxes.drop(NAME, b"y")
    assert len(boxes) == 0
    assert not boxes._boxes


def test_an_unguessable_name_of_random_bytes_is_a_name() -> None:
    assert decode_operations(encode([Watch(name := os.urandom(16))])) == [Watch(name)]
