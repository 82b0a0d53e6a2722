"""What a session description says, without its 900 characters (docs/protocol.md, 1).

`parse` and `render` speak SDP as WebRTC agents do for one data-channel section (RFC 8829, RFC 8841,
RFC 8839); `pack` and `unpack` the few bytes that have to travel. A description never ends its
candidates: an agent that has seen `a=end-of-candidates` gives up after a minute, and a person may
take longer to paste.
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from signaling.errors import SignalingError

__all__ = [
    "CANDIDATES_MAX",
    "Candidate",
    "Description",
    "pack",
    "parse",
    "render",
    "unpack",
]

CANDIDATES_MAX = 16
"""ICE checks each against each of ours; nobody needs more ways than this."""

CandidateKind = Literal["host", "srflx", "prflx", "relay"]
Role = Literal["actpass", "active", "passive"]
_KINDS: tuple[CandidateKind, ...] = ("host", "srflx", "prflx", "relay")
_ROLES: tuple[Role, ...] = ("actpass", "active", "passive")
_TYPE_PREFERENCE = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}  # RFC 8445 5.1.2.2
_SDP_MAX = 65_536
"""Characters of SDP looked at; an agent with 16 candidates writes about 2,500."""
_UFRAG, _PASSWORD = (4, 32), (22, 64)
"""Lengths. RFC 8839 5.4 allows 256, which would not fit what has to travel."""
_ICE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One UDP address. `address` is a literal IPv4 or IPv6 address."""

    kind: CandidateKind
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Description:
    """One side of a data-channel session. `fingerprint`: SHA-256 of its certificate, 32 bytes."""

    role: Role
    ufrag: str
    password: str
    fingerprint: bytes
    candidates: tuple[Candidate, ...]


def parse(sdp: str) -> Description:
    """The description in an SDP text. Raises ValueError.

    Candidates that a peer could not use are left out: TCP, names, odd addresses.
    """
    if len(sdp) > _SDP_MAX:
        raise ValueError("SDP too long")
    ufrag = password = ""
    role: Role = "actpass"
    fingerprint = b""
    candidates: list[Candidate] = []
    for line in sdp.splitlines():
        name, _, value = line.partition(":")
        if name == "a=ice-ufrag":
            ufrag = value
        elif name == "a=ice-pwd":
            password = value
        elif name == "a=setup":
            role = _ROLES[_ROLES.index(value)] if value in _ROLES else role
        elif name == "a=fingerprint" and value.lower().startswith("sha-256 "):
            fingerprint = bytes.fromhex(value[8:].replace(":", ""))
        elif name == "a=candidate":
            candidate = _parse_candidate(value)
            if candidate is not None and candidate not in candidates:
                candidates.append(candidate)
    _check_credential(ufrag, *_UFRAG)
    _check_credential(password, *_PASSWORD)
    if len(fingerprint) != 32:
        raise ValueError("no SHA-256 fingerprint")
    return Description(role, ufrag, password, fingerprint, tuple(candidates[:CANDIDATES_MAX]))


def _parse_candidate(value: str) -> Candidate | None:
    # foundation component transport priority address port "typ" type …  (RFC 8839 5.1)
    fields = value.split()
    if len(fields) < 8 or fields[1] != "1" or fields[2].lower() != "udp" or fields[6] != "typ":
        return None
    kind = next((kind for kind in _KINDS if kind == fields[7]), None)
    if kind is None or not _usable(fields[4]) or not fields[5].isascii():
        return None
    port = int(fields[5]) if fields[5].isdigit() and len(fields[5]) <= 5 else 0
    return Candidate(kind, str(ipaddress.ip_address(fields[4])), port) if _port(port) else None


def _port(port: int) -> bool:
    return 0 < port < 65_536


