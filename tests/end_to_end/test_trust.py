"""People check each other's keys, vouch, find impostors, and block."""

from pathlib import Path

from tests.harness.homes import Home, events


def meet(host: Home, guest: Home, room: str) -> None:
    blob = host.run("invite", room, "--no-wait").found("invite")[0]["blob"]
    guest.run("join", blob, "--no-chat")


def peer(home: Home, id_: str) -> dict[str, object]:
    (row,) = [row for row in home.run("peers").found("peer") if row["peer"] == id_]
    return row


def own_id(home: Home) -> str:
    found: str = home.run("id").found("identity")[0]["peer"]
    return found


def test_two_compare_numbers_and_check_a_proof(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    bob.run("send", "Ann", "hello", "--wait")
    assert ann.run("log", "Bob").found("message")[0]["verified"] is False
    assert "Bob (unverified): hello" in ann.run("log", "Bob", json=False).out
    assert {row["name"]: row.get("verified") for row in ann.run("members", "Bob").rows[:-1]} == {
        "Ann": None,
        "Bob": False,
    }
    hers = ann.run("verify", "Bob").found("safety-number")[0]
    his = bob.run("verify", "Ann").found("safety-number")[0]
    assert [hers[field] for field in ("number", "words", "qr")] == [
        his[field] for field in ("number", "words", "qr")
    ]
    ann.run("verify", "Bob", "--confirm")
    assert ann.run("log", "Bob").found("message")[0]["verified"] is True
    # His comes by a page; it is on disk, and nothing of it is Ann's to decide.
    posted = ann.run("proof", "--for", "https://example.org/~ann", json=False).out
    checked = bob.run("verify", "Ann", "--proof", "> " + posted.replace("\n", "\n> "))
    assert checked.found("proof")[0]["place"] == "https://example.org/~ann"
    ann.run("down")
    bob.run("down")
    assert peer(ann, own_id(bob))["how"] == "number"
    assert peer(bob, own_id(ann))["how"] == "proof"
    bob.run("verify", "Ann", "--revoke")
    assert peer(bob, own_id(ann))["verified"] is False


def test_an_impostor_is_shouted_where_it_joins_and_where_it_is_listed(
    friends: tuple[Home, Home], tmp_path: Path
) -> None:
    ann, bob = friends
    ann.run("verify", "Bob", "--confirm")
    impostor = Home("Bob", tmp_path / "impostor")
    try:
        impostor.up()
        waiting = ann.start("invite")
        feed = events(waiting)
        invite = next(row for row in feed if row["event"] == "invite")
        impostor.run("join", invite["blob"], "--no-chat")
        told = [row for row in feed if row["event"] == "name-clash"]
        assert [(row["peer"], row["known"], row["verified"]) for row in told] == [
            (own_id(impostor), own_id(bob), True)
        ]
        assert peer(ann, own_id(impostor))["clash"] == own_id(bob)
        assert "NOT the one known as Bob" in ann.run("peers", json=False).out
        assert (
            ann.run("send", "Bob", "secret", code=3).found("error")[0]["code"] == "room-ambiguous"
        )
    finally:
        impostor.end()


def test_who_is_blocked_does_not_come_through_until_unblocked(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    ann.run("block", "Bob")
    waited = bob.run("send", "Ann", "are you there?", "--wait", "--timeout", "3", code=5)
    assert waited.found("error")[0]["code"] == "not-delivered"
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    refused = bob.run("join", blob, "--no-chat", code=4)
    assert refused.found("error")[0]["code"] == "invite-withdrawn"
    own = bob.run("invite", "--no-wait").found("invite")[0]["blob"]
    assert ann.run("join", own, code=4).found("error")[0]["code"] == "peer-blocked"
    assert ann.texts("Bob") == []
    ann.run("unblock", "Bob")
    ann.run("sync", "Bob", "--wait")
    assert ann.texts("Bob") == ["are you there?"]


def test_a_member_is_shown_as_verified_by_a_verified_friend(
    ann: Home, bob: Home, cat: Home
) -> None:
    for home in (ann, bob, cat):
        home.up()
    ann.run("room", "create", "crew")
    meet(ann, bob, "crew")
    meet(ann, cat, "crew")
    cat.run("verify", "Ann", "--confirm")
    ann.run("verify", "Bob", "--confirm")
    cat.run("sync", "crew", "--wait")
    vouchers = [{"peer": own_id(ann), "name": "Ann"}]
    members = {row["name"]: row for row in cat.run("members", "crew").found("member")}
    assert members["Bob"]["vouchers"] == vouchers
    assert members["Bob"]["verified"] is False
    assert "unverified, verified by Ann" in cat.run("members", "crew", json=False).out
    ann.run("verify", "Bob", "--revoke")
    cat.run("sync", "crew", "--wait")
    assert "verified by Ann" not in cat.run("members", "crew", json=False).out
