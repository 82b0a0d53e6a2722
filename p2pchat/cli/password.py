"""The password of an invite: from the environment, a file, the terminal, or stdin's first line.

Never an argument: those show in `ps`.
"""

import os
import sys
from pathlib import Path

from p2pchat.cli.command import prompt_secret, read_secret
from p2pchat.cli.interrupt import unwinding
from p2pchat.errors import Usage

__all__ = ["asked_password", "given_password", "new_password"]

_LINE_MAX = 4_096


def given_password(file: Path | None) -> str | None:
    """What was given without asking. Raises errors.BadInput `file-missing`."""
    return read_secret(file) if file is not None else os.environ.get("P2PCHAT_PASSWORD")


def new_password(file: Path | None) -> str:
    """The password for an invite of ours, typed twice. Raises errors.Usage `password-missing`."""
    password = given_password(file)
    if password is None and sys.stdin.isatty():
        password = prompt_secret("Password for the invite: ")
        if password and prompt_secret("Once more: ") != password:
            raise Usage("password-missing", "the two are not the same", "run it again")
    elif password is None:
        password = _line()
    return _present(password, "the invite is to have a password, and none was given")


def asked_password(file: Path | None, *, stdin_taken: bool) -> str:
    """The password of a friend's invite. Raises errors.Usage `password-missing`."""
    password = given_password(file)
    if password is None and sys.stdin.isatty():
        password = prompt_secret("Password of the invite: ")
    elif password is None and not stdin_taken:
        password = _line()
    return _present(password, "this invite needs a password, which your friend tells you")


def _present(password: str | None, missing: str) -> str:
    if not password:
        raise Usage(
            "password-missing",
            "the password is empty" if password == "" else missing,
            "run it in a terminal, or give P2PCHAT_PASSWORD or --password-file FILE",
        )
    return password


def _line() -> str | None:
    """The first line of stdin, None at its end; byte by byte, since the rest is somebody else's."""
    held = b""
    with unwinding():
        while len(held) < _LINE_MAX:
            byte = os.read(sys.stdin.fileno(), 1)
            if byte in (b"", b"\n"):
                return held.decode(errors="surrogateescape").rstrip("\r") if held or byte else None
            held += byte
    return held.decode(errors="surrogateescape")
