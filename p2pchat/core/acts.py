"""Acts of a room's membership: what their entries say (docs/protocol.md, 8: Rooms of many).

Acts stand in the authors' chains like all else, in the clear: who may read must be known before
there is a key. Each tells which acts its author had seen, so that what it was entitled to can be
judged by anybody, in any order of arrival. What they amount to is `core/membership.py`'s.
"""

import msgspec

from p2pchat.core.bounds import ACT_SEEN_MAX, CUTS_MAX, TOPIC_BYTES_MAX
from p2pchat.core.identity import Certificate, digest

__all__ = [
    "ADMIN",
    "ADMIT",
    "CREATE",
    "LEAVE",
    "MEMBER",
    "REMOVE",
    "ROLE",
    "SETTING",
    "SETTINGS",
    "Act",
    "Admit",
    "Create",
    "Cut",
    "Leave",
    "Remove",
    "Role",
    "Seen",
    "Setting",
    "group_room",
    "is_sound",
]

CREATE, ADMIT, REMOVE, LEAVE, ROLE, SETTING = 16, 17, 18, 19, 20, 21
MEMBER, ADMIN = 0, 1
SETTINGS: dict[str, str] = {
    "name": "",
    "topic": "",
    "admit": "members",
    "history": "all",
    "timer": "0",
}
"""What can be set, with what holds until it is. `admit`: who may let somebody in, `members` or
`admins`; `history`: what a newcomer can read, `all` or `new`; `timer`: seconds that messages live,
0 for ever."""


class Seen(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The newest act of `chain` that an author had seen; `id`: the first 8 bytes of its entry's."""

    chain: bytes
    seq: int
    id: bytes


class Cut(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Up to where a chain of somebody removed counts. `signature` is that entry's own."""

    device: bytes
    incarnation: bytes
    seq: int
    id: bytes
    signature: bytes


class Act(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Nothing beyond its fields, however deep: what one node can read all must be able to."""

    seen: tuple[Seen, ...]


class Create(Act, frozen=True, array_like=True):
    """The first entry of the founder's chain; the room's id follows from it."""

    certificate: Certificate
    nonce: bytes
    name: str


class Admit(Act, frozen=True, array_like=True):
    certificate: Certificate
    role: int = MEMBER


class Remove(Act, frozen=True, array_like=True):
    person: bytes
    cuts: tuple[Cut, ...]


class Leave(Act, frozen=True, array_like=True):
    pass


class Role(Act, frozen=True, array_like=True):
    person: bytes
    role: int


class Setting(Act, frozen=True, array_like=True):
    key: str
    value: str


def group_room(founder: bytes, nonce: bytes) -> bytes:
    """The id of a room of many: nobody else can have founded it."""
    return digest("group", founder, nonce)


def is_sound(act: Act) -> bool:
    """Whether the sizes and ranges of `act` hold; signatures in it are the chain's to check."""
    if len(act.seen) > ACT_SEEN_MAX or not all(
        len(one.chain) == 16 and len(one.id) == 8 and 0 <= one.seq < 1 << 63 for one in act.seen
    ):
        return False
    match act:
        case Create(_, _, nonce, name):
            return len(nonce) == 32 and _short(name) and not act.seen
        case Admit(_, _, role):
            return role in (MEMBER, ADMIN)
        case Remove(_, person, cuts):
            return len(person) == 32 and len(cuts) <= CUTS_MAX and all(map(_is_cut, cuts))
        case Role(_, person, role):
            return len(person) == 32 and role in (MEMBER, ADMIN)
        case Setting(_, key, value):
            return _short(key) and _short(value)
    return True


def _is_cut(cut: Cut) -> bool:
    return (
        len(cut.device) == len(cut.id) == 32
        and len(cut.incarnation) == 8
        and len(cut.signature) == 64
        and 0 <= cut.seq < 1 << 63
    )


def _short(text: str) -> bool:
    return len(text.encode("utf-8", "surrogatepass")) <= TOPIC_BYTES_MAX
