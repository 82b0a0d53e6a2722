import os

from tests.harness.homes import Home


def test_the_background_node_comes_and_goes(ann: Home) -> None:
    pid = ann.up()
    os.kill(pid, 0)
    status = ann.run("status").found("status")[0]
    assert status["running"]
    assert status["pid"] == pid
    assert ann.run("up", code=6).found("error")[0]["code"] == "home-in-use"
    ann.run("down")
    assert not ann.run("status").found("status")[0]["running"]
    assert ann.run("down", code=1).found("error")[0]["code"] == "not-running"


def test_a_long_home_gets_a_short_socket(ann: Home) -> None:
    ann.path = ann.path / ("long" * 30)
    ann.up()
    assert ann.run("id").found("identity")[0]["home"] == str(ann.path)


def test_what_is_wrong_with_the_profile_is_told_by_up_itself(ann: Home) -> None:
    ann.run("id")
    (ann.path / "key").write_text("{}")
    assert ann.run("up", code=1).found("error")[0]["code"] == "home-damaged"
