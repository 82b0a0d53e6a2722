"""Two people meet, write, part, and are back in sync."""

import asyncio
import os
import resource
import signal
import subprocess
from pathlib import Path

from p2pchat import Node
from tests.harness.homes import LOOPBACK, NO_CARRIER, Home, events

_APART = 500


def test_one_paste_connects_two_homes_on_one_machine(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    sent = ann.run("send", "Bob", "hello", "Bob", "--wait")
    assert sent.found("delivered")
    bob.run("send", "@Ann", "-", "--wait", stdin="two\nlines\n")
    assert ann.texts("Bob") == bob.texts("Ann") == ["hello Bob", "two\nlines"]
    assert ann.run("peers").found("peer")[0]["state"] == "connected"
    assert ann.run("peers").found("peer")[0]["via"] == "lan"


def test_a_waiting_invite_tells_who_has_come(ann: Home, bob: Home) -> None:
    waiting = ann.start("invite")
    feed = events(waiting)
    invite = next(row for row in feed if row["event"] == "invite")
    assert len(invite["blob"]) <= 300
    bob.up()
    bob.run("join", "-", "--no-chat", stdin=f'> "{invite["blob"][:90]}\n{invite["blob"][90:]}"\n')
    joined = next(row for row in feed if row["event"] == "joined")
    assert joined["name"] == "Bob"
    assert list(feed)[-1] == {"v": 1, "event": "done", "ok": True, "exit": 0}


def test_two_pastes_connect_where_nothing_else_can(ann: Home, bob: Home) -> None:
    ann.settings = bob.settings = (*LOOPBACK, *NO_CARRIER)
    waiting, joining = ann.start("invite"), None
    feed = events(waiting)
    invite = next(row for row in feed if row["event"] == "invite")
    bob.up()
    joining = bob.start("join", invite["blob"], "--no-chat")
    reply = next(row for row in events(joining) if row["event"] == "reply")
    assert waiting.stdin is not None
    waiting.stdin.write(reply["blob"][:100] + "\n" + reply["blob"][100:] + "\n")
    waiting.stdin.flush()
    assert next(row for row in feed if row["event"] == "joined")["name"] == "Bob"
    assert next(row for row in events(joining) if row["event"] == "joined")["name"] == "Ann"
    assert bob.run("rooms").found("room")[0]["name"] == "Ann"


def test_a_reply_can_be_handed_in_from_another_shell(ann: Home, bob: Home) -> None:
    ann.settings = bob.settings = (*LOOPBACK, *NO_CARRIER)
    ann.up()
    bob.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    joining = bob.start("join", blob, "--no-chat")
    reply = next(row for row in events(joining) if row["event"] == "reply")
    assert ann.run("reply", reply["blob"]).found("joined")
    assert joining.wait(20) == 0


async def _write(home: Home, room: str, count: int) -> None:
    async with Node.open(home.path, online=False) as node:
        there = await node.room(room)
        for number in range(count):
            await there.send(f"{home.name} {number}")


def test_what_was_written_apart_is_in_both_logs_in_one_order(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    ann.run("down")
    bob.run("down")
    asyncio.run(_write(ann, "Bob", _APART))
    asyncio.run(_write(bob, "Ann", _APART))
    ann.up()
    bob.up()
    synced = ann.run("sync", "Bob", "--wait")
    assert synced.found("sync")[-1]["state"] == "in-sync"
    ours, theirs = ann.texts("Bob"), bob.texts("Ann")
    assert ours == theirs
    assert len(ours) == 2 * _APART
    for name in ("Ann", "Bob"):
        own = [text for text in ours if text.startswith(name)]
        assert own == [f"{name} {number}" for number in range(_APART)]


def test_contacts_find_each_other_again_without_an_invite(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    bob.run("down")
    bob.up()
    ann.run("send", "Bob", "still there?", "--wait", "--timeout", "10")


def test_kill_9_of_either_node_loses_nothing_acknowledged(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    acknowledged: list[str] = []
    for number in range(12):
        if number == 4:
            bob.kill()
        if number == 6:
            ann.kill()
            ann.up()
        if number == 8:
            bob.up()
        done = ann.run("send", "Bob", f"message {number}", code=None)
        if done.code == 0:
            acknowledged.append(done.found("message")[0]["text"])
    assert len(acknowledged) >= 10
    ann.run("sync", "--wait")
    assert ann.texts("Bob") == bob.texts("Ann")
    assert [text for text in ann.texts("Bob") if text in acknowledged] == acknowledged


def test_kill_9_in_the_middle_of_a_send_loop_loses_nothing_acknowledged(
    friends: tuple[Home, Home], tmp_path: Path
) -> None:
    ann, bob = friends
    ann.run("down")
    writer = tmp_path / "writer.py"
    writer.write_text(
        "import asyncio, sys, p2pchat\n"
        "async def main():\n"
        "    async with p2pchat.Node.open(sys.argv[1], online=False) as node:\n"
        "        room = await node.room('Bob')\n"
        "        for number in range(100000):\n"
        "            message = await room.send(f'{sys.argv[2]} {number}')\n"
        "            print(message.text, flush=True)\n"
        "asyncio.run(main())\n"
    )
    told: list[str] = []
    for turn in range(5):
        process = subprocess.Popen(
            [ann.command()[0], str(writer), str(ann.path), str(turn)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        seen = [process.stdout.readline().strip() for _ in range(20 + 37 * turn)]
        os.kill(process.pid, signal.SIGKILL)
        told += seen + [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait()
    ann.up()
    ann.run("sync", "Bob", "--wait")
    kept = bob.texts("Ann")
    assert [text for text in kept if text in set(told)] == told


def test_the_version_is_printed_at_once(ann: Home) -> None:
    before = _children_s()
    done = subprocess.run([*ann.command()[:3], "--version"], capture_output=True, check=True)
    assert done.stdout.startswith(b"p2pchat ")
    # 0.02 s, and twenty times that with all imports. Of the processor: others may have it, too.
    assert _children_s() - before < 0.15


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
