"""doctor, of this machine and of an invite, in plain words and as JSON."""

from tests.harness.homes import Home


def test_doctor_looks_at_the_network_and_at_an_invite(ann: Home, bob: Home) -> None:
    checks = {row["check"]: row for row in bob.run("doctor").found("finding")}
    assert {"packages", "journal", "interfaces", "udp", "lan", "mailbox"} <= set(checks)
    assert all(row["ok"] for row in checks.values())
    ann.up()
    blob = ann.run("invite", "--no-wait", "--expires", "3d").found("invite")[0]["blob"]
    told = {row["check"]: row for row in bob.run("doctor", blob).found("finding")}
    assert "3 d" in told["invite"]["text"]
    assert told["invite-ways"]["ok"]
    plain = bob.run("doctor", "-", stdin=blob, json=False).out
    assert "ok invite: an invite of Ann" in plain
    # It is good for a join still; whose own it is has no use for it.
    assert "your own" in ann.run("doctor", blob, code=1).found("finding")[0]["text"]
    bob.run("join", blob, "--no-chat")


def test_doctor_refuses_what_is_no_invite(ann: Home) -> None:
    assert ann.run("doctor", "hello", code=3).found("error")[0]["code"] == "blob-foreign"
    assert ann.run("doctor", "x", "--repair", code=2).found("error")[0]["code"] == "usage"
