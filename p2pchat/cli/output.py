"""The only place that writes to the terminal. Its rules:

- What a script or a pipe wants (a blob, a magnet, messages, rows) goes to stdout; all else to
  stderr. With `--json` stdout has one JSON object a line and nothing else; the last is `done`.
- Errors are `p2pchat: what happened` and `hint: what to do next`, lower case, no full stop.
- Whatever a peer may have chosen passes `text.printable`: a terminal obeys what it is shown.
- Colours and progress bars only where stderr or stdout is a terminal; NO_COLOR is honoured.
"""

import io
import json
import os
import sys
import time
from contextlib import suppress
from datetime import datetime

import msgspec

from p2pchat import events
from p2pchat.cli.prose import prose
from p2pchat.cli.streams import lost
from p2pchat.errors import Error
from p2pchat.text import printable, span

__all__ = ["Output"]


_ID = 7
"""Letters of a message's id that are shown: enough to name it in one room."""
_DOUBT = "?"
"""Stands by a time that is of a wrong clock."""


class Output:
    """Raises errors.Error `disk-full`, `output-unwritable` and streams.Closed where stdout takes
    nothing; where stderr takes nothing nobody can be told.

    `stands`: what is done for good and stays so where it cannot be shown, "the message is written".
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.stands = ""
        self.colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        # Where it cannot show a tick, it would fail at the first.
        self.plain = "utf" not in (sys.stdout.encoding or "").lower()
        self._bar = False
        self._reported = False
        self._doubted: set[str] = set()
        """authors whose wrong clock was explained"""

    def event(self, event: events.Event) -> None:
        """Show one event: as JSON, or as people read it."""
        if self.json:
            self._line(event)
            return
        if isinstance(event, events.Transfer) and event.state not in ("complete", "failed"):
            self._progress(event)
            return
        self._end_bar()
        text = self.text(event)
        if text is not None:
            self.say(text)
        self.explain(event)

    def row(self, event: events.Event) -> None:
        """Show one event of a listing."""
        if self.json:
            self._line(event)
        else:
            text = self.text(event)
            if isinstance(event, events.Transfer):
                text = _transfer(event)
            if text is not None:
                self.say(text)

    def say(self, text: str) -> None:
        """A line on stdout; nothing with `--json`."""
        if not self.json:
            self._put(text + "\n")

    def explain(self, event: events.Event) -> None:
        """Say once of each author what the sign by the time of a message means."""
        if not isinstance(event, events.Message) or event.clock_off is None or self.json:
            return
        if event.author not in self._doubted:
            self._doubted.add(event.author)
            whose = "your" if event.verified is None else f"{event.name}'s"
            word, other = ("ahead", "behind") if event.clock_off > 0 else ("behind", "ahead")
            self.note(
                f"{_DOUBT} by a time: {whose} clock was {span(event.clock_off)} {word}, or those "
                f"around it {other}; the messages are in order nevertheless"
            )

    def bell(self) -> None:
        """Ring, where somebody can hear it."""
        if not self.json and sys.stdout.isatty():
            self._put("\a")

    def note(self, text: str) -> None:
        """A line for people, on stderr."""
        self._end_bar()
        _tell(printable(text, lines=True) + "\n")

    def error(self, error: Error) -> None:
        self._reported = True
        self._end_bar()
        message, hint = printable(error.message, lines=True), printable(error.hint, lines=True)
        _tell(f"p2pchat: {message}\nhint: {hint}\n")
        if self.json:
            # A path may have bytes that are no text.
            told = (one.encode(errors="replace").decode() for one in (error.message, error.hint))
            message, hint = told
            self._line(events.Failure(code=error.code, message=message, hint=hint))

    def done(self, exit_code: int) -> None:
        """The last line of every run."""
        self._end_bar()
        if self.json:
            self._line(events.Done(ok=exit_code == 0, exit=exit_code))

    def _line(self, event: msgspec.Struct) -> None:
        line = msgspec.json.encode(events.as_json(event)).decode()
        if self.plain and not line.isascii():
            # JSON that any encoding can carry.
            line = json.dumps(json.loads(line), separators=(",", ":"))
        self._put(line + "\n")

    def _put(self, text: str) -> None:
        try:
            print(text, end="", flush=True)  # noqa: T201
        except OSError as error:
            raise lost(error, self.stands) from error

    # -- texts ---------------------------------------------------------------------------------

    def text(self, event: events.Event) -> str | None:
        """An event as a line for people; None if it is not for them."""
        match event:
            case events.Message():
                name = self._named(event.name, event.colour) + _doubt(event)
                text = "(deleted)" if event.deleted else prose(event.text)
                said = f"{name}: {text}"
                if event.text.startswith("/me ") and not event.deleted:
                    said = f"* {name} {prose(event.text[4:])}"
                when = _clock(event.time) + _DOUBT * (event.clock_off is not None)
                return f"[{when} {event.id[:_ID]}] {said}{_marks(event)}"
            case events.Changed():
                return _changed(event)
            case events.Share():
                shown = f"{printable(event.name)} ({_size(event.size)})"
                return f"* shared {shown}: {event.magnet}"
            case events.Peer():
                how = f" ({event.via}, {event.path})" if event.path else ""
                seen = f", last seen {_clock(event.last_seen)}" if event.last_seen else ""
                name = self._named(event.name, event.colour)
                called = f" ({printable(event.own_name)})" if event.own_name else ""
                away = ", away" if event.presence == "away" else ""
                state = f"{event.state}{how}{away}{_trust(event)}{seen}"
                return f"* {name}{called} [{event.peer[:8]}] {state}"
            case events.Forked():
                name = printable(event.name)
                return (
                    f"! {name} [{event.peer[:8]}] has signed two different histories: its profile"
                    " was copied and runs twice, or it lies; that log stops here"
                )
            case events.Joined(kind="group") if event.invite is None:
                name = printable(event.name)
                return f"* you are in {name}; write with: p2pchat send {_quoted(name)} TEXT"
            case events.Pending():
                return (
                    f"* you asked to be let into {printable(event.name)}; its members have to "
                    "approve, and until then nothing can be read"
                )
            case events.Denied():
                return f"* the members of {printable(event.name)} did not let you in"
            case events.JoinRequest():
                name = printable(event.name)
                return (
                    f"* {name} [{event.peer[:8]}] asks to be let in; let them in with: "
                    f"p2pchat approve {event.room[:8]} {_quoted(name)}"
                )
            case events.Nearby():
                shown = f"{printable(event.name)} [{event.id[:8]}]"
                return f"{shown} a room, shown by {printable(event.by)}" if event.by else shown
            case events.Knock():
                return _knock(event)
            case events.Membership():
                return f"* {printable(event.name)} [{event.peer[:8]}] {_CHANGES[event.change]}"
            case events.Joined():
                return f"* connected with {printable(event.name)}; write with: p2pchat send " + (
                    f"{_quoted(printable(event.name))} TEXT"
                )
            case events.Presence():
                state = "away" if event.presence == "away" else "back"
                who, verb = ("you", "are") if event.me else (printable(event.name), "is")
                return f"* {who} {verb} {state}"
            case events.Read():
                return f"* {'you have' if event.me else printable(event.name) + ' has'} read this"
            case events.Delivered():
                return f"* delivered to {_person(event)}"
            case events.Sync():
                where = f" in {printable(event.room_name)}" if event.room_name else ""
                return f"* with {_person(event)}{where}: {_level(event)}"
            case events.Identity():
                return f"{printable(event.name)}\n{event.peer}\n{event.home}"
            case events.Status():
                running = f"running (process {event.pid})" if event.running else "not running"
                return (
                    f"{printable(event.name)} [{event.peer[:8]}], {running}\n"
                    f"{_many(event.contacts, 'contact')}, {event.connected} connected; "
                    f"{_many(event.rooms, 'room')}, {_many(event.entries, 'entry', 'entries')}; "
                    f"{_many(event.invites, 'invite')} waiting{_ways(event)}"
                )
            case events.Waiting():
                told = f": {printable(event.text)}" if event.text else ""
                return (
                    f"* {event.number}: joining {printable(event.name)} [{event.peer[:8]}], until "
                    f"{_clock(event.expires)}{told}; p2pchat cancel {event.number} gives it up"
                )
            case events.RoomRow():
                newest = f", newest message {_clock(event.time)}" if event.time else ""
                many = "1000 or more" if event.unread >= 1_000 else str(event.unread)
                unread = f", {many} unread" if event.unread else ""
                return _room(event) + f", {event.entries} entries{newest}{unread}"
            case events.Member():
                state = "online" if event.online else "offline"
                if event.me or event.presence == "away":
                    state = "you" if event.me else "away"
                elif event.last_seen and not event.online:
                    state += f", last seen {_clock(event.last_seen)}"
                name = self._named(event.name, event.colour)
                role = ", admin" if event.role == "admin" else ""
                return f"{name} [{event.peer[:8]}] {state}{role}{_trust(event)}{_off(event)}"
            case events.SafetyNumber():
                return self._number(event)
            case events.Proof():
                if event.text is not None:
                    return event.text
                place = f", to be found at {printable(event.place)}" if event.place else ""
                return (
                    f"the proof holds: [{event.peer[:8]}] signed as {printable(event.name)} "
                    f"on {event.time[:10]}{place}"
                )
            case events.NameClash():
                name, whom = printable(event.name), "verified" if event.verified else "known"
                return self._loud(
                    f"!! {name} [{event.peer[:8]}] is not the {name} [{event.known[:8]}] {whom} "
                    f"here: another key under that name; p2pchat verify {event.peer[:8]}"
                )
            case events.Vouch():
                return _vouch(event)
            case events.Setting():
                value = msgspec.json.encode(event.value).decode()
                return f"{event.key} = {value}  ({event.source})"
            case events.Transfer():
                return _transfer(event)
            case events.Finding():
                remedy = f"\n         {printable(event.hint)}" if event.hint else ""
                return (
                    f"{'ok' if event.ok else '!!':<3}{event.check}: {printable(event.text)}{remedy}"
                )
            case events.Exported():
                return f"{event.entries} entries written to {printable(event.path)}"
            case events.Imported():
                whole = "the profile is restored; " if event.restored else ""
                return f"{whole}{event.added} entries added, {event.known} known already"
            case events.Note():
                self.note(event.text)
        return None

    def _named(self, name: str, colour: str | None) -> str:
        """A name, bold and in the colour of its key."""
        if not self.colour:
            return printable(name)
        shade = f";38;5;{_cube(colour)}" if colour else ""
        return f"\x1b[1{shade}m{printable(name)}\x1b[0m"

    def _loud(self, text: str) -> str:
        return f"\x1b[1;7m{text}\x1b[0m" if self.colour else text

    def _number(self, event: events.SafetyNumber) -> str:
        groups = event.number.split(" ")
        rows = [" ".join(groups[start : start + 4]) for start in range(0, len(groups), 4)]
        name = printable(event.name)
        lines = [
            f"safety number with {name} [{event.peer[:8]}]{_trust(event)}",
            "",
            *(f"    {row}" for row in rows),
            "",
            f"    {event.words}",
        ]
        if sys.stdout.isatty():
            import segno

            code = io.StringIO()
            segno.make(event.qr, error="m").terminal(code, compact=True)
            # Light on dark whatever the terminal's own colours: not every reader takes the reverse.
            begin, end = ("\x1b[97;40m", "\x1b[0m") if self.colour else ("", "")
            lines += ["", *(f"{begin}{row}{end}" for row in code.getvalue().splitlines())]
        return "\n".join(lines)

    def _progress(self, event: events.Transfer) -> None:
        if not sys.stderr.isatty():
            return
        self._bar = True
        share = event.done / event.total if event.total else 0
        width = 30
        bar = "#" * int(share * width)
        left = (event.total - event.done) / event.rate if event.rate else None
        eta = f", {left:.0f} s left" if left is not None and share < 1 else ""
        line = (
            f"\r\x1b[K{printable(event.name or '')[:24]} [{bar:<{width}}] {share:4.0%} "
            f"{_size(event.rate)}/s, {event.peers} peers, {event.state}{eta}"
        )
        _tell(line)

    def _end_bar(self) -> None:
        if self._bar:
            self._bar = False
            _tell("\n")


def _person(event: events.Delivered | events.Sync) -> str:
    return (f"{printable(event.name)} " if event.name else "") + f"[{event.peer[:8]}]"


def _level(event: events.Sync) -> str:
    """Who lacks how much, where anybody does and that is known."""
    if event.state == "comparing":
        return event.state
    lacking = [
        f"{who} {_many(count, 'entry', 'entries')}"
        for who, count in (("you lack", event.behind), ("they lack", event.ahead))
        if count
    ]
    return ", ".join(lacking) or "in sync"


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _tell(text: str) -> None:
    """On stderr, if it can be."""
    with suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)  # noqa: T201


def _ways(event: events.Status) -> str:
    """By what friends can be found, where a node runs."""
    joins = f", {_many(event.joins, 'join')} waiting" if event.joins else ""
    if not event.running:
        return joins
    ways = ["on the network"] if event.lan else []
    if event.dht is not None:
        ways.append(f"in the DHT ({event.dht} nodes)")
    if event.mailbox is not None:
        ways.append(f"at the mailbox ({event.mailbox})")
    return f"{joins}\nfriends find you {', '.join(ways) or 'by paste alone'}"


_CHANGES = {
    "joined": "is in the room now",
    "left": "has left the room",
    "removed": "was removed from the room",
    "admin": "is an admin of the room now",
    "member": "is no admin of the room any more",
}


def _room(event: events.RoomRow) -> str:
    shown = f"{printable(event.name)} [{event.room[:8]}]"
    if event.state is not None and event.state != "member":
        return f"{shown} {_STATES[event.state]}"
    if event.kind == "group":
        count = f"{event.members} member" + ("s" if event.members != 1 else "")
        role = ", you are an admin" if event.role == "admin" else ""
        topic = f", {printable(event.topic)}" if event.topic else ""
        return f"{shown} {count}{role}{topic}"
    return shown


_STATES = {
    "pending": "waits for its members to let you in",
    "joining": "is being joined",
    "left": "was left",
    "removed": "removed you",
}


def _doubt(event: events.Message) -> str:
    """What to know of a message's author before believing it."""
    if event.clash:
        return f" (unverified, NOT [{event.clash[:8]}])"
    return " (unverified)" if event.verified is False else ""


