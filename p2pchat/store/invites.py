"""Our own invites on disk: open -> claimed(device) -> used, or dead.

The states are moved by conditional updates, so that a blob works once whatever happens at the same
time or in between (docs/protocol.md, 6: Invite states).
"""

from dataclasses import dataclass

from p2pchat.store.database import Connection

__all__ = ["InviteRow", "add", "claim", "forget_expired", "living", "use", "withdraw"]


@dataclass(frozen=True, slots=True)
class InviteRow:
    id: bytes
    secret: bytes
    expires: float
    state: str


def add(tx: Connection, id_: bytes, secret: bytes, expires: float) -> None:
    tx.execute(
        "INSERT INTO invites (id, secret, expires, state) VALUES (?, ?, ?, 'open')",
        (id_, secret, expires),
    )


def living(tx: Connection) -> list[InviteRow]:
    """All that may still be answered, used and withdrawn ones too."""
    rows = tx.execute("SELECT id, secret, expires, state FROM invites")
    return [InviteRow(*row) for row in rows]


def claim(tx: Connection, id_: bytes, device: bytes) -> str | None:
    """Let `device` have the invite. None, or why not: `invite-used`, `invite-withdrawn`.

    The device that has it may claim it again: its first reply may have been lost.
    """
    row = tx.execute("SELECT state, device FROM invites WHERE id = ?", (id_,)).fetchone()
    if row is None or row[0] == "dead":
        return "invite-withdrawn"
    if row[0] == "open":
        tx.execute("UPDATE invites SET state = 'claimed', device = ? WHERE id = ?", (device, id_))
        return None
    return None if row[1] == device else "invite-used"


def use(tx: Connection, id_: bytes) -> None:
    tx.execute("UPDATE invites SET state = 'used' WHERE id = ? AND state = 'claimed'", (id_,))


def withdraw(tx: Connection, id_: bytes) -> bool:
    """Whether there was an open one."""
    cursor = tx.execute("UPDATE invites SET state = 'dead' WHERE id = ? AND state = 'open'", (id_,))
    return bool(cursor.rowcount)


def forget_expired(tx: Connection, before: float) -> None:
    tx.execute("DELETE FROM invites WHERE expires < ?", (before,))
