"""Acts hold no more than they may."""

import pytest

from p2pchat.core.acts import (
    Act,
    Admit,
    Create,
    Cut,
    Leave,
    Remove,
    Role,
    Seen,
    Setting,
    group_room,
    is_sound,
)
from p2pchat.core.bounds import ACT_SEEN_MAX, CUTS_MAX, TOPIC_BYTES_MAX
from p2pchat.core.identity import Certificate

CERTIFICATE = Certificate(b"p" * 32, b"d" * 32, b"", b"k" * 32, b"", "Ann")
SEEN = Seen(bytes(16), 3, bytes(8))
CUT = Cut(bytes(32), bytes(8), 0, bytes(32), bytes(64))


@pytest.mark.parametrize(
    "act",
    [
        Create((), CERTIFICATE, bytes(32), "crew"),
        Admit((SEEN,) * ACT_SEEN_MAX, CERTIFICATE, 1),
        Remove((), bytes(32), (CUT,) * CUTS_MAX),
        Leave((SEEN,)),
        Role((), bytes(32), 0),
        Setting((), "topic", "x" * TOPIC_BYTES_MAX),
        Setting((), "of the future", "a"),
    ],
)
def test_an_act_within_its_bounds_is_sound(act: Act) -> None:
    assert is_sound(act)


@pytest.mark.parametrize(
    "act",
    [
        Create((), CERTIFICATE, bytes(31), "crew"),
        Create((SEEN,), CERTIFICATE, bytes(32), "crew"),
        Create((), CERTIFICATE, bytes(32), "x" * (TOPIC_BYTES_MAX + 1)),
        Admit((SEEN,) * (ACT_SEEN_MAX + 1), CERTIFICATE, 1),
        Admit((), CERTIFICATE, 2),
        Remove((), bytes(31), ()),
        Remove((), bytes(32), (CUT,) * (CUTS_MAX + 1)),
        Remove((), bytes(32), (Cut(bytes(32), bytes(8), -1, bytes(32), bytes(64)),)),
        Remove((), bytes(32), (Cut(bytes(32), bytes(8), 0, bytes(32), bytes(63)),)),
        Leave((Seen(bytes(15), 3, bytes(8)),)),
        Leave((Seen(bytes(16), -1, bytes(8)),)),
        Leave((Seen(bytes(16), 0, bytes(9)),)),
        Role((), bytes(32), 7),
        Setting((), "topic", "x" * (TOPIC_BYTES_MAX + 1)),
        Setting((), "\ud800" * 200, ""),
    ],
)
def test_one_beyond_them_is_not(act: Act) -> None:
    assert not is_sound(act)


def test_a_room_belongs_to_its_founder_and_nonce() -> None:
    rooms = {
        group_room(person, nonce) for person in (b"a" * 32, b"b" * 32) for nonce in (b"1", b"2")
    }
    assert len(rooms) == 4