def _usable(address: str) -> bool:
    """Whether a peer could send there: no names (`.local`), no multicast, no scopes."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.version == 6 and (parsed.scope_id is not None or parsed.ipv4_mapped is not None):
        return False
    return not (parsed.is_multicast or parsed.is_unspecified or parsed == _BROADCAST)


def render(description: Description, *, offer: bool) -> str:
    """SDP text that a WebRTC agent accepts as an offer or an answer."""
    fingerprint = ":".join(f"{byte:02X}" for byte in description.fingerprint)
    role = "actpass" if offer else description.role
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=msid-semantic:WMS *",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sctp-port:5000",
        "a=max-message-size:65536",
        f"a=ice-ufrag:{description.ufrag}",
        f"a=ice-pwd:{description.password}",
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{role}",
    ]
    for index, candidate in enumerate(description.candidates):
        priority = (_TYPE_PREFERENCE[candidate.kind] << 24) + ((65_535 - index) << 8) + 255
        line = (
            f"a=candidate:{index} 1 udp {priority} {candidate.address} {candidate.port}"
            f" typ {candidate.kind}"
        )
        if candidate.kind != "host":
            line += " raddr 0.0.0.0 rport 0"
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def pack(description: Description, limit: int | None = None) -> bytes:
    """The bytes that travel. With `limit` (bytes), as many candidates as fit, the best first.

    Raises ValueError if `limit` leaves no room even without candidates.
    """
    ufrag, password = description.ufrag.encode(), description.password.encode()
    head = (
        bytes((_ROLES.index(description.role), len(ufrag)))
        + ufrag
        + bytes((len(password),))
        + password
        + description.fingerprint
    )
    if limit is not None and len(head) > limit:
        raise ValueError("no room for a description")
    for candidate in _best_first(description.candidates)[:CANDIDATES_MAX]:
        address = ipaddress.ip_address(candidate.address)
        flags = _KINDS.index(candidate.kind) | (4 if address.version == 6 else 0)
        packed = bytes((flags,)) + address.packed + candidate.port.to_bytes(2, "big")
        if limit is None or len(head) + len(packed) <= limit:
            head += packed
    return head


def _best_first(candidates: tuple[Candidate, ...]) -> list[Candidate]:
    """One of each kind and family before seconds, so that whatever is cut is least missed."""
    seen: dict[tuple[str, int], int] = {}
    ranked = []
    for index, candidate in enumerate(candidates):
        group = (candidate.kind, ipaddress.ip_address(candidate.address).version)
        ranked.append((seen.get(group, 0), index, candidate))
        seen[group] = seen.get(group, 0) + 1
    return [candidate for _, _, candidate in sorted(ranked, key=lambda item: item[:2])]


def unpack(data: bytes) -> Description:
    """The description in `data`. Raises SignalingError `blob-damaged`."""
    try:
        role = _ROLES[data[0] & 3]
        if data[0] > 2:
            raise ValueError("flags")
        ufrag, rest = _text(data[1:], *_UFRAG)
        password, rest = _text(rest, *_PASSWORD)
        fingerprint, rest = rest[:32], rest[32:]
        if len(fingerprint) != 32:
            raise ValueError("fingerprint")
        candidates: list[Candidate] = []
        while rest:
            size = 16 if rest[0] & 4 else 4
            if rest[0] > 7 or len(rest) < size + 3 or len(candidates) >= CANDIDATES_MAX:
                raise ValueError("candidate")
            address = str(ipaddress.ip_address(rest[1 : size + 1]))
            port = int.from_bytes(rest[size + 1 : size + 3], "big")
            if _usable(address) and _port(port):
                candidates.append(Candidate(_KINDS[rest[0] & 3], address, port))
            rest = rest[size + 3 :]
    except (ValueError, IndexError) as error:
        raise SignalingError(
            "blob-damaged", "this blob holds no usable description", "ask for a new one"
        ) from error
    return Description(role, ufrag, password, fingerprint, tuple(candidates))


def _text(data: bytes, least: int, most: int) -> tuple[str, bytes]:
    """A credential with its length before it, and what follows."""
    length = data[0]
    text = data[1 : length + 1].decode("ascii")
    if len(text) != length:
        raise ValueError("ICE credential cut short")
    _check_credential(text, least, most)
    return text, data[length + 1 :]


def _check_credential(text: str, least: int, most: int) -> None:
    # Its characters go into SDP as they are, so nothing but ICE's own may pass (RFC 8839 5.4).
    if not least <= len(text) <= most or not set(text) <= _ICE_CHARACTERS:
        raise ValueError("ICE credential")
