"""Our own invites on disk: open -> claimed(device) -> used, or dead.

The states are moved by conditional updates, so that a blob works once whatever happens at the same
time or in between (docs/protocol.md, 6: Invite states). Guesses at a password are counted before
they are looked at, and given back with the claim, so what stands there is the wrong ones and those
that a crash or a cut left open.
"""

from dataclasses import dataclass

from p2pchat.core.bounds import GUESSES_MAX
from p2pchat.store.database import Connection

__all__ = [
    "InviteRow",
    "add",
    "claim",
    "forget_expired",
    "guess",
    "living",
    "right",
    "use",
    "withdraw",
]


@dataclass(frozen=True, slots=True)
class InviteRow:
    id: bytes
    secret: bytes
    expires: float
    state: str
    password: bytes | None = None
    nameplate: int | None = None


def add(
    tx: Connection,
    id_: bytes,
    secret: bytes,
    expires: float,
    password: bytes | None = None,
    nameplate: int | None = None,
) -> None:
    """`password`: the key of one (`core.password`), where it is needed besides the secret.

    With a `nameplate` it is that of a spoken code, which the invite is delivered for.
    """
    tx.execute(
        "INSERT INTO invites (id, secret, expires, state, password, nameplate)"
        " VALUES (?, ?, ?, 'open', ?, ?)",
        (id_, secret, expires, password, nameplate),
    )


def living(tx: Connection) -> list[InviteRow]:
    """All that may still be answered, used and withdrawn ones too."""
    rows = tx.execute("SELECT id, secret, expires, state, password, nameplate FROM invites")
    return [InviteRow(*row) for row in rows]


def guess(tx: Connection, id_: bytes) -> int | str:
    """Count a password that is about to be tested; how many more may be, or why this one may not.

    The third guess makes the invite dead, unless `claim` gives it back. Why not: `invite-locked`,
    `invite-used`, `invite-withdrawn`.
    """
    row = tx.execute("SELECT state, guesses FROM invites WHERE id = ?", (id_,)).fetchone()
    if row is None or (row[0] == "dead" and row[1] < GUESSES_MAX):
        return "invite-withdrawn"
    if row[1] >= GUESSES_MAX:
        return "invite-locked" if row[0] in ("open", "dead") else "invite-used"
    tx.execute("UPDATE invites SET guesses = guesses + 1 WHERE id = ?", (id_,))
    return int(GUESSES_MAX - row[1] - 1)


def right(tx: Connection, id_: bytes) -> None:
    """The guess was right: it does not count."""
    tx.execute("UPDATE invites SET guesses = max(0, guesses - 1) WHERE id = ?", (id_,))


def claim(tx: Connection, id_: bytes, device: bytes) -> str | None:
    """Let `device` have the invite. None, or why not: `invite-used`, `invite-withdrawn`,
    `invite-locked` (its code was guessed at thrice since it was delivered).

    The device that has it may claim it again: its first reply may have been lost. Where the invite
    has a password it was the right one, so its guess does not count.
    """
    row = tx.execute(
        "SELECT state, device, nameplate, guesses FROM invites WHERE id = ?", (id_,)
    ).fetchone()
    if row is None or row[0] == "dead":
        return "invite-withdrawn"
    coded = row[2] is not None
    if coded and row[0] == "open" and row[3] >= GUESSES_MAX:
        return "invite-locked"
    if row[0] != "open" and row[1] != device:
        return "invite-used"
    if row[0] == "open":
        tx.execute("UPDATE invites SET state = 'claimed', device = ? WHERE id = ?", (device, id_))
    if not coded:
        right(tx, id_)
    return None


def use(tx: Connection, id_: bytes) -> None:
    tx.execute("UPDATE invites SET state = 'used' WHERE id = ? AND state = 'claimed'", (id_,))


def withdraw(tx: Connection, id_: bytes) -> bool:
    """Whether there was an open one."""
    cursor = tx.execute("UPDATE invites SET state = 'dead' WHERE id = ? AND state = 'open'", (id_,))
    return bool(cursor.rowcount)


def forget_expired(tx: Connection, before: float) -> None:
    """Those that expired before that, and where they led."""
    tx.execute(
        "DELETE FROM invite_rooms WHERE id IN (SELECT id FROM invites WHERE expires < ?)", (before,)
    )
    tx.execute("DELETE FROM invites WHERE expires < ?", (before,))
