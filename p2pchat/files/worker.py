"""libtorrent, in a process of its own: `python -m p2pchat.files.worker`, spoken to over a pipe.

Its WebRTC part is young and may crash, its calls block, its import is slow; here that costs a
transfer, which resumes, and never the chat. Commands come in and states go out as MessagePack, each
with a length of four bytes before it; the worker ends when its input does. One thread owns the
session. Alerts wake it through a file descriptor, never through a callback, which deadlocks with
the GIL (arvidn/libtorrent#4638), and are copied before the next pop frees them (#7429).
"""

import os
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Add", "Command", "Connect", "Made", "Make", "PeerRow", "Ready", "Reannounce",
           "Remove", "Report", "State", "Torrent", "read_frame"]  # fmt: skip


class Add(msgspec.Struct, frozen=True, tag="add"):
    """Take part in a torrent. `torrent`: its .torrent file, made from the metadata if missing."""

    info_hash: bytes
    folder: str
    torrent: str
    tracker: str


class Make(msgspec.Struct, frozen=True, tag="make"):
    """Hash `folder`/sealed into the .torrent file `torrent`."""

    request: int
    folder: str
    torrent: str


class Connect(msgspec.Struct, frozen=True, tag="connect"):
    info_hash: bytes
    address: str
    port: int


class Reannounce(msgspec.Struct, frozen=True, tag="reannounce"):
    info_hash: bytes


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    info_hash: bytes


Command = Add | Make | Connect | Reannounce | Remove


class PeerRow(msgspec.Struct, frozen=True):
    address: str
    transport: str


class Torrent(msgspec.Struct, frozen=True):
    """How one torrent stands. Bytes, bytes/s. `state`: metadata, checking, downloading, seeding."""

    info_hash: bytes
    state: str
    done: int
    total: int
    rate: int
    peers: list[PeerRow]
    error: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    port: int


class Made(msgspec.Struct, frozen=True, tag="made"):
    request: int
    info_hash: bytes
    error: str


class State(msgspec.Struct, frozen=True, tag="state"):
    torrents: list[Torrent]


Report = Ready | Made | State
_encode = msgspec.msgpack.Encoder().encode
_BUSY_S, _IDLE_S = 0.2, 2.0
_METADATA_MAX = 4 * 1024 * 1024
# libtorrent's peer_info.hpp; the bindings name neither.
_UTP, _RTC = 1 << 17, 1 << 21


def read_frame(held: bytearray) -> bytes | None:
    """Take one whole frame off the front of what was read, if there is one."""
    if len(held) < 4:
        return None
    (length,) = struct.unpack_from("!I", held)
    if len(held) < 4 + length:
        return None
    frame = bytes(held[4 : 4 + length])
    del held[: 4 + length]
    return frame


