"""room, approve, deny, remove, role: what a person types and reads."""

from tests.harness.homes import Home


def test_a_room_is_made_shown_set_left_and_forgotten(ann: Home) -> None:
    (made,) = ann.run("room", "create", "crew", "--topic", "boats").found("room")
    assert (made["kind"], made["members"], made["role"]) == ("group", 1, "admin")
    assert made["topic"] == "boats"
    shown = ann.run("room", "info", "crew", json=False).out
    assert "1 member" in shown
    assert "boats" in shown
    (changed,) = ann.run("room", "set", "crew", "history", "new").found("room")
    assert changed["settings"]["history"] == "new"
    ann.run("room", "set", "crew", "colour", "red", code=2)
    assert ann.run("room", "set", "crew", "timer", "x", code=3).rows[-2]["code"] == "setting-value"
    assert ann.run("members", "crew").found("member")[0]["role"] == "admin"
    assert ann.run("approve", "crew", "Bob", code=3).rows[-2]["code"] == "request-unknown"
    assert ann.run("deny", "crew", "Bob", code=3).rows[-2]["code"] == "request-unknown"
    assert ann.run("remove", "crew", "Bob", code=3).rows[-2]["code"] == "peer-unknown"
    assert ann.run("remove", "crew", "Ann", code=4).rows[-2]["code"] == "not-allowed"
    assert ann.run("role", "crew", "Bob", "admin", code=3).rows[-2]["code"] == "peer-unknown"
    assert ann.run("room", "forget", "crew", code=4).rows[-2]["code"] == "still-a-member"
    assert "no member" in ann.run("room", "leave", "crew", json=False).err
    assert "was left" in ann.run("rooms", json=False).out
    assert ann.run("send", "crew", "hello?", code=4).rows[-2]["code"] == "not-a-member"
    ann.run("room", "forget", "crew")
    assert ann.run("rooms").found("room") == []
    assert ann.run("room", "info", "crew", code=3).rows[-2]["code"] == "room-unknown"
