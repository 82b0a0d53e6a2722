"""What the node tells its faces: frozen values that become one JSON object each.

The field names and meanings are a contract with scripts (README, "Events"): add, never change.
Times are RFC 3339, UTC, milliseconds. Ids are lower-case base32 of 32 bytes (52 characters).
"""

from datetime import UTC, datetime
from typing import Literal

import msgspec

__all__ = [
    "Attempt",
    "Changed",
    "Delivered",
    "Denied",
    "Done",
    "Event",
    "Exported",
    "Failure",
    "Finding",
    "Forked",
    "Identity",
    "Imported",
    "InviteReady",
    "JoinRequest",
    "Joined",
    "Knock",
    "Member",
    "Membership",
    "Message",
    "NameClash",
    "Nearby",
    "Note",
    "Peer",
    "Pending",
    "Presence",
    "Proof",
    "Reaction",
    "Read",
    "ReplyReady",
    "RoomRow",
    "SafetyNumber",
    "Setting",
    "Share",
    "Stage",
    "Status",
    "Sync",
    "Transfer",
    "Typing",
    "Vouch",
    "Voucher",
    "Waiting",
    "as_json",
    "rfc3339",
]


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    pass


class InviteReady(_Event, frozen=True, kw_only=True, tag="invite"):
    """An invite waits. `expires` is RFC 3339; `code`: the words to say in place of the blob."""

    blob: str
    expires: str
    code: str | None = None
    invite: str
    room: str | None = None


class ReplyReady(_Event, frozen=True, kw_only=True, tag="reply"):
    """The blob to paste back to the inviter."""

    blob: str


