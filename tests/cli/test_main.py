import subprocess
import sys

from p2pchat import __version__
from p2pchat.cli.main import COMMANDS


def test_the_version_needs_nothing_of_the_house() -> None:
    code = (
        "import sys; sys.argv = ['p2pchat', '--version']\n"
        "from p2pchat.cli.main import run\n"
        "run()\n"
        "heavy = {'click', 'aiohttp', 'aiortc', 'msgspec', 'libtorrent', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"p2pchat {__version__}\n[]\n"


def test_ctrl_c_is_heeded_before_anything_is_imported_that_takes_time() -> None:
    code = (
        "import sys\n"
        "from p2pchat.cli import main\n"
        "print(sorted({'typing', 'click', 'asyncio', 'msgspec'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_command_says_what_it_does() -> None:
    assert all(text.endswith(".") for _, text in COMMANDS.values())
