"""Joins that wait for their inviter, as people see and name them.

Apart from `pursuits`, which does the joining: a listing has no use for what links are made of.
"""

from collections.abc import Sequence

from p2pchat import errors
from p2pchat.core.identity import id_text
from p2pchat.core.invite import inviter_name
from p2pchat.events import Waiting, rfc3339
from p2pchat.store import pursuits as table
from signaling.invite import Invite

__all__ = ["find_row", "waiting_row"]


def waiting_row(row: table.Row, text: str | None) -> Waiting:
    """A kept join as people see it; `text`: how far it has come."""
    invite = Invite.parse(row.blob, 0.0)
    return Waiting(
        number=row.number,
        invite=row.id.hex(),
        peer=id_text(invite.inviter),
        name=inviter_name(invite.app),
        time=rfc3339(row.made),
        expires=rfc3339(row.expires),
        text=text,
    )


def find_row(rows: Sequence[table.Row], reference: str) -> table.Row:
    """The join that a number, or the name of its inviter, means. Raises errors.BadInput."""
    wanted = reference.strip()
    found = [row for row in rows if str(row.number) == wanted]
    if not found:
        found = [row for row in rows if waiting_row(row, None).name == wanted.removeprefix("@")]
    if len(found) != 1:
        raise errors.BadInput(
            "join-unknown",
            f"{'no join' if not found else 'more than one join'} waits under {wanted!r}",
            "p2pchat status shows the joins that wait, each with its number",
        )
    return found[0]
