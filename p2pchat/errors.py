"""What can go wrong for a person: every error has a code, a sentence, a hint and an exit code.

The code is the identity (scripts match on it, docs/errors.md lists it); classes only group by exit
code. Raised where the cause is known, shown only at the face. `signaling` has a tree of its own;
`node` maps it here by code.

    Error            1  failed
    +-- Usage        2  the command cannot mean this
    +-- BadInput     3  a blob, magnet, id or file that is not what it should be
    +-- Refused      4  expired, used, not a member, not allowed
    +-- Unreachable  5  no connection in the time given
    +-- Busy         6  the profile is in use or locked
"""

from typing import ClassVar

__all__ = ["CODES", "BadInput", "Busy", "Error", "Refused", "Unreachable", "Usage", "error_for"]


class Error(Exception):
    """Something a person should be told, in one sentence, with what to do next.

    `message` and `hint` are lower case without a full stop, as `p2pchat: message` / `hint: hint`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        assert code in CODES, f"error code {code!r} is not registered"
        self.code = code
        self.message = message
        self.hint = hint


class Usage(Error):
    exit_code = 2


class BadInput(Error):
    exit_code = 3


class Refused(Error):
    exit_code = 4


class Unreachable(Error):
    exit_code = 5


class Busy(Error):
    exit_code = 6


CODES: dict[str, type[Error]] = {
    # blobs and invites
    "blob-foreign": BadInput,
    "blob-damaged": BadInput,
    "blob-newer": BadInput,
    "blob-kind": BadInput,
    "code-malformed": BadInput,
    "invite-expired": Refused,
    "invite-used": Refused,
    "invite-withdrawn": Refused,
    "invite-locked": Refused,
    "invite-own": Refused,
    "invite-unknown": Refused,
    "password-wrong": Refused,
    "knock-unknown": BadInput,
    "knock-declined": Refused,
    "knock-busy": Unreachable,
    "password-missing": Usage,
    # peers and rooms
    "join-waiting": Unreachable,
    "join-unknown": BadInput,
    "identity-mismatch": Refused,
    "room-unknown": BadInput,
    "room-ambiguous": BadInput,
    "unreachable": Unreachable,
    "not-a-member": Refused,
    "not-allowed": Refused,
    "still-a-member": Refused,
    "join-denied": Refused,
    "not-approved": Unreachable,
    "room-direct": BadInput,
    "request-unknown": BadInput,
    "setting-unknown": BadInput,
    "setting-value": BadInput,
    "not-delivered": Unreachable,
    "not-synced": Unreachable,
    # people
    "peer-unknown": BadInput,
    "peer-ambiguous": BadInput,
    "peer-blocked": Refused,
    "alias-taken": Refused,
    "proof-foreign": BadInput,
    "proof-damaged": BadInput,
    "proof-newer": BadInput,
    "proof-forged": Refused,
    "proof-wrong-key": Refused,
    # names and texts
    "name-empty": BadInput,
    "name-too-long": BadInput,
    "name-control": BadInput,
    "text-empty": BadInput,
    "text-too-long": BadInput,
    "text-malformed": BadInput,
    "entry-unknown": BadInput,
    "lifetime-malformed": BadInput,
    "reaction-malformed": BadInput,
    "not-yours": Refused,
    "message-deleted": Refused,
    "time-malformed": BadInput,
    "search-empty": BadInput,
    "import-malformed": BadInput,
    "import-foreign": Refused,
    # files
    "magnet-malformed": BadInput,
    "share-unknown": BadInput,
    "share-damaged": BadInput,
    "file-missing": BadInput,
    "file-unreadable": BadInput,
    "files-unavailable": Error,
    "transfer-failed": Error,
    "transfer-timeout": Unreachable,
    # the profile and the machine
    "home-in-use": Busy,
    "home-locked": Busy,
    "identity-exists": Busy,
    "passphrase-wrong": Refused,
    "passphrase-missing": Usage,
    "home-unwritable": Error,
    "home-damaged": Error,
    "home-newer": Error,
    "disk-full": Error,
    "output-unwritable": Error,
    "config-malformed": Usage,
    "usage": Usage,
    "not-running": Error,
    "demo-failed": Error,
    "internal": Error,
    "interrupted": Error,
}


def error_for(code: str, message: str, hint: str) -> Error:
    """The error of the class that `code` belongs to; an unknown code becomes `internal`."""
    if code not in CODES:
        code = "internal"
    return CODES[code](code, message, hint)
