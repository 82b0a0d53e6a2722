import json

import msgspec
import pytest

from p2pchat import events
from p2pchat.cli.output import Output
from p2pchat.errors import BadInput

NASTY = "a\x1b[31m\x07\u202eb"
MESSAGE = events.Message(
    room="r" * 52, id="i" * 52, author="a" * 52, name=NASTY, time=events.rfc3339(0), text=NASTY
)
SHOWN = [
    MESSAGE,
    events.Message(
        room="r" * 52,
        id="i" * 52,
        author="a" * 52,
        name=NASTY,
        time=events.rfc3339(0),
        text=f"```\n{NASTY}\n```",
        reply_to="j" * 52,
        edited=True,
        reactions=[events.Reaction(text=NASTY, peers=["a" * 52])],
        expires=events.rfc3339(1),
    ),
    events.Changed(room="r" * 52, id="i" * 52, change="edited", name=NASTY, text=NASTY),
    events.Changed(room="r" * 52, id="i" * 52, change="deleted", name=NASTY),
    events.Changed(room="r" * 52, id="i" * 52, change="reaction", name=NASTY, text=NASTY),
    events.Changed(room="r" * 52, id="i" * 52, change="pinned", name=NASTY, on=False),
    events.Changed(room="r" * 52, id="i" * 52, change="expired"),
    events.Share(id="s" * 52, name=NASTY, size=5_000, magnet="magnet:?x"),
    events.Peer(peer="p" * 52, name=NASTY, state="connected", via="lan", path="direct"),
    events.Joined(room="r" * 52, name=NASTY, members=[]),
    events.Nearby(id="ab" * 8, name=NASTY, kind="room", by=NASTY),
    events.Knock(knock="ab", name=NASTY, words="a b c", state="waiting", room_name=NASTY),
    events.Knock(knock="ab", name=NASTY, words="a b c", state="asking", room_name=NASTY),
    events.Knock(knock="ab", name=NASTY, words="a b c", state="gone"),
    events.Delivered(room="r" * 52, id="i" * 52, peer="p" * 52),
    events.Delivered(room="r" * 52, id="i" * 52, peer="p" * 52, name=NASTY),
    events.Sync(room="r" * 52, peer="p" * 52, behind=1, ahead=2, state="pulling"),
    events.Sync(
        room="r" * 52,
        peer="p" * 52,
        behind=1,
        ahead=2,
        state="pulling",
        name=NASTY,
        room_name=NASTY,
    ),
    events.RoomRow(room="r" * 52, name=NASTY, kind="direct", members=2),
    events.Member(room="r" * 52, peer="p" * 52, name=NASTY),
    events.Member(
        room="r" * 52,
        peer="p" * 52,
        name=NASTY,
        verified=False,
        clash="k" * 52,
        vouchers=[events.Voucher(peer="v" * 52, name=NASTY)],
    ),
    events.Peer(
        peer="p" * 52,
        name=NASTY,
        own_name=NASTY,
        state="connected",
        verified=True,
        how="proof",
        place=NASTY,
    ),
    events.SafetyNumber(
        peer="p" * 52, name=NASTY, number="12345 " * 11 + "0", words="a b", qr="", verified=False
    ),
    events.Proof(peer="p" * 52, name=NASTY, time=events.rfc3339(0), place=NASTY),
    events.NameClash(peer="p" * 52, name=NASTY, known="k" * 52, verified=True),
    events.Vouch(
        author="a" * 52, author_name=NASTY, peer="p" * 52, name=NASTY, vouches=True, verified=True
    ),
    events.Transfer(
        id="s" * 52, name=NASTY, done=1, total=2, rate=3, peers=4, state="complete", path=NASTY
    ),
]