def _trust(event: events.Peer | events.Member | events.SafetyNumber) -> str:
    """What is known of a key."""
    if event.verified is None:
        return ""
    shown = ", verified" if event.verified else ", unverified"
    if isinstance(event, events.Peer) and event.how == "proof":
        shown += f" by proof ({printable(event.place)})" if event.place else " by proof"
    if event.vouchers and not event.verified:
        shown += f", verified by {', '.join(printable(one.name) for one in event.vouchers)}"
    if isinstance(event, events.SafetyNumber):
        return shown
    if event.blocked:
        shown += ", blocked"
    if event.clash:
        shown += f", !! NOT the one known as {printable(event.name)} [{event.clash[:8]}]"
    return shown + (", has signed two histories" if event.forked else "")


def _off(event: events.Member) -> str:
    """How wrong somebody's clock is."""
    if event.clock_off is None:
        return ""
    return f", clock {span(event.clock_off)} {'ahead' if event.clock_off > 0 else 'behind'}"


def _vouch(event: events.Vouch) -> str:
    author = f"{printable(event.author_name)} [{event.author[:8]}]"
    if not event.verified:
        author += " (unverified)"
    whom = "you" if event.me else f"{printable(event.name)} [{event.peer[:8]}]"
    if event.vouches:
        return f"* {author} has verified {whom}"
    return f"* {author} has taken back that they verified {whom}"