class Voucher(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom we have verified, who says to have verified somebody else."""

    peer: str
    name: str


class Peer(_Event, frozen=True, kw_only=True, tag="peer"):
    """A link to a person comes or goes; in listings, what we know of the person.

    `how` it was verified, and for a proof the `place` that it names. `own_name` where `name` is our
    alias. `clash`: the peer id of whom we knew before under that name. `colour`: `#rrggbb`.
    `presence`: absent where somebody who is linked does not tell.
    """

    peer: str
    name: str
    state: Literal["connecting", "connected", "disconnected"]
    via: str | None = None
    path: Literal["direct", "relayed"] | None = None
    time: str | None = None
    reason: str | None = None
    verified: bool | None = None
    last_seen: str | None = None
    forked: bool = False
    how: Literal["number", "proof"] | None = None
    place: str | None = None
    own_name: str | None = None
    blocked: bool = False
    vouchers: list[Voucher] = []
    clash: str | None = None
    colour: str | None = None
    presence: Literal["online", "away", "offline"] | None = None


class SafetyNumber(_Event, frozen=True, kw_only=True, tag="safety-number"):
    """What both read to each other. `number`: 12 groups of 5 digits; `qr`: a QR code's content."""

    peer: str
    name: str
    number: str
    words: str
    qr: str
    verified: bool
    how: Literal["number", "proof"] | None = None
    vouchers: list[Voucher] = []


class Proof(_Event, frozen=True, kw_only=True, tag="proof"):
    """A signed statement of a key: ours to post (`text`), or somebody's that holds.

    `name`, `time` and `place` are what was signed.
    """

    peer: str
    name: str
    time: str
    place: str | None = None
    text: str | None = None


class NameClash(_Event, frozen=True, kw_only=True, tag="name-clash"):
    """`peer` comes under a name that `known` has here; `verified`: `known` is."""

    peer: str
    name: str
    known: str
    verified: bool


class Vouch(_Event, frozen=True, kw_only=True, tag="vouch"):
    """`author` says to have verified `peer`, or no more. `verified`: whether the author is."""

    author: str
    author_name: str
    peer: str
    name: str
    vouches: bool
    verified: bool
    me: bool = False


class Joined(_Event, frozen=True, kw_only=True, tag="joined"):
    """We, or somebody else, became a member of `room`. `members` are peer ids."""

    room: str
    name: str
    members: list[str]
    invite: str | None = None
    kind: Literal["direct", "group"] = "direct"


class Pending(_Event, frozen=True, kw_only=True, tag="pending"):
    """We asked to be let into `room`; its members have to approve."""

    room: str
    name: str


class Denied(_Event, frozen=True, kw_only=True, tag="denied"):
    """The members of `room` did not let us in."""

    room: str
    name: str


class JoinRequest(_Event, frozen=True, kw_only=True, tag="join-request"):
    """Somebody asks to be let into `room`."""

    room: str
    peer: str
    name: str


class Nearby(_Event, frozen=True, kw_only=True, tag="nearby"):
    """Somebody, or a room, that is visible on this network, and may be knocked at by `id`.

    All of it is their own word. `by`: of a room, who shows it.
    """

    id: str
    name: str
    kind: Literal["person", "room"]
    by: str | None = None


class Knock(_Event, frozen=True, kw_only=True, tag="knock"):
    """Somebody on this network asks to be let in (`waiting`), or we do (`asking`).

    `words` are the same on both sides unless somebody stands between. `name` is the other's own
    word. `room`, `room_name`: where it leads. `blob`: the invite, where we were let in.
    """

    knock: str
    name: str
    words: str
    state: Literal["asking", "waiting", "accepted", "declined", "gone"]
    room: str | None = None
    room_name: str | None = None
    blob: str | None = None


class Membership(_Event, frozen=True, kw_only=True, tag="membership"):
    """Somebody came into `room`, went out of it, or became something else in it."""

    room: str
    peer: str
    name: str
    change: Literal["joined", "left", "removed", "admin", "member"]
    me: bool = False


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """`peers`: ids of those who reacted with `text`."""

    text: str
    peers: list[str]


class Message(_Event, frozen=True, kw_only=True, tag="message"):
    """One message of the journal, decrypted, as it reads now. `author` is a peer id.

    `text` is empty once it is `deleted`; `expires` is when it will disappear. `verified`, `clash`
    and `colour` are the author's as in Peer; `verified` is absent for our own, which have peer ids
    instead: `delivered_to` has it on disk, `read_by` has read it. `mention`: it
    has our name after an `@`. `clock_off`: by how many seconds the clock was ahead (less than 0:
    behind) that `time` is of, where that is more than a minute; it stands where others put it.
    """

    room: str
    id: str
    author: str
    name: str
    time: str
    text: str
    reply_to: str | None = None
    edited: bool = False
    verified: bool | None = None
    clash: str | None = None
    colour: str | None = None
    deleted: bool = False
    pinned: bool = False
    reactions: list[Reaction] | None = None
    expires: str | None = None
    mention: bool = False
    delivered_to: list[str] = []
    read_by: list[str] = []
    clock_off: int | None = None


class Changed(_Event, frozen=True, kw_only=True, tag="changed"):
    """Something happened to message `id`, by `peer`; nobody's doing where it has `expired`.

    `text`: the new one of an edit, or the reaction; `on` is false where one is taken back.
    """

    room: str
    id: str
    change: Literal["edited", "deleted", "reaction", "pinned", "expired"]
    peer: str | None = None
    name: str | None = None
    text: str | None = None
    on: bool = True


class Delivered(_Event, frozen=True, kw_only=True, tag="delivered"):
    """`peer` has message `id` on disk. `name`: where somebody asked who has it."""

    room: str
    id: str
    peer: str
    name: str | None = None


class Read(_Event, frozen=True, kw_only=True, tag="read"):
    """`peer` has read more of `room`, up to message `id` as it is shown here; `me`: we have."""

    room: str
    peer: str
    name: str
    id: str | None = None
    me: bool = False


class Presence(_Event, frozen=True, kw_only=True, tag="presence"):
    """Whether `peer` is at a terminal changed, or (`me`) is so."""

    peer: str
    name: str
    presence: Literal["online", "away"]
    time: str
    me: bool = False


class Typing(_Event, frozen=True, kw_only=True, tag="typing"):
    """`peer` is writing in `room`, or no more."""

    room: str
    peer: str
    name: str
    typing: bool


class Share(_Event, frozen=True, kw_only=True, tag="share"):
    """Files offered as `magnet`. `size` is the plaintext's, in bytes; `clock_off` as in Message."""

    id: str
    name: str
    size: int
    magnet: str
    room: str | None = None
    author: str | None = None
    time: str | None = None
    clock_off: int | None = None


class Transfer(_Event, frozen=True, kw_only=True, tag="transfer"):
    """Progress of a share. `done`, `total` in bytes, `rate` in bytes/s, `peers` a count.

    `transports` counts libtorrent's peers by what carries them: {"webrtc": 1}.
    """

    id: str
    done: int
    total: int
    rate: int
    peers: int
    state: Literal[
        "metadata", "downloading", "verifying", "complete", "seeding", "paused", "failed"
    ]
    path: str | None = None
    name: str | None = None
    transports: dict[str, int] | None = None


class Sync(_Event, frozen=True, kw_only=True, tag="sync"):
    """How far this node and `peer` differ in `room`, counted from heads.

    `name`, and of a room of many `room_name`: where somebody asked.
    """

    room: str
    peer: str
    behind: int
    ahead: int
    state: Literal["comparing", "pulling", "in-sync"]
    name: str | None = None
    room_name: str | None = None


class Forked(_Event, frozen=True, kw_only=True, tag="fork"):
    """Proof came that a person signed two different histories of a room."""

    room: str
    peer: str
    name: str


class Note(_Event, frozen=True, kw_only=True, tag="note"):
    """A sentence for people: what is being tried, what was noticed. Scripts may ignore it.

    With a `code` something was done to us: `password-wrong`, a wrong guess at the password of
    `invite`, which outlives `left` more.
    """

    text: str
    code: str | None = None
    invite: str | None = None
    left: int | None = None


Stage = Literal["away", "nobody", "found", "answered", "no-path", "refused"]


class Attempt(_Event, frozen=True, kw_only=True, tag="attempt"):
    """How far a join that failed, or has to wait, came on one way: `lan`, `dht`, `mailbox`,
    `paste`.

    `others`: how many the carrier could ask, whoever they are.
    """

    via: str
    stage: Stage
    text: str
    others: int | None = None


class Waiting(_Event, frozen=True, kw_only=True, tag="waiting"):
    """A join whose inviter `peer` has not answered yet; it goes on until `expires`.

    `number` names it for `cancel`; `text`: how far it has come, where a node runs.
    """

    number: int
    invite: str
    peer: str
    name: str
    time: str
    expires: str
    text: str | None = None


class Identity(_Event, frozen=True, kw_only=True, tag="identity"):
    """Who this profile is. `created` is true on the run that made it."""

    peer: str
    name: str
    home: str
    device: str
    created: bool = False


class Status(_Event, frozen=True, kw_only=True, tag="status"):
    """The node in one row. `lan` says whether discovery on the network works; counts elsewhere.

    `lan_ignored`: announcements there that were of no use, or hostile. `visible`: to neighbours.
    `joins`: those that wait for their inviter. `dht`: nodes that are known, absent where it is not
    used; `mailbox` likewise, `idle` while nobody is looked for there.
    """

    peer: str
    name: str
    home: str
    running: bool
    pid: int | None = None
    uptime_s: int | None = None
    connected: int = 0
    contacts: int = 0
    rooms: int = 0
    invites: int = 0
    entries: int = 0
    lan: bool = False
    lan_ignored: int = 0
    visible: bool = False
    joins: int = 0
    dht: int | None = None
    mailbox: Literal["connected", "idle", "away"] | None = None


class RoomRow(_Event, frozen=True, kw_only=True, tag="room"):
    """One room. `entries` counts the journal's, `time` is the newest message's; `unread`: messages
    of others that we have not read, 1,000 for more.

    The rest is of rooms of many: what we are there, and how it is set.
    """

    room: str
    name: str
    kind: Literal["direct", "group"]
    members: int
    entries: int = 0
    time: str | None = None
    state: Literal["member", "pending", "joining", "left", "removed"] | None = None
    role: Literal["admin", "member"] | None = None
    topic: str | None = None
    settings: dict[str, str] | None = None
    unread: int = 0


class Member(_Event, frozen=True, kw_only=True, tag="member"):
    """`read_up_to`: the last message, as they are shown here, that this member has read.

    `clock_off`: as in Message, of what came last of them.
    """

    room: str
    peer: str
    name: str
    online: bool = False
    me: bool = False
    role: Literal["admin", "member"] | None = None
    forked: bool = False
    verified: bool | None = None
    blocked: bool = False
    vouchers: list[Voucher] = []
    clash: str | None = None
    colour: str | None = None
    presence: Literal["online", "away", "offline"] | None = None
    last_seen: str | None = None
    read_up_to: str | None = None
    clock_off: int | None = None


class Setting(_Event, frozen=True, kw_only=True, tag="setting"):
    key: str
    value: object
    source: str


class Finding(_Event, frozen=True, kw_only=True, tag="finding", omit_defaults=False):
    """What `doctor` saw: the `check`, whether it is `ok`, and the remedy where it is not."""

    check: str
    ok: bool
    text: str
    hint: str | None = None


class Exported(_Event, frozen=True, kw_only=True, tag="exported"):
    """A file with history was written."""

    path: str
    format: Literal["jsonl", "archive"]
    entries: int


class Imported(_Event, frozen=True, kw_only=True, tag="imported", omit_defaults=False):
    """A file with history was read. `added`, `known`: entries; `restored`: it made the profile."""

    path: str
    added: int
    known: int
    restored: bool = False


class Failure(_Event, frozen=True, kw_only=True, tag="error"):
    code: str
    message: str
    hint: str


class Done(_Event, frozen=True, kw_only=True, tag="done", omit_defaults=False):
    """The last line of every run."""

    ok: bool
    exit: int


Event = (
    InviteReady
    | ReplyReady
    | Peer
    | Joined
    | Pending
    | Denied
    | JoinRequest
    | Knock
    | Nearby
    | Membership
    | Message
    | Changed
    | Delivered
    | Read
    | Presence
    | Typing
    | Share
    | Transfer
    | Sync
    | Identity
    | Status
    | RoomRow
    | Member
    | Setting
    | Finding
    | Exported
    | Imported
    | Forked
    | SafetyNumber
    | Proof
    | NameClash
    | Vouch
    | Note
    | Attempt
    | Waiting
    | Failure
    | Done
)


def as_json(event: msgspec.Struct) -> dict[str, object]:
    """The JSON object of an event: `{"v":1, "event":…, …}`; absent fields are left out."""
    fields = msgspec.to_builtins(event)
    assert isinstance(fields, dict)
    return {"v": 1, **fields}


def rfc3339(seconds: float) -> str:
    """`seconds` since 1970 as `2026-01-02T03:04:05.678Z`."""
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
