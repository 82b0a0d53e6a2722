"""Knocking at a neighbour: nothing to paste, three words to compare."""

from tests.harness.homes import LOOPBACK, Home, events


def test_a_knock_makes_friends_with_nothing_pasted(ann: Home, bob: Home) -> None:
    ann.settings = (*LOOPBACK, "lan.visible=true")
    ann.up()
    bob.up()
    seen = bob.run("nearby").found("nearby")
    assert [(row["name"], row["kind"]) for row in seen] == [("Ann", "person")]
    asking = bob.start("knock", "Ann", "--no-chat")
    feed = events(asking)
    asked = next(row for row in feed if row["event"] == "knock")
    assert asked["state"] == "asking"
    waits = ann.run("nearby", "--timeout", "0.1").found("knock")
    assert [(row["name"], row["words"]) for row in waits] == [("Bob", asked["words"])]
    assert ann.run("approve", "Bob").found("knock")[0]["state"] == "accepted"
    rest = list(feed)
    assert next(row for row in rest if row["event"] == "joined")["name"] == "Ann"
    assert rest[-1] == {"v": 1, "event": "done", "ok": True, "exit": 0}
    assert not any(row.get("blob") for row in rest)
    assert bob.run("send", "Ann", "hello", "--wait").found("delivered")


def test_who_is_visible_only_while_a_command_runs_turns_a_knock_away(ann: Home, bob: Home) -> None:
    shown = ann.start("nearby", "--visible")
    feed = events(shown)
    next(row for row in feed if row["event"] == "note")
    asking = bob.start("knock", "Ann", "--no-chat")
    knock = next(row for row in feed if row["event"] == "knock")
    assert (knock["state"], knock["name"]) == ("waiting", "Bob")
    ann.run("deny", knock["words"].replace(" ", "-"))
    error = next(row for row in events(asking) if row["event"] == "error")
    assert error["code"] == "knock-declined"
    assert asking.wait(20) == 4


def test_nobody_to_knock_at_and_nobody_who_knocks_are_told(ann: Home) -> None:
    alone = ann.run("knock", "Nobody", "--timeout", "2", code=5)
    assert alone.found("error")[0]["code"] == "unreachable"
    none = ann.run("approve", "Nobody", code=3)
    assert none.found("error")[0]["code"] == "knock-unknown"
    assert "--visible" in ann.run("nearby", "--timeout", "1", json=False).err
