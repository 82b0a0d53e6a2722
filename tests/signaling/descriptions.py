"""Session descriptions for tests: one, and all of them; and how hostile bytes fare."""

import ipaddress
from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from signaling.errors import SignalingError
from signaling.sdp import Candidate, Description

HOST = Candidate("host", "192.168.1.20", 50_001)
PUBLIC = Candidate("srflx", "198.51.100.7", 50_002)
HOST6 = Candidate("host", "2001:db8::7", 50_003)


def description(*candidates: Candidate, role: str = "actpass") -> Description:
    return Description(role, "abcd", "p" * 22, bytes(range(32)), candidates)  # type: ignore[arg-type]


def _usable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return False
    broadcast = str(address) == "255.255.255.255"
    return not (address.is_multicast or address.is_unspecified or broadcast)


candidates = st.builds(
    Candidate,
    st.sampled_from(("host", "srflx", "prflx", "relay")),
    st.ip_addresses().filter(_usable).map(str),
    st.integers(1, 65_535),
)
descriptions = st.builds(
    Description,
    st.sampled_from(("actpass", "active", "passive")),
    st.text("abcXYZ019+/", min_size=4, max_size=32),
    st.text("abcXYZ019+/", min_size=22, max_size=64),
    st.binary(min_size=32, max_size=32),
    st.lists(candidates, max_size=16, unique=True).map(tuple),
)


T = TypeVar("T")


def outcome(decode: Callable[[], T]) -> T | str:
    """What was decoded, or the code of the error."""
    try:
        return decode()
    except SignalingError as error:
        return error.code