class _Worker:
    def __init__(self, listen: str, stun: str, *, rtc: bool) -> None:
        import libtorrent

        self._lt: Any = libtorrent
        self._session = libtorrent.session(
            {
                "listen_interfaces": listen,
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
                "enable_outgoing_utp": False,
                "enable_incoming_utp": False,
                "dht_bootstrap_nodes": "",
                # Its default is somebody's server.
                "webtorrent_stun_server": stun,
                "user_agent": "p2pchat",
                "peer_fingerprint": "-PP0001-",
                # Two nodes on one machine have one address.
                "allow_multiple_connections_per_ip": True,
                "stop_tracker_timeout": 1,
                "max_metadata_size": _METADATA_MAX,
                "min_websocket_announce_interval": 5,
                "alert_mask": libtorrent.alert.category_t.status_notification
                | libtorrent.alert.category_t.error_notification,
            }
        )
        self._rtc = rtc
        self._handles: dict[bytes, Any] = {}
        self._files: dict[bytes, Path] = {}
        self._alerts, waker = socket.socketpair()
        self._alerts.settimeout(0)
        # The network thread writes here, and would block with a full pipe otherwise.
        waker.settimeout(0)
        self._waker = waker
        self._session.set_alert_fd(waker.fileno())

    def run(self) -> None:
        held = bytearray()
        self._send(Ready(self._session.listen_port()))
        decoder = msgspec.msgpack.Decoder(Command)
        due = 0.0
        while True:
            wait = max(0.0, due - time.monotonic())
            readable, _, _ = select.select([sys.stdin.fileno(), self._alerts], [], [], wait)
            if sys.stdin.fileno() in readable:
                data = os.read(sys.stdin.fileno(), 1 << 20)
                if not data:
                    return
                held += data
                while (frame := read_frame(held)) is not None:
                    self._obey(decoder.decode(frame))
                due = 0.0
            if self._alerts in readable:
                self._pump()
            if time.monotonic() >= due:
                busy = self._report()
                due = time.monotonic() + (_BUSY_S if busy else _IDLE_S)

    def _obey(self, command: Command) -> None:
        match command:
            case Add():
                self._add(command)
            case Make(request, folder, torrent):
                self._make(request, Path(folder), Path(torrent))
            case Connect(info_hash, address, port):
                if handle := self._handles.get(info_hash):
                    handle.connect_peer((address, port))
            case Reannounce(info_hash):
                if handle := self._handles.get(info_hash):
                    handle.force_reannounce(0, -1, self._lt.reannounce_flags_t.ignore_min_interval)
            case Remove(info_hash):
                if handle := self._handles.pop(info_hash, None):
                    self._files.pop(info_hash, None)
                    self._session.remove_torrent(handle)

    def _add(self, command: Add) -> None:
        if command.info_hash in self._handles:
            return
        lt = self._lt
        file = Path(command.torrent)
        if file.exists():
            params = lt.load_torrent_file(str(file))
        else:
            params = lt.parse_magnet_uri(f"magnet:?xt=urn:btih:{command.info_hash.hex()}")
        params.save_path = command.folder
        params.trackers = [command.tracker] if command.tracker and self._rtc else []
        flags = lt.torrent_flags
        params.flags |= flags.disable_dht | flags.disable_lsd | flags.disable_pex
        params.flags |= flags.override_trackers | flags.override_web_seeds
        params.flags &= ~(flags.auto_managed | flags.paused)
        self._handles[command.info_hash] = self._session.add_torrent(params)
        self._files[command.info_hash] = file

    def _make(self, request: int, folder: Path, file: Path) -> None:
        lt = self._lt
        try:
            size = (folder / "sealed").stat().st_size
            # v1 alone: magnets of v2-only torrents brought no metadata with libtorrent 2.1.1, and
            # our AEAD vouches for the content, SHA-1 need not.
            torrent = lt.create_torrent(
                [lt.create_file_entry("sealed", size)], 0, lt.create_torrent.v1_only
            )
            lt.set_piece_hashes(torrent, str(folder))
            data = lt.bencode(torrent.generate())
            _write_durably(file, data)
            info_hash = lt.torrent_info(lt.bdecode(data)).info_hashes().v1.to_bytes()
            self._send(Made(request, info_hash, ""))
        except (OSError, RuntimeError) as error:
            self._send(Made(request, b"", str(error)))

    def _pump(self) -> None:
        try:
            while self._alerts.recv(4096):
                pass
        except BlockingIOError:
            pass
        for alert in self._session.pop_alerts():
            if isinstance(alert, self._lt.metadata_received_alert):
                self._keep_metadata(alert.handle)
            elif os.environ.get("P2PCHAT_DEBUG"):
                print(alert.message(), file=sys.stderr)  # noqa: T201  (the node's log)

    def _keep_metadata(self, handle: Any) -> None:
        file = self._files.get(handle.info_hashes().v1.to_bytes())
        info = handle.torrent_file()
        if file is not None and info is not None:
            _write_durably(file, self._lt.bencode({b"info": self._lt.bdecode(info.info_section())}))

    def _report(self) -> bool:
        """Say how all stands; whether anything moves."""
        rows, busy = [], False
        for info_hash, handle in self._handles.items():
            status = handle.status()
            state = "downloading"
            if not status.has_metadata:
                state = "metadata"
            elif str(status.state) in ("checking_files", "checking_resume_data"):
                state = "checking"
            elif status.is_seeding:
                state = "seeding"
            peers = [
                PeerRow(peer.ip[0], _transport(peer))
                for peer in handle.get_peer_info()
                if not int(peer.flags) & (peer.handshake | peer.connecting)
            ]
            rate = max(status.download_payload_rate, status.upload_payload_rate)
            error = status.errc.message() if status.errc.value() else ""
            busy = busy or state != "seeding" or rate > 0
            rows.append(
                Torrent(
                    info_hash,
                    state,
                    status.total_wanted_done,
                    status.total_wanted,
                    rate,
                    peers,
                    error,
                )
            )
        self._send(State(rows))
        return busy

    def _send(self, report: Report) -> None:
        data = _encode(report)
        data = struct.pack("!I", len(data)) + data
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]


def _transport(peer: Any) -> str:
    flags = int(peer.flags)
    return "webrtc" if flags & _RTC else "utp" if flags & _UTP else "tcp"


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def main() -> None:
    """Arguments: listen interfaces, STUN server or "", and 1 or 0 for WebRTC."""
    listen, stun, rtc = sys.argv[1:4]
    worker = _Worker(listen, stun, rtc=rtc == "1")
    worker.run()
    # Not through the session's destructor: it waits for trackers (arvidn/libtorrent#1199). What is
    # on disk is checked again at the next start.
    os._exit(0)


if __name__ == "__main__":
    main()
