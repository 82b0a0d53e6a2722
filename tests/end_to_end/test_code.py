"""A spoken code: a few words on the phone lead to a chat, wrong ones are heard on both sides."""

import re

import pytest

from signaling.code import Code
from signaling.words import ADJECTIVES
from tests.harness.dht import own_dht
from tests.harness.homes import LOOPBACK, NO_CARRIER, Home, events
from tests.harness.signal import signal_server


def _wrong(text: str) -> str:
    code = Code.parse(text)
    adjective = ADJECTIVES[ADJECTIVES.index(code.adjective) - 1]
    return Code(code.nameplate, adjective, code.noun).text()


def test_a_code_said_on_the_phone_leads_to_a_chat(ann: Home, bob: Home) -> None:
    ann.up()
    code = ann.run("invite", "--code", "--no-wait", json=False).out.strip()
    assert re.fullmatch(r"[1-9][0-9]?-[a-z]+-[a-z]+", code)
    # As a person types it: words apart, capitals, the beginning of a word.
    number, adjective, noun = code.split("-")
    joined = bob.run("join", number, adjective.title(), noun[:3].upper(), "--no-chat")
    assert joined.found("joined")[0]["name"] == "Ann"
    assert ann.run("peers").found("peer")[0]["name"] == "Bob"
    bob.up()
    assert bob.run("send", "Ann", "hello", "--wait").found("delivered")


def test_a_wrong_code_is_told_on_both_sides_and_three_end_it(ann: Home, bob: Home) -> None:
    waiting = ann.start("invite", "--code")
    feed = events(waiting)
    code = next(row for row in feed if row["event"] == "invite")["code"]
    for left in (2, 1, 0):
        error = bob.run("join", _wrong(code), code=4).found("error")[0]
        assert error["code"] == "password-wrong"
        note = next(row for row in feed if row["event"] == "note")
        assert (note["code"], note["left"]) == ("password-wrong", left)
    rest = list(feed)
    assert rest[-2]["code"] == "invite-locked"
    assert rest[-1]["exit"] == 4


def test_a_misheard_word_is_told_before_anything_is_tried(bob: Home) -> None:
    error = bob.run("join", "4-acit-pelican", code=3).found("error")[0]
    assert error["code"] == "code-malformed"
    assert "acid" in error["hint"]
    assert bob.run("invite", "--code", "--password-file", "/dev/null", code=2).rows


def test_a_code_leads_there_over_a_mailbox_alone(ann: Home, bob: Home) -> None:
    with signal_server() as url:
        for home in (ann, bob):
            home.settings = (*LOOPBACK, *NO_CARRIER, f"mailbox.url={url}")
            home.up()
        code = ann.run("invite", "--code", "--no-wait").found("invite")[0]["code"]
        wrong = bob.run("join", _wrong(code), "--no-chat", "--timeout", "60", code=4)
        assert wrong.found("error")[0]["code"] == "password-wrong"
        joined = bob.run("join", code, "--no-chat", "--timeout", "60")
        assert joined.found("joined")[0]["name"] == "Ann"
        assert ann.run("peers").found("peer")[0]["via"] == "mailbox"


@pytest.mark.timeout(180)
def test_a_code_leads_there_over_a_dht_alone(ann: Home, bob: Home) -> None:
    with own_dht() as bootstrap:
        for home in (ann, bob):
            home.settings = (
                'net.interfaces=["lo"]',
                "net.stun=[]",
                "lan.enabled=false",
                f"dht.bootstrap={bootstrap!r}",
            )
            home.up()
        code = ann.run("invite", "--code", "--no-wait").found("invite")[0]["code"]
        bob.run("join", code, "--no-chat", timeout=150)
        assert ann.run("peers").found("peer")[0]["via"] == "dht"
        ann.end()
        bob.end()
