"""`p2pchat-signal`: the command."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_network

from signaling.mailbox import Bounds
from signaling.server.app import Server, Settings
from signaling.server.state import StateUnusable

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        "p2pchat-signal",
        description="Holds sealed bytes by which friends find each other (/mailbox), and passes"
        " WebTorrent offers on (/announce); also /health and /metrics. It can read and forge"
        " nothing. Put a web server with TLS before it, and name that by --proxy.",
    )
    parser.add_argument("--version", action="version", version=f"p2pchat-signal {_version()}")
    parser.add_argument("--host", default=defaults.host, help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=defaults.port, help="port, 0: any free one (%(default)s)"
    )
    parser.add_argument(
        "--state",
        default="",
        metavar="FILE|redis://…",
        help="where to keep what is held: memory (default), a file that outlives a restart, or a"
        " Redis that several instances share",
    )
    parser.add_argument(
        "--proxy",
        action="append",
        default=[],
        type=ip_network,
        metavar="NETWORK",
        help="believe X-Forwarded-For from here; may be repeated",
    )
    parser.add_argument(
        "--clients", type=int, default=defaults.clients, help="at most, in all (%(default)s)"
    )
    parser.add_argument(
        "--clients-each",
        type=int,
        default=defaults.clients_each,
        help="at most, of one address (%(default)s)",
    )
    parser.add_argument(
        "--items",
        type=int,
        default=defaults.mailbox_bounds.items,
        help="held at most, about 1 kB each (%(default)s)",
    )
    parser.add_argument("--verbose", action="store_true", help="log more, to stderr")
    return parser


def _version() -> str:
    try:
        return version("p2pchat")
    except PackageNotFoundError:
        return "(not installed)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM. Exit codes: 0 ended, 1 could not start, 2 usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    settings = Settings(
        host=options.host,
        port=options.port,
        state=options.state,
        clients=options.clients,
        clients_each=options.clients_each,
        mailbox_bounds=Bounds(items=options.items),
        proxies=tuple(options.proxy),
    )
    try:
        asyncio.run(_run(settings))
    except StateUnusable as error:
        return _fail(error.message, error.hint)
    except (OSError, OverflowError) as error:
        where = f"{settings.host}:{settings.port}"
        return _fail(f"cannot listen on {where}: {error}", "choose another --host or --port")
    return 0


async def _run(settings: Settings) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    async with Server.open(settings) as server:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        sys.stdout.write(f"listening on http://{host}:{server.port}\n")
        sys.stdout.flush()
        await over.wait()


def _fail(message: str, hint: str) -> int:
    sys.stderr.write(f"p2pchat-signal: {message}\nhint: {hint}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
