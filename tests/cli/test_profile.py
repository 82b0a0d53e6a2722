from p2pchat.store.profile import Profile
from tests.harness.homes import Home


def test_an_identity_is_made_once_and_renamed(ann: Home) -> None:
    made = ann.run("init").found("identity")[0]
    assert made["created"]
    assert made["name"] == "Ann"
    assert ann.run("init", code=6).found("error")[0]["code"] == "identity-exists"
    assert ann.run("rename", "Anna").found("identity")[0]["name"] == "Anna"
    kept = ann.run("id").found("identity")[0]
    assert (kept["peer"], kept["name"]) == (made["peer"], "Anna")


def test_settings_are_shown_with_where_they_came_from(ann: Home) -> None:
    rows = {row["key"]: row for row in ann.run("config").found("setting")}
    assert rows["net.interfaces"]["value"] == ["lo"]
    assert rows["net.interfaces"]["source"] == "--set"
    assert rows["lan.enabled"]["source"] == "default"
    outcome = ann.run("config", env={"P2PCHAT_API_PORT": "9"})
    assert {"key": "api.port", "value": 9, "source": "environment"}.items() <= next(
        row.items() for row in outcome.found("setting") if row["key"] == "api.port"
    )


def test_completion_is_a_script(ann: Home) -> None:
    assert "_P2PCHAT_COMPLETE" in ann.run("completion", "bash", json=False).out
    ann.run("completion", "bash", code=2)


def test_a_passphrase_is_not_asked_for_where_it_could_not_be_set(ann: Home) -> None:
    ann.run("init")
    profile = Profile.open(ann.path)
    try:
        error = ann.run("passphrase", code=6).found("error")[0]
        assert error["code"] == "home-in-use"
    finally:
        profile.close()
    error = ann.run("passphrase", code=2, env={"P2PCHAT_NEW_PASSPHRASE": ""}).found("error")[0]
    assert error["code"] == "passphrase-missing"
    assert "P2PCHAT_NEW_PASSPHRASE" in str(error["hint"])