@pytest.mark.parametrize("event", SHOWN, ids=lambda event: type(event).__name__)
def test_nothing_that_a_peer_chose_reaches_the_terminal_raw(
    event: events.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    Output(json=False).row(event)
    shown = capsys.readouterr().out
    assert shown.strip()
    assert not set(shown) & set("\x1b\x07\u202e")


def test_what_is_known_of_a_key_is_said_in_words() -> None:
    out = Output(json=False)
    member = events.Member(
        room="r" * 52,
        peer="p" * 52,
        name="Bob",
        verified=False,
        vouchers=[events.Voucher(peer="v" * 52, name="Ann")],
    )
    assert out.text(member) == "Bob [pppppppp] offline, unverified, verified by Ann"
    message = msgspec.structs.replace(MESSAGE, name="Bob", text="hi", verified=False)
    assert "Bob (unverified): hi" in (out.text(message) or "")
    clash = msgspec.structs.replace(message, clash="k" * 52)
    assert "Bob (unverified, NOT [kkkkkkkk]): hi" in (out.text(clash) or "")
    checked = msgspec.structs.replace(message, verified=True)
    assert "Bob: hi" in (out.text(checked) or "")


def test_a_name_has_the_colour_of_its_key_unless_none_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = msgspec.structs.replace(MESSAGE, name="Bob", text="hi", colour="#d75f00")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;38;5;166mBob\x1b[0m: hi" in (Output(json=False).text(message) or "")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in (Output(json=False).text(message) or "")


@pytest.mark.parametrize("event", SHOWN, ids=lambda event: type(event).__name__)
def test_json_is_one_object_a_line_with_every_field(
    event: events.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    Output(json=True).event(event)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == events.as_json(event)


def test_an_error_is_a_sentence_and_a_hint_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = BadInput("text-empty", f"it is {NASTY}", "write")
    Output(json=False).error(error)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("p2pchat: it is a")
    assert captured.err.endswith("hint: write\n")
    assert "\x1b" not in captured.err


def test_with_json_stdout_has_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=True)
    out.say("for people")
    out.note("for people")
    out.error(BadInput("text-empty", "it is empty", "write"))
    out.done(3)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["event"] for row in rows] == ["error", "done"]
    assert rows[-1] == {"v": 1, "event": "done", "ok": False, "exit": 3}


def test_who_differs_is_named_with_the_room(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=False)
    state = events.Sync(room="r" * 52, peer="p" * 52, behind=0, ahead=3, state="pulling")
    out.event(state)
    out.event(msgspec.structs.replace(state, name="Bob"))
    out.event(msgspec.structs.replace(state, name="Bob", room_name="crew"))
    out.event(msgspec.structs.replace(state, name="Bob", behind=1))
    out.event(msgspec.structs.replace(state, name="Bob", ahead=0, state="comparing"))
    out.event(msgspec.structs.replace(state, name="Bob", ahead=0, state="in-sync"))
    out.event(events.Delivered(room="r" * 52, id="i" * 52, peer="p" * 52, name="Bob"))
    assert capsys.readouterr().out.splitlines() == [
        "* with [pppppppp]: they lack 3 entries",
        "* with Bob [pppppppp]: they lack 3 entries",
        "* with Bob [pppppppp] in crew: they lack 3 entries",
        "* with Bob [pppppppp]: you lack 1 entry, they lack 3 entries",
        "* with Bob [pppppppp]: comparing",
        "* with Bob [pppppppp]: in sync",
        "* delivered to Bob [pppppppp]",
    ]


def test_a_node_is_told_of_in_words_that_count_right(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(json=False)
    status = events.Status(
        peer="p" * 52, name="Ann", home="/home", running=True, pid=7, contacts=1, rooms=2, entries=1
    )
    out.event(msgspec.structs.replace(status, lan=True, dht=12, joins=1))
    out.event(status)
    assert capsys.readouterr().out.splitlines() == [
        "Ann [pppppppp], running (process 7)",
        "1 contact, 0 connected; 2 rooms, 1 entry; 0 invites waiting, 1 join waiting",
        "friends find you on the network, in the DHT (12 nodes)",
        "Ann [pppppppp], running (process 7)",
        "1 contact, 0 connected; 2 rooms, 1 entry; 0 invites waiting",
        "friends find you by paste alone",
    ]