def _knock(event: events.Knock) -> str:
    name, words = printable(event.name), event.words.replace(" ", "-")
    into = f" at the door of {printable(event.room_name)}" if event.room_name else ""
    match event.state:
        case "asking":
            return (
                f"* you knock at {name}{into}; the words, the same on both sides: {words}\n"
                "  compare them now, by voice; where they differ somebody is in between"
            )
        case "waiting":
            return (
                f"* {name} knocks{into}; the words, the same on both sides: {words}\n"
                f"  compare them by voice, then: p2pchat approve {words}"
            )
        case "accepted" if event.blob is not None:
            return f"* {name} lets you in"
    return f"* {name}, who knocked, {_KNOCKS[event.state]}"


_KNOCKS = {"accepted": "was let in", "declined": "was turned away", "gone": "has gone"}


def _cube(colour: str) -> int:
    """`#rrggbb` of the 6x6x6 cube, as its number among a terminal's 256 colours."""
    red, green, blue = (_CUBE.index(colour[start : start + 2]) for start in (1, 3, 5))
    return 16 + 36 * red + 6 * green + blue


_CUBE = ("00", "5f", "87", "af", "d7", "ff")


def _marks(event: events.Message) -> str:
    """What stands behind a message's text."""
    marks = [f"answers {event.reply_to[:_ID]}"] if event.reply_to else []
    marks += ["edited"] if event.edited else []
    marks += ["pinned"] if event.pinned else []
    marks += [f"until {_clock(event.expires)}"] if event.expires else []
    marks += [f"{printable(one.text)} {len(one.peers)}" for one in event.reactions or ()]
    if not marks:
        return ""
    return ("\n  " if "\n" in event.text else "  ") + f"({', '.join(marks)})"


def _changed(event: events.Changed) -> str:
    name, which = printable(event.name or ""), event.id[:_ID]
    match event.change:
        case "edited":
            return f"* {name} edited {which}: {prose(event.text or '')}"
        case "deleted":
            return f"* {name} deleted {which}"
        case "reaction":
            what = printable(event.text or "")
            return f"* {name} {'reacts' if event.on else 'no longer reacts'} to {which}: {what}"
        case "pinned":
            return f"* {name} {'pinned' if event.on else 'unpinned'} {which}"
        case "expired":
            return f"* {which} has disappeared"


def _transfer(event: events.Transfer) -> str:
    name = printable(event.name or event.id[:8])
    where = f" -> {printable(event.path)}" if event.path else ""
    return f"{name} [{event.id[:8]}] {event.state}, {_size(event.total)}{where}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def _clock(stamp: str) -> str:
    """A UTC time stamp as local time."""
    local = datetime.fromisoformat(stamp).astimezone()
    today = time.strftime("%Y-%m-%d")
    return local.strftime("%H:%M" if local.strftime("%Y-%m-%d") == today else "%Y-%m-%d %H:%M")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
