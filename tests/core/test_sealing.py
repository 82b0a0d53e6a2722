import msgspec
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.entry import EpochBody
from p2pchat.core.identity import Identity
from p2pchat.core.sealing import open_body, open_epoch, place, seal_body, seal_epoch
from tests.harness.pair import Journal, random_from

ROOM = bytes(32)


@given(st.binary(max_size=1000))
def test_a_body_opens_at_its_place_alone(plaintext: bytes) -> None:
    key = bytes(range(32))
    where = place(ROOM, bytes(32), bytes(8), 5, 3)
    body = seal_body(key, plaintext, where, random_from(1))
    assert len(body) == len(plaintext) + 32
    identity = Identity.create("x", random_from(1))
    journal = Journal(identity, (identity.person, bytes(32)), 1)
    header = journal.begin([])[0].header
    there = msgspec.structs.replace(
        header, room=ROOM, device=bytes(32), incarnation=bytes(8), seq=5, kind=3
    )
    assert open_body(key, body, there) == plaintext
    for elsewhere in ({"seq": 6}, {"kind": 4}, {"room": bytes([1]) * 32}):
        assert open_body(key, body, msgspec.structs.replace(there, **elsewhere)) is None
    assert open_body(bytes(32), body, there) is None
    assert open_body(key, body[:20], there) is None


def test_an_epoch_opens_for_its_recipients_alone(ann: Identity, bob: Identity) -> None:
    eve = Identity.create("Eve", random_from(13))
    key = bytes(range(32))
    epoch, body = seal_epoch(ROOM, key, [ann.certificate, bob.certificate], [])
    assert open_epoch(ROOM, epoch, body, ann) == open_epoch(ROOM, epoch, body, bob) == key
    assert open_epoch(ROOM, epoch, body, eve) is None
    assert open_epoch(bytes([1]) * 32, epoch, body, ann) is None


def test_an_epoch_id_commits_to_key_and_recipients(ann: Identity, bob: Identity) -> None:
    epoch, body = seal_epoch(ROOM, bytes(range(32)), [ann.certificate, bob.certificate], [])
    _, other = seal_epoch(ROOM, bytes(32), [ann.certificate, bob.certificate], [])
    assert open_epoch(ROOM, epoch, other, ann) is None
    fewer = msgspec.structs.replace(body, recipients=body.recipients[:1])
    assert open_epoch(ROOM, epoch, fewer, ann) is None
    assert open_epoch(ROOM, epoch, EpochBody(9, (), body.recipients), ann) is None
