"""The settings in force, each with where it came from.

Built once at the edge (file < environment < `--set`) and handed down as a value; nothing reads a
global. Every key needs a reason why no default can be right for everybody. With loopback as the one
interface chosen, no address beyond this machine is in force, so none can be spoken to by mistake.
"""

import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import force_setattr, replace

from p2pchat.errors import Usage

__all__ = [
    "ROUTERS",
    "ApiConfig",
    "Config",
    "DhtConfig",
    "FilesConfig",
    "LanConfig",
    "MailboxConfig",
    "MessagesConfig",
    "NetConfig",
    "NotifyConfig",
    "PrivacyConfig",
    "TrustConfig",
    "is_here",
    "keys",
    "load",
]


STUN = (
    "stun:stun.nextcloud.com:443",
    "stun:stun.cloudflare.com:3478",
    "stun:stun.l.google.com:19302",
)
"""Run for anybody by three who have no more in common; one on port 443, which most firewalls let
out. All are asked at once, and see our address, as any server would."""
ROUTERS = (
    "dht.libtorrent.org:25401",
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
)
"""Where BitTorrent's clients start from; needed once, as the nodes met are remembered."""
_LOOPBACK_NAMES = frozenset({"lo", "lo0"})


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class NetConfig(_Section, frozen=True, kw_only=True):
    """`stun`, `turn`: URLs, empty = none. `interfaces`: names, empty = all of them."""

    stun: list[str] = msgspec.field(default_factory=lambda: list(STUN))
    turn: list[str] = []
    interfaces: list[str] = []

    @property
    def is_local(self) -> bool:
        """Whether all that we do has to stay on this machine."""
        return bool(self.interfaces) and set(self.interfaces) <= _LOOPBACK_NAMES


class LanConfig(_Section, frozen=True, kw_only=True):
    """`visible`: shown to, and may be knocked at by, anybody on the network.

    `rooms`: names (or beginnings of ids) of rooms that this machine shows there.
    """

    enabled: bool = True
    visible: bool = False
    rooms: list[str] = []


class DhtConfig(_Section, frozen=True, kw_only=True):
    """`bootstrap`: host:port of the nodes to start from, empty = those of earlier runs alone."""

    enabled: bool = True
    bootstrap: list[str] = msgspec.field(default_factory=lambda: list(ROUTERS))


class MailboxConfig(_Section, frozen=True, kw_only=True):
    url: str = ""


class FilesConfig(_Section, frozen=True, kw_only=True):
    """`dir`: where downloads go, empty = ~/Downloads. `direct`: also TCP between hosts of a LAN.

    `upload_rate`: bytes/s that all shares together may send, 0 = as fast as it goes.
    """

    dir: str = ""
    direct: bool = False
    upload_rate: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)] = 0


class TrustConfig(_Section, frozen=True, kw_only=True):
    """`vouch`: tell the members of rooms in common whom one has verified."""

    vouch: bool = True


class MessagesConfig(_Section, frozen=True, kw_only=True):
    """`lifetime_s`: what you write disappears so long after, 0 = never."""

    lifetime_s: int = 0


class PrivacyConfig(_Section, frozen=True, kw_only=True):
    """What members of rooms in common are told of us; of what we hide we are shown nothing."""

    presence: bool = True
    typing: bool = True
    read: bool = True


class NotifyConfig(_Section, frozen=True, kw_only=True):
    """Where somebody mentions us: `bell` of the chat's terminal, a `command` that is run."""

    bell: bool = True
    command: str = ""


