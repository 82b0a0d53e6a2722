"""Shares and downloads: sealing, swarming, and libtorrent's signals over our links.

For each torrent that is active here and each link, the two ends tell each other by a tag that they
take part (`Swarm`). The one that is not complete then offers: its libtorrent's WebRTC offers go
over the link to the other's. On one machine the TCP port on loopback is used instead, which
libtorrent's ICE cannot do.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from p2pchat import errors, events
from p2pchat.config import Config
from p2pchat.core.identity import digest, id_text, mac
from p2pchat.core.wire import Signal, Swarm
from p2pchat.files.magnet import Magnet
from p2pchat.files.sealed import seal, unseal
from p2pchat.files.session import FileSession
from p2pchat.files.share import Share
from p2pchat.files.tracker import Signal as Outgoing
from p2pchat.files.tracker import Tracker
from p2pchat.node.bus import Bus
from p2pchat.node.peers import Peers
from p2pchat.node.session import Session
from p2pchat.store import shares as table
from p2pchat.store.database import Database
from p2pchat.text import tidy_name
from signaling.tasks import owned_tasks

__all__ = ["Shares", "open_files"]

_log = logging.getLogger(__name__)
_SIGNALS_MAX = 1_024
_PARTNERS_MAX = 65_536
_MEND_S = 3.0
"""Twice this without a peer, and a download calls its partners again."""
_STATES = {"metadata": "metadata", "checking": "verifying", "seeding": "seeding"}


class Shares:
    """Use `Shares.open`."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        database: Database,
        peers: Peers,
        bus: Bus,
        files: FileSession,
    ) -> None:
        self._folder = folder
        self._config = config
        self._database = database
        self._peers = peers
        self._bus = bus
        self._shares: dict[bytes, Share] = {}
        self._outgoing: asyncio.Queue[Outgoing] = asyncio.Queue(_SIGNALS_MAX)
        self._changed = asyncio.Condition()
        self._session = files
        self._tracker: Tracker
        self._states: dict[bytes, str] = {}
        self._port = 0
        self._partners: dict[tuple[bytes, bytes], Swarm] = {}
        """(link, info-hash) -> what the other end told last of its part"""
        self._tasks: asyncio.TaskGroup

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        config: Config,
        database: Database,
        peers: Peers,
        bus: Bus,
        files: FileSession,
    ) -> AsyncIterator["Shares"]:
        shares = cls(folder, config, database, peers, bus, files)
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            shares._tracker = await stack.enter_async_context(
                Tracker.open(shares._queue, files.reannounce, os.urandom(16).hex(), loop.time)
            )
            shares._tasks = await stack.enter_async_context(owned_tasks())
            shares._tasks.create_task(shares._signal())
            shares._tasks.create_task(shares._mend())
            files.on_change = shares._moved
            stack.callback(setattr, files, "on_change", _nothing)
            await shares._resume()
            yield shares

    async def _resume(self) -> None:
        for record in await self._database.read(table.all_shares):
            share = msgspec.msgpack.decode(record, type=Share)
            self._shares[share.info_hash] = share
            self._tasks.create_task(self._take_part(share))

    # -- what people ask -----------------------------------------------------------------------

    async def add(self, paths: Sequence[Path]) -> Share:
        """Seal and offer. Raises errors.BadInput, errors.Error."""
        await self._session.started()
        key = os.urandom(32)
        id_ = digest("share", key)
        folder = self._folder / id_.hex()
        try:
            folder.mkdir(parents=True)
            sealed = await asyncio.to_thread(seal, paths, folder / "sealed", key)
            info_hash = await self._session.make(folder, folder / "torrent")
            share = Share(
                id=id_,
                key=key,
                name=sealed.name,
                size=sealed.size,
                sealed_size=sealed.sealed_size,
                info_hash=info_hash,
                state="seeding",
                created=time.time(),
            )
            await self._remember(share)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        await self._take_part(share)
        return share

    async def fetch(
        self, text: str, dest: Path | None, timeout: float | None
    ) -> AsyncIterator[events.Transfer]:
        """Fetch, verify, unseal. The last event is complete and has the path."""
        magnet = Magnet.parse(text)
        known = self._shares.get(magnet.info_hash)
        target = dest or _download_folder(self._config)
        if known is None or known.state == "fetching":
            share = known or Share(
                id=digest("share", magnet.key),
                key=magnet.key,
                name=tidy_name(magnet.name, "unnamed"),
                size=0,
                sealed_size=magnet.size,
                info_hash=magnet.info_hash,
                state="fetching",
                created=time.time(),
            )
            share = msgspec.structs.replace(share, dest=str(target))
            share.folder(self._folder).mkdir(parents=True, exist_ok=True)
            await self._remember(share)
            if known is None:
                await self._take_part(share)
        else:
            share = known
        async for event in self._watch(share, timeout):
            yield event
        yield self._row(share, "verifying")
        try:
            paths = await asyncio.to_thread(
                unseal, share.folder(self._folder) / "sealed", magnet.key, target
            )
        except errors.BadInput:
            # Either the key is not this share's, or the disk has changed under us.
            self._session.recheck(share.info_hash)
            raise
        size = await asyncio.to_thread(lambda: sum(map(_size_of, paths)))
        done = msgspec.structs.replace(
            share, state="complete", size=size, paths=tuple(str(path) for path in paths)
        )
        if known is None or known.state != "seeding":
            await self._remember(done)
        path = str(paths[0]) if len(paths) == 1 else str(target)
        event = self._row(done, "complete", path)
        self._bus.publish(event)
        yield event

    async def _watch(self, share: Share, timeout: float | None) -> AsyncIterator[events.Transfer]:
        """Progress until all is here. `timeout`: seconds without any."""
        loop = asyncio.get_running_loop()
        done, moved, shown = -1, loop.time(), None
        while True:
            torrent = self._session.torrents.get(share.info_hash)
            if torrent is not None:
                if torrent.error:
                    raise errors.Error(
                        "transfer-failed",
                        f"the transfer failed: {torrent.error}",
                        "free disk space or check permissions, then run the same command again",
                    )
                if torrent.state == "seeding":
                    return
                if torrent.done != done:
                    done, moved = torrent.done, loop.time()
                event = self._row(share)
                if event != shown:
                    shown = event
                    yield event
            if timeout is not None and loop.time() - moved > timeout:
                raise errors.Unreachable(
                    "transfer-timeout",
                    f"nothing arrived for {timeout:.0f} s",
                    "somebody who has the share must be online; the same command goes on later",
                )
            try:
                async with asyncio.timeout(1), self._changed:
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def rows(self) -> list[events.Transfer]:
        return [self._row(share) for share in self._shares.values()]

    async def remove(self, prefix: str) -> None:
        """Raises errors.BadInput `share-unknown`."""
        found = [
            share
            for share in self._shares.values()
            if id_text(share.id).startswith(prefix.lower()) or share.magnet == prefix
        ]
        if len(found) != 1 or len(prefix) < 4:
            raise errors.BadInput(
                "share-unknown", f"{len(found) or 'no'} shares match", "see p2pchat files"
            )
        share = found[0]
        self._session.remove(share.info_hash)
        self._tracker.swarms.forget(share.info_hash)
        self._shares.pop(share.info_hash)
        await self._database.write(lambda tx: table.remove(tx, share.id))
        await asyncio.to_thread(shutil.rmtree, share.folder(self._folder), ignore_errors=True)

    def _row(
        self, share: Share, state: str | None = None, path: str | None = None
    ) -> events.Transfer:
        torrent = self._session.torrents.get(share.info_hash)
        transports: dict[str, int] = {}
        for peer in torrent.peers if torrent else []:
            transports[peer.transport] = transports.get(peer.transport, 0) + 1
        if state is None:
            state = _STATES.get(torrent.state, "downloading") if torrent else "paused"
        return events.Transfer(
            id=id_text(share.id),
            name=share.name,
            done=share.sealed_size if state == "complete" else torrent.done if torrent else 0,
            total=share.sealed_size,
            rate=torrent.rate if torrent else 0,
            peers=len(torrent.peers) if torrent else 0,
            state=state,  # type: ignore[arg-type]
            path=path or (share.paths[0] if share.paths else None),
            transports=transports,
        )

    async def _remember(self, share: Share) -> None:
        self._shares[share.info_hash] = share
        record = msgspec.msgpack.encode(share)
        await self._database.write(lambda tx: table.put(tx, share.id, record, share.created))

    # -- swarms --------------------------------------------------------------------------------

    async def _take_part(self, share: Share) -> None:
        await self._session.add(
            share.info_hash,
            share.folder(self._folder),
            share.torrent(self._folder),
            self._tracker.url,
            size=share.sealed_size,
        )
        for session in self._peers.sessions():
            await self._tell(session, share, reply=True)

    async def entered(self, session: Session) -> None:
        """A link stands: tell which swarms we are in."""
        for share in list(self._shares.values()):
            await self._tell(session, share, reply=True)

    def left(self, session: Session) -> None:
        self._tracker.swarms.drop(_token(session))
        for link, info_hash in list(self._partners):
            if link == session.transcript:
                del self._partners[link, info_hash]

    async def _tell(self, session: Session, share: Share, *, reply: bool) -> None:
        port = self._session.port if session.same_host else 0
        tag = _tag(share.info_hash, session)
        await session.send(Swarm(tag, port, self._complete(share), reply))

    def _complete(self, share: Share) -> bool:
        torrent = self._session.torrents.get(share.info_hash)
        return share.state != "fetching" or (torrent is not None and torrent.state == "seeding")

    async def signalled(self, session: Session, frame: Signal | Swarm) -> None:
        share = next(
            (
                share
                for share in self._shares.values()
                if _tag(share.info_hash, session) == frame.tag
            ),
            None,
        )
        if share is None:
            return
        if isinstance(frame, Signal):
            self._tracker.swarms.deliver(
                Outgoing(_token(session), share.info_hash, frame.kind, frame.offer_id, frame.sdp)
            )
            await self._tracker.flush()
            return
        if frame.reply:
            await self._tell(session, share, reply=False)
        if len(self._partners) < _PARTNERS_MAX:
            self._partners[session.transcript, share.info_hash] = frame
        await self._meet(session, share, frame)

    async def _meet(self, session: Session, share: Share, frame: Swarm) -> None:
        """Bring the two libtorrents together, if one of them lacks something."""
        own_complete = self._complete(share)
        if own_complete and frame.complete:
            return
        if session.same_host and frame.port:
            # Both are on this machine; whoever lacks pieces connects.
            if not own_complete:
                self._session.connect(share.info_hash, "127.0.0.1", frame.port)
            return
        if not own_complete and (frame.complete or session.lower):
            token = _token(session)
            now = asyncio.get_running_loop().time()
            if self._tracker.swarms.again(share.info_hash, token, now):
                self._session.reannounce(share.info_hash)
            await self._tracker.flush()

    async def _mend(self) -> None:
        """Meet again where a download has lost all its peers: libtorrent does not by itself."""
        alone: set[bytes] = set()
        while True:
            await asyncio.sleep(_MEND_S)
            still: set[bytes] = set()
            for share in list(self._shares.values()):
                torrent = self._session.torrents.get(share.info_hash)
                if self._complete(share) or (torrent is not None and torrent.peers):
                    continue
                still.add(share.info_hash)
                if share.info_hash not in alone:
                    continue  # the first time: a connection may be on its way
                for session in self._peers.sessions():
                    frame = self._partners.get((session.transcript, share.info_hash))
                    if frame is not None:
                        await self._meet(session, share, frame)
            alone = still

    def _queue(self, signal: Outgoing) -> None:
        try:
            self._outgoing.put_nowait(signal)
        except asyncio.QueueFull:
            _log.warning("too many WebTorrent signals at once; one is dropped")

    async def _signal(self) -> None:
        """Carry libtorrent's signals to the links they are for."""
        while True:
            signal = await self._outgoing.get()
            session = next(
                (session for session in self._peers.sessions() if _token(session) == signal.peer),
                None,
            )
            if session is not None:
                await session.send(
                    Signal(
                        _tag(signal.info_hash, session), signal.kind, signal.offer_id, signal.sdp
                    )
                )

    def _moved(self) -> None:
        """libtorrent has reported: wake whoever watches, tell what has changed its state."""
        if self._port != self._session.port:
            # The process for files has started anew, and listens elsewhere.
            self._port = self._session.port
            self._tasks.create_task(self._tell_all())
        self._tasks.create_task(self._notify())
        for share in list(self._shares.values()):
            torrent = self._session.torrents.get(share.info_hash)
            if torrent is None or self._states.get(share.info_hash) == torrent.state:
                continue
            self._states[share.info_hash] = torrent.state
            self._bus.publish(self._row(share))

    async def _tell_all(self) -> None:
        for session in self._peers.sessions():
            await self.entered(session)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def open_files(config: Config) -> AbstractAsyncContextManager[FileSession]:
    """The process with libtorrent, by the settings; it starts when something is wanted of it."""
    stun = config.net.stun[0].removeprefix("stun:") if config.net.stun else ""
    return FileSession.open(
        "0.0.0.0:0" if config.files.direct else "127.0.0.1:0",
        stun,
        _nothing,
        # libtorrent gathers candidates on every interface, so with loopback alone chosen its WebRTC
        # stays off.
        rtc=not config.net.is_local,
        upload_rate=max(0, config.files.upload_rate),
    )


def _nothing() -> None:
    pass


def _tag(info_hash: bytes, session: Session) -> bytes:
    return mac(info_hash, b"p2pchat/1/swarm", session.transcript)[:16]


def _token(session: Session) -> bytes:
    """What names a link to libtorrent: 20 bytes, as a peer id has."""
    return session.transcript[:20]


def _download_folder(config: Config) -> Path:
    if config.files.dir:
        return Path(config.files.dir).expanduser()
    import platformdirs

    return platformdirs.user_downloads_path()


def _size_of(path: Path) -> int:
    if path.is_dir():
        return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
    return path.stat().st_size
