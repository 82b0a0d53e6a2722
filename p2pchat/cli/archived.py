"""The passphrase of an archive, which is not the profile's.

It comes from --archive-passphrase-file, P2PCHAT_ARCHIVE_PASSPHRASE, or a prompt of its own. What is
given for the profile (P2PCHAT_PASSPHRASE, --passphrase-file) is the archive's where the profile is
under none; where it is, it serves both only if nobody can be asked.
"""

import os
import sys
from pathlib import Path

from p2pchat.api.attach import is_locked
from p2pchat.cli.command import Common, new_passphrase, prompt_secret, read_secret
from p2pchat.cli.output import Output

__all__ = ["asked_passphrase", "fresh_passphrase"]

_VARIABLE = "P2PCHAT_ARCHIVE_PASSPHRASE"


def fresh_passphrase(out: Output, common: Common, file: Path | None) -> str:
    """For an archive to write. Raises errors.Usage `passphrase-missing`, errors.BadInput."""
    given = _given(common, file)
    if given is None and not sys.stdin.isatty():
        given = common.given_passphrase()
        if given:
            out.note(f"the archive is under the profile's passphrase; {_VARIABLE} names another")
    return new_passphrase(
        given, of="the archive", give=f"{_VARIABLE} or --archive-passphrase-file FILE"
    )


def asked_passphrase(common: Common, file: Path | None) -> str | None:
    """For an archive to read; None: there is none to be had. Raises errors.BadInput."""
    given = _given(common, file)
    if given is None and sys.stdin.isatty():
        return prompt_secret("Passphrase of the archive: ")
    return common.given_passphrase() if given is None else given


def _given(common: Common, file: Path | None) -> str | None:
    if file is not None:
        return read_secret(file)
    own = os.environ.get(_VARIABLE)
    if own is None and not is_locked(common.folder):
        return common.given_passphrase()
    return own