class ApiConfig(_Section, frozen=True, kw_only=True):
    """`port`: TCP port of the local API on loopback, 0 = Unix socket only."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0


class Config(_Section, frozen=True, kw_only=True):
    net: NetConfig = NetConfig()
    lan: LanConfig = LanConfig()
    dht: DhtConfig = DhtConfig()
    mailbox: MailboxConfig = MailboxConfig()
    files: FilesConfig = FilesConfig()
    trust: TrustConfig = TrustConfig()
    messages: MessagesConfig = MessagesConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    notify: NotifyConfig = NotifyConfig()
    api: ApiConfig = ApiConfig()
    # section.key -> "default", "file", "environment", "--set", or, of what it does not let out,
    # "net.interfaces"
    sources: dict[str, str] = {}

    def __post_init__(self) -> None:
        """What `net.interfaces` confines to this machine knows no address beyond it."""
        if not self.net.is_local:
            return
        stun = [url for url in self.net.stun if is_here(url)]
        turn = [url for url in self.net.turn if is_here(url)]
        bootstrap = [entry for entry in self.dht.bootstrap if is_here(entry)]
        url = self.mailbox.url if is_here(self.mailbox.url) or not self._has_mailbox() else ""
        within = {
            "net": replace(self.net, stun=stun, turn=turn),
            "dht": replace(self.dht, bootstrap=bootstrap),
            "mailbox": replace(self.mailbox, url=url),
        }
        changed = {
            f"{section}.{key}": "net.interfaces"
            for section, values in within.items()
            for key in values.__struct_fields__
            if getattr(values, key) != getattr(getattr(self, section), key)
        }
        for section, values in within.items():
            force_setattr(self, section, values)
        force_setattr(self, "sources", {**self.sources, **changed})

    def _has_mailbox(self) -> bool:
        """Whether `mailbox.url` is an address: one that is none shall be told, not dropped."""
        try:
            return bool(self.mailbox_address())
        except Usage:
            return False

    def mailbox_address(self) -> str:
        """Where to connect to for `mailbox.url`, empty for nowhere. Raises `config-malformed`."""
        if not self.mailbox.url:
            return ""
        # Here, so that a command that needs no network pays for none of it.
        from signaling.address import mailbox_url

        try:
            return mailbox_url(self.mailbox.url)
        except ValueError as error:
            raise _malformed(
                f"mailbox.url is no address of a mailbox: {self.mailbox.url!r}",
                "write https://host, as whoever runs the server tells you",
            ) from error

    def notify_command(self) -> list[str]:
        """`notify.command` as its words, empty for none. Raises `config-malformed`."""
        try:
            return shlex.split(self.notify.command)
        except ValueError as error:
            raise _malformed(
                f"notify.command is no command: {error}", "close the quotes that it opens"
            ) from error


_SECTIONS = tuple(field for field in Config.__struct_fields__ if field != "sources")


def is_here(address: str) -> bool:
    """Whether a server's address, in any form that a setting takes, is surely on this machine.

    No name but `localhost` is: to look up another one asks somebody else.
    """
    text = address.strip()
    if "//" not in text:
        scheme, colon, rest = text.partition(":")
        text = "//" + (rest if colon and scheme in ("stun", "turn", "turns") else text)
    try:
        host = urlsplit(text).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def keys() -> dict[str, object]:
    """All keys as `section.key` with their defaults."""
    defaults = Config()
    return {
        f"{section}.{key}": getattr(getattr(defaults, section), key)
        for section in _SECTIONS
        for key in getattr(defaults, section).__struct_fields__
    }


def load(
    file: Path | None,
    environment: Mapping[str, str] = os.environ,
    settings: Sequence[str] = (),
) -> Config:
    """The settings in force. `settings` are `section.key=value`, the value in TOML or a bare word.

    Raises Usage `config-malformed`, naming the file or key.
    """
    known = keys()
    values: dict[str, dict[str, object]] = {section: {} for section in _SECTIONS}
    sources = dict.fromkeys(known, "default")

    def put(name: str, value: object, source: str) -> None:
        if name not in known:
            raise _malformed(f"unknown setting {name!r}", f"known are {', '.join(known)}")
        section, key = name.split(".")
        values[section][key] = value
        sources[name] = source

    if file is not None and file.exists():
        try:
            document = tomllib.loads(file.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise _malformed(f"cannot read {file}: {error}", "mend the file or move it") from error
        for section, table in document.items():
            if not isinstance(table, dict):
                raise _malformed(f"{file}: {section!r} is not a section", "write [section] headers")
            for key, value in table.items():
                put(f"{section}.{key}", value, "file")
    for name in known:
        variable = "P2PCHAT_" + name.replace(".", "_").upper()
        if variable in environment:
            put(name, _value(environment[variable]), "environment")
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise _malformed(f"{setting!r} has no '='", "write --set section.key=value")
        put(name.strip(), _value(text), "--set")
    try:
        found = msgspec.convert({**values, "sources": sources}, Config)
    except msgspec.ValidationError as error:
        raise _malformed(f"setting of the wrong type: {error}", "see p2pchat config") from error
    found.mailbox_address()
    found.notify_command()
    return found


def _value(text: str) -> object:
    """A TOML value; what is none is taken as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _malformed(message: str, hint: str) -> Usage:
    return Usage("config-malformed", message, hint)
