"""`p2pchat`: finds the command, and answers `--version` before anything else is imported."""

import os
import sys

from p2pchat.cli import interrupt

__all__ = ["COMMANDS", "run"]

COMMANDS = {
    "invite": ("invite", "Print a one-time invite, and wait for the friend."),
    "join": ("invite", "Accept an invite."),
    "cancel": ("invite", "Give up a join that waits for its inviter."),
    "nearby": ("nearby", "List who can be knocked at on this network, or be seen there."),
    "knock": ("nearby", "Ask somebody on this network to let you in: nothing to paste."),
    "reply": ("invite", "Hand in the reply that a friend pasted back."),
    "send": ("messages", "Write a message."),
    "edit": ("messages", "Give a message of yours another text."),
    "delete": ("messages", "Delete a message, with everybody."),
    "react": ("messages", "React to a message, or take it back."),
    "pin": ("messages", "Pin a message, or list what is pinned."),
    "log": ("messages", "Read messages."),
    "read": ("messages", "Note that you have read a room's messages."),
    "sync": ("messages", "Compare with everybody online, and say who is behind."),
    "export": ("history", "Write history to a file."),
    "import": ("history", "Take in history that export wrote."),
    "share": ("files", "Offer files or folders as a magnet link."),
    "get": ("files", "Fetch a share."),
    "files": ("files", "List shares and transfers."),
    "unshare": ("files", "Stop offering a share."),
    "rooms": ("people", "List rooms."),
    "room": ("rooms", "Create, leave, forget, show and set rooms."),
    "approve": ("rooms", "Let somebody in who asks to join."),
    "deny": ("rooms", "Turn somebody away who asks to join."),
    "remove": ("rooms", "Remove a member."),
    "role": ("rooms", "Make somebody an admin, or a plain member."),
    "members": ("people", "List the members of a room."),
    "peers": ("people", "List contacts."),
    "verify": ("trust", "Check that somebody's key is theirs."),
    "proof": ("trust", "Print a signed statement of your key, to post."),
    "alias": ("trust", "Call somebody by a name of yours."),
    "block": ("trust", "Hear nothing more of somebody."),
    "unblock": ("trust", "Hear somebody again."),
    "up": ("node", "Start the background node."),
    "down": ("node", "Stop the background node."),
    "status": ("node", "Show the node's state."),
    "init": ("profile", "Create the identity."),
    "passphrase": ("profile", "Set, change or remove the passphrase."),
    "id": ("profile", "Show the identity."),
    "rename": ("profile", "Change your display name."),
    "doctor": ("profile", "Look for what could go wrong, and repair the journal."),
    "config": ("profile", "Show the settings in force."),
    "demo": ("demo", "Show all of it with three peers on this machine."),
    "completion": ("profile", "Print shell completion."),
}
"""command -> (module of `p2pchat.cli`, what it does)"""


def run() -> None:
    """The console script."""
    interrupt.watch()
    _hold_streams()
    if sys.argv[1:] == ["--version"]:
        from p2pchat import __version__

        try:
            print(f"p2pchat {__version__}", flush=True)  # noqa: T201
        except OSError as error:
            sys.stderr.write(f"p2pchat: the output cannot be written: {error.strerror}\n")
            # Past the end of the interpreter, which would try once more.
            os._exit(1)
        return
    from p2pchat.cli.group import main

    main()


def _hold_streams() -> None:
    """Where stdin, stdout or stderr is closed, keep its number from the next file that is opened:
    what is printed would go into the journal."""
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest that is free. Nothing can be written to stdout, and that will be told.
            os.open(os.devnull, mode)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    run()
