"""What is remembered of a share."""

from pathlib import Path

import msgspec

from p2pchat.files.magnet import Magnet
from p2pchat.files.share import Share

_SHARE = Share(
    id=b"i" * 32, key=b"k" * 32, name="n", size=1, sealed_size=17, info_hash=b"h" * 20,
    state="seeding", created=1.5,
)  # fmt: skip


def test_a_share_is_stored_and_read_back() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(_SHARE), type=Share) == _SHARE


def test_its_magnet_leads_to_it() -> None:
    assert Magnet.parse(_SHARE.magnet) == Magnet(b"h" * 20, "n", 17, b"k" * 32)


def test_its_files_are_under_its_id_and_its_key_does_not_show() -> None:
    assert _SHARE.torrent(Path("/r")) == Path("/r") / (b"i" * 32).hex() / "torrent"
    assert "kkk" not in repr(_SHARE)
