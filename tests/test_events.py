import json

import msgspec

from p2pchat import events


def test_every_event_says_its_version_and_name() -> None:
    message = events.Message(
        room="r", id="i", author="a", name="Ann", time=events.rfc3339(0), text="hi"
    )
    assert events.as_json(message) == {
        "v": 1,
        "event": "message",
        "room": "r",
        "id": "i",
        "author": "a",
        "name": "Ann",
        "time": "1970-01-01T00:00:00.000Z",
        "text": "hi",
    }
    assert events.as_json(events.Done(ok=True, exit=0)) == {
        "v": 1,
        "event": "done",
        "ok": True,
        "exit": 0,
    }


def test_what_was_written_is_read_again() -> None:
    decoder = msgspec.json.Decoder(events.Event)
    sync = events.Sync(room="r", peer="p", behind=1, ahead=2, state="pulling")
    assert decoder.decode(json.dumps(events.as_json(sync))) == sync


def test_times_are_milliseconds_in_utc() -> None:
    assert events.rfc3339(1_800_000_000.1239) == "2027-01-15T08:00:00.123Z"
