from tests.harness.homes import Home


def test_empty_lists_say_how_to_begin(ann: Home) -> None:
    for command in ("rooms", "peers"):
        shown = ann.run(command, json=False)
        assert shown.out == ""
        assert "p2pchat invite" in shown.err
    assert ann.run("members", "nobody", code=3).found("error")[0]["code"] == "room-unknown"
