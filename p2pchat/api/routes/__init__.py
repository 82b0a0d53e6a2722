"""What can be asked of a node: one table of all routes, and a module for each matter.

Each route is an async generator of events, which the server streams. Commands import the requests
from the modules; none of them brings a node.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from p2pchat.api.routes import (
    files,
    history,
    meeting,
    members,
    messages,
    people,
    presence,
    profile,
    rooms,
)
from p2pchat.api.routes.asking import NameRequest, Nothing, Request, RoomRequest, Stream

if TYPE_CHECKING:
    from p2pchat.node.node import Node

__all__ = ["READING", "ROUTES"]

ROUTES: dict[str, tuple[type[Request], Callable[["Node", Any], Stream]]] = {
    "identity": (Nothing, profile.identity),
    "name": (NameRequest, profile.rename),
    "status": (Nothing, profile.status),
    "peers": (Nothing, people.peers),
    "people": (people.PeerRequest, people.person),
    "safety-numbers": (people.PeerRequest, people.number),
    "verifications": (people.VerifyRequest, people.verify),
    "proofs": (people.ProofRequest, people.proof),
    "aliases": (people.AliasRequest, people.alias),
    "blocks": (people.BlockRequest, people.block),
    "rooms": (Nothing, rooms.rooms),
    "members": (RoomRequest, members.members),
    "room": (RoomRequest, rooms.room),
    "creations": (NameRequest, rooms.create),
    "departures": (RoomRequest, rooms.leave),
    "forgotten": (RoomRequest, rooms.forget),
    "settings": (rooms.SettingRequest, rooms.set_setting),
    "approvals": (members.MemberRequest, members.approve),
    "denials": (members.MemberRequest, members.deny),
    "expulsions": (members.MemberRequest, members.expel),
    "roles": (members.RoleRequest, members.role),
    "invites": (meeting.InviteRequest, meeting.invite),
    "withdrawals": (meeting.WithdrawRequest, meeting.withdraw),
    "replies": (meeting.ReplyRequest, meeting.reply),
    "joins": (meeting.JoinRequest, meeting.join),
    "cancellations": (meeting.CancelRequest, meeting.cancel),
    "nearby": (meeting.NearbyRequest, meeting.nearby),
    "knocks": (meeting.KnockRequest, meeting.knock),
    "knock-answers": (meeting.KnockAnswerRequest, meeting.answer_knock),
    "messages": (messages.SendRequest, messages.send),
    "edits": (messages.EditRequest, messages.edit),
    "deletions": (messages.MessageRequest, messages.delete),
    "reactions": (messages.ReactRequest, messages.react),
    "pinnings": (messages.PinRequest, messages.pin),
    "pins": (RoomRequest, messages.pins),
    "versions": (messages.MessageRequest, messages.versions),
    "log": (messages.LogRequest, messages.log),
    "reads": (presence.ReadRequest, presence.read),
    "presence": (presence.PresenceRequest, presence.presence),
    "typing": (presence.TypingRequest, presence.typing),
    "exports": (history.ExportRequest, history.export),
    "imports": (history.ImportRequest, history.import_),
    "doctor": (profile.DoctorRequest, profile.doctor),
    "sync": (history.SyncRequest, history.sync),
    "shares": (files.ShareRequest, files.share),
    "transfers": (files.GetRequest, files.get),
    "files": (Nothing, files.files),
    "removals": (files.UnshareRequest, files.unshare),
    "events": (Nothing, profile.feed),
}
"""POST /v1/NAME with the request as JSON."""
READING = frozenset({
    "identity", "status", "peers", "people", "safety-numbers", "rooms", "members", "room", "pins",
    "versions", "log", "exports", "doctor", "files",
})  # fmt: skip
"""Those that are of use where nothing can be written."""
