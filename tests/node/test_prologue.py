"""What stands before an entry: who writes, and a key that members have, and they alone."""

import pytest

from p2pchat import errors
from p2pchat.core.acts import SETTING, Setting
from p2pchat.core.entry import DEVICE, EPOCH, GRANT, MESSAGE
from p2pchat.core.group import EPOCH_AGE_MS
from p2pchat.node import prologue
from tests.harness.writer import Writer, founder


def kinds(writer: Writer) -> list[int]:
    return [entry.header.kind for entry in writer.written]


def test_a_first_message_brings_device_and_nothing_that_is_there_already() -> None:
    _, bob = founder("Ann", "Bob")
    bob.say("one")
    bob.say("two")
    assert kinds(bob) == [DEVICE, MESSAGE, MESSAGE]
    bob.identity = bob.identity.renamed("Robert")
    bob.say("three")
    assert kinds(bob)[3:] == [DEVICE, MESSAGE]


def test_a_newcomer_is_granted_the_key_that_is_there() -> None:
    ann, bob = founder("Ann", "Bob")
    # The first key is made when there is somebody to share it with.
    assert kinds(ann).count(EPOCH) == 1
    assert kinds(ann).count(GRANT) == 0
    carol = Writer("Carol", ann.group.room)
    bob.admit(carol)
    assert kinds(bob).count(GRANT) == 1
    assert EPOCH not in kinds(bob)


def test_where_newcomers_shall_not_read_back_each_gets_a_new_key_without_a_way_back() -> None:
    ann, _ = founder("Ann", "Bob")
    ann.act(SETTING, Setting(ann.group.membership.seen(ann.identity.person), "history", "new"))
    before = kinds(ann).count(EPOCH)
    said = ann.say("before")
    carol = Writer("Carol", ann.group.room)
    ann.admit(carol)
    assert kinds(ann).count(EPOCH) == before + 1
    assert GRANT not in kinds(ann)
    carol.take_all(ann)
    assert carol.group.read(said) is None


def test_an_admin_makes_a_new_key_once_the_old_one_is_old() -> None:
    ann, bob = founder("Ann", "Bob")
    for writer in (ann, bob):
        writer.begin()
        before = kinds(writer).count(EPOCH)
        late = (writer._time >> 16) + EPOCH_AGE_MS + 1
        list(prologue.keys(writer.group, writer.own, writer.identity, writer.random, late))
        assert kinds(writer).count(EPOCH) == before + (writer is ann)


def test_who_is_no_member_writes_nothing() -> None:
    ann, _ = founder("Ann", "Bob")
    mallory = Writer("Mallory", ann.group.room)
    mallory.take_all(ann)
    with pytest.raises(errors.Refused) as raised:
        mallory.say("let me")
    assert raised.value.code == "not-a-member"
    assert not mallory.written


def test_a_key_for_many_takes_several_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prologue, "_TOGETHER", 2)
    ann, bob, carol, dave, _ = founder("Ann", "Bob", "Carol", "Dave", "Erin")
    bob.begin()
    ann.take_all(bob)
    before = len(ann.written)
    ann.remove(bob, bob.written[-1])
    assert kinds(ann)[before + 1 :] == [EPOCH, GRANT]
    said = ann.say("all")
    for other in (carol, dave):
        other.take_all(ann)
        assert other.group.read(said) is not None
