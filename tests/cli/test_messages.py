from tests.harness.homes import Home


def test_syncing_alone_is_unreachable(ann: Home) -> None:
    outcome = ann.run("sync", "--wait", "--timeout", "1", code=5)
    assert outcome.found("error")[0]["code"] == "unreachable"
    assert ann.run("sync", "--timeout", "0", code=2).found("error")[0]["code"] == "usage"


def test_a_time_that_is_none(ann: Home) -> None:
    outcome = ann.run("log", "x", "--since", "whenever", code=3)
    assert outcome.found("error")[0]["code"] == "time-malformed"


def test_a_room_is_looked_for_before_anything_is_written(ann: Home) -> None:
    for arguments in (["send", "nobody", "hi"], ["log", "nobody"], ["sync", "nobody"]):
        assert ann.run(*arguments, code=3).found("error")[0]["code"] == "room-unknown"


def test_a_search_without_a_hit_says_so(ann: Home) -> None:
    ann.run("room", "create", "R")
    ann.run("send", "R", "something")
    found = ann.run("log", "R", "--search", "nothing", json=False)
    assert (found.out, found.err) == ("", "no message has these words\n")
    assert ann.run("log", "R", "--search", "something", json=False).err == ""
    assert ann.run("log", "R", "--search", "nothing").err == ""
