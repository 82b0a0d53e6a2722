"""What an invite offers, and why it may not lead to its maker from here.

Reads the blob and the settings, asks the mailbox that the invite names whether it is there, and
tells nobody that the invite is here. Whether its maker is online, only a join can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from p2pchat.core.identity import id_text
from p2pchat.core.invite import inviter_mailbox, inviter_name, leads_into_room
from p2pchat.events import Finding
from p2pchat.node.network import Situation, mailbox_finding
from p2pchat.node.outcome import mapped
from signaling.carriers.interfaces import Interface, interfaces_of
from signaling.invite import EXPIRY_TOLERANCE_S, Invite
from signaling.sdp import Candidate

__all__ = ["Standing", "examine_invite", "read"]

_AGAIN = "ask for a new one"


@dataclass(frozen=True, slots=True)
class Standing:
    """How we stand with whoever made the invite."""

    me: bytes
    known: bool
    blocked: bool


def read(text: str) -> Invite:
    """The invite in a blob, expired or not. Raises errors.BadInput."""
    with mapped():
        return Invite.parse(text, 0.0)


async def examine_invite(invite: Invite, standing: Standing, situation: Situation) -> list[Finding]:
    """`invite` as parsed, whether it has expired or not."""
    name = inviter_name(invite.app)
    what = _what(invite, standing, name, situation.wall())
    if not what.ok:
        return [what]
    findings = [what]
    if invite.password:
        text = f"it needs a password, which {name} tells you by another way"
        findings.append(_good("invite-password", text))
    findings.append(_addresses(invite, name, situation))
    ways = []
    if situation.config.lan.enabled:
        ways.append(f"this network, if {name} is on it")
    mailbox = await _mailbox(invite, name, situation)
    findings += mailbox
    if mailbox[0].ok and (inviter_mailbox(invite.app) or situation.config.mailbox.url):
        ways.append("the mailbox")
    if situation.config.dht.enabled and _joins_dht(situation):
        ways.append(f"the DHT, if {name} is in it too")
    if invite.description is not None:
        ways.append("the reply blob, pasted back")
    if not ways:
        text = f"no way leads to {name} from here: no network, mailbox, DHT or address to answer to"
        hint = "set lan.enabled=true, or ask for an invite made by p2pchat invite --paste"
        return [*findings, Finding(check="invite-ways", ok=False, text=text, hint=hint)]
    text = f"ways to {name} from here: {'; '.join(ways)}"
    hint = f"all of them need {name}'s p2pchat running: p2pchat up keeps it so"
    return [*findings, _good("invite-ways", text, hint)]


def _good(check: str, text: str, hint: str | None = None) -> Finding:
    return Finding(check=check, ok=True, text=text, hint=hint)


def _what(invite: Invite, standing: Standing, name: str, now: float) -> Finding:
    def refused(why: str, hint: str) -> Finding:
        return Finding(check="invite", ok=False, text=why, hint=hint)

    who = f"{name} [{id_text(invite.inviter)[:8]}]"
    left = invite.expires - now
    if invite.inviter == standing.me:
        return refused("this invite is your own", "send it to your friend, who joins by it")
    if left < -EXPIRY_TOLERANCE_S:
        return refused(f"this invite of {who} has expired {_span(-left)} ago", _AGAIN)
    if standing.blocked:
        return refused(f"{who}, who made it, is blocked", "take that back: p2pchat unblock PEER")
    into = "into a room" if leads_into_room(invite.app) else "to talk with each other"
    text = f"an invite of {who} {into}, good for {_span(max(0.0, left))} more, for one who comes"
    if standing.known and not leads_into_room(invite.app):
        hint = "you know each other already: write to them, no invite is needed"
        return _good("invite", text, hint)
    return _good("invite", text)


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


# -- addresses -----------------------------------------------------------------------------------


def _addresses(invite: Invite, name: str, situation: Situation) -> Finding:
    check = "invite-addresses"
    if invite.description is None:
        text = "it has no address to answer to, so there will be no reply blob to paste back"
        return _good(check, text)
    candidates = invite.description.candidates
    if not candidates:
        text = f"it has no address of {name}: the reply blob would lead nowhere"
        hint = "that machine was on no network when the invite was made; ask for a new one"
        return Finding(check=check, ok=False, text=text, hint=hint)
    own = interfaces_of(situation.names)
    kinds = [_kind(one, own) for one in candidates]
    counted = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    text = f"addresses in it: {', '.join(counted)}"
    if not set(kinds) - {_THIS_MACHINE, _OTHER_NETWORK}:
        why = f"none of them leads to {name} from here; other ways bring fresh ones"
        if situation.local and _THIS_MACHINE in kinds:
            return _good(check, text)
        hint = f"on different networks {name} needs a STUN server (net.stun) or a relay (net.turn)"
        return _good(check, f"{text}; {why}", hint)
    return _good(check, text)


_THIS_MACHINE = "for the same machine only"
_SAME_NETWORK = "on a network that this machine is on"
_OTHER_NETWORK = "on a private network that this machine is not on"


def _kind(candidate: Candidate, own: Sequence[Interface]) -> str:
    address = ip_address(candidate.address)
    if address.is_loopback:
        return _THIS_MACHINE
    if candidate.kind == "relay":
        return "of a relay"
    if candidate.kind in ("srflx", "prflx"):
        return "as seen from the Internet, through a NAT"
    if any(address in one.network for one in own):
        return _SAME_NETWORK
    if address.is_private:
        return _OTHER_NETWORK
    return "of its own in the Internet" + (" (IPv6)" if address.version == 6 else "")


# -- carriers ------------------------------------------------------------------------------------


async def _mailbox(invite: Invite, name: str, situation: Situation) -> list[Finding]:
    check = "invite-mailbox"
    url, own = inviter_mailbox(invite.app), situation.config.mailbox_address()
    if url:
        found = await mailbox_finding(situation, url, check)
        return [
            Finding(check=check, ok=one.ok, text=f"it names a mailbox: {one.text}", hint=one.hint)
            for one in found
        ]
    if own:
        return [_good(check, f"it names no mailbox; yours helps only if {name} looks there too")]
    return [_good(check, "it names no mailbox, and your settings none")]


def _joins_dht(situation: Situation) -> bool:
    if situation.carriers is not None:
        carrier = situation.running("dht")
        return carrier is not None and carrier.reach().others > 0
    return bool(situation.config.dht.bootstrap)
