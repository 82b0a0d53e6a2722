"""What an invite offers, told without using it up."""

import os
import time
from collections.abc import Sequence

import pytest

from p2pchat import config
from p2pchat.core.invite import app_bytes
from p2pchat.errors import BadInput
from p2pchat.events import Finding
from p2pchat.node.network import Situation
from p2pchat.node.outlook import Standing, examine_invite, read
from signaling.carriers.paste import make_reply
from signaling.invite import Invite
from signaling.sdp import Candidate, Description
from signaling.server.app import Server, Settings

LO = 'net.interfaces=["lo"]'
ME, ANN = bytes(32), b"\x01" * 32
STRANGER = Standing(ME, known=False, blocked=False)


def invite(
    candidates: Sequence[Candidate] | None = (Candidate("host", "127.0.0.1", 9),),
    *,
    expires: float = 9_000,
    mailbox: str = "",
    room: bool = False,
    password: bool = False,
) -> Invite:
    described = None
    if candidates is not None:
        described = Description("actpass", "abcd", "p" * 22, bytes(32), tuple(candidates))
    app = app_bytes("Ann", mailbox, room=room)
    return Invite(
        ANN, os.urandom(16), int(time.time() + expires), app, described, password=password
    )


async def found(made: Invite, *settings: str, standing: Standing = STRANGER) -> dict[str, Finding]:
    chosen = config.load(None, {}, settings or (LO,))
    given = Situation(chosen, None, os.urandom, time.time)
    findings = await examine_invite(made, standing, given)
    return {finding.check: finding for finding in findings}


async def test_all_that_an_invite_offers_is_told_in_plain_words() -> None:
    findings = await found(invite(room=True, password=True))
    assert all(finding.ok for finding in findings.values()), findings
    assert "Ann" in findings["invite"].text
    assert "into a room" in findings["invite"].text
    assert "2 h" in findings["invite"].text
    assert "password" in findings["invite-password"].text
    assert "1 for the same machine only" in findings["invite-addresses"].text
    assert "names no mailbox" in findings["invite-mailbox"].text
    assert "reply blob" in findings["invite-ways"].text
    assert "network" in findings["invite-ways"].text
    plain = await found(invite())
    assert "talk with each other" in plain["invite"].text
    assert "invite-password" not in plain


async def test_kinds_of_addresses_are_told_apart() -> None:
    candidates = [
        Candidate("host", "10.99.0.1", 1),
        Candidate("srflx", "203.0.113.9", 2),
        Candidate("relay", "203.0.113.10", 3),
        Candidate("host", "2600::1", 4),
    ]
    text = (await found(invite(candidates)))["invite-addresses"].text
    for words in ("not on", "through a NAT", "of a relay", "IPv6"):
        assert words in text
    private = (await found(invite(candidates[:1])))["invite-addresses"]
    assert "none of them leads to Ann" in private.text
    assert "net.stun" in str(private.hint)


async def test_what_makes_it_worthless_is_all_that_is_said() -> None:
    cases = {
        "expired": (invite(expires=-3_600), STRANGER),
        "your own": (invite(), Standing(ANN, known=False, blocked=False)),
        "blocked": (invite(), Standing(ME, known=True, blocked=True)),
    }
    for word, (made, standing) in cases.items():
        findings = await found(made, standing=standing)
        assert list(findings) == ["invite"]
        assert not findings["invite"].ok
        assert word in findings["invite"].text
        assert findings["invite"].hint
    known = (await found(invite(), standing=Standing(ME, known=True, blocked=False)))["invite"]
    assert known.ok
    assert "know each other" in str(known.hint)


async def test_where_no_way_leads_there_that_is_said() -> None:
    bare = ("lan.enabled=false", "dht.enabled=false", LO)
    findings = await found(invite(None), *bare)
    assert not findings["invite-ways"].ok
    assert findings["invite-ways"].hint
    assert "no address" in findings["invite-addresses"].text
    nowhere = await found(invite([]), *bare)
    assert not nowhere["invite-addresses"].ok


async def test_the_mailbox_that_it_names_is_asked() -> None:
    async with Server.open(Settings(port=0)) as server:
        made = invite(None, mailbox=f"ws://127.0.0.1:{server.port}/mailbox")
        there = await found(made, LO, "lan.enabled=false")
        assert there["invite-mailbox"].ok
        assert "mailbox" in there["invite-ways"].text
    gone = await found(made, LO, "lan.enabled=false")
    assert not gone["invite-mailbox"].ok
    assert not gone["invite-ways"].ok
    # Ours helps only if the other looks there, too.
    ours = await found(invite(), LO, "mailbox.url=http://127.0.0.1:9")
    assert "only if Ann" in ours["invite-mailbox"].text


def test_what_is_no_invite_is_refused() -> None:
    made = invite()
    assert read(invite(expires=-99_999).text()).inviter == ANN
    reply = make_reply(made, made.description, now=time.time(), random=os.urandom)  # type: ignore[arg-type]
    for text, code in (("hello", "blob-foreign"), (reply.text(), "blob-kind")):
        with pytest.raises(BadInput) as caught:
            read(text)
        assert caught.value.code == code
