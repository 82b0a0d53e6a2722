"""The house rules that no linter knows: tests mirror modules, names agree, documents do not lie.

Each rule reads the tree as it is, so a new module, code, command or setting is held to it at once.
"""

import ast
import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from p2pchat import config, errors
from p2pchat.cli.group import cli

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("p2pchat", "signaling")

# Modules with logic and no test file of their own, each with its reason.
UNMIRRORED = {
    "p2pchat/__init__.py": "only the lazy export of Node, which test_all_names_exist reads",
    "p2pchat/errors.py": "held by this file, code by code",
    "signaling/errors.py": "an exception that keeps its three arguments",
    "p2pchat/files/dhtworker.py": "in the worker's process, tested through its pipe: test_dht.py",
    "p2pchat/files/worker.py": "a process of its own, tested through its pipe: test_session.py",
    "signaling/server/__main__.py": "runs whole: tests/end_to_end/test_signal.py",
    "p2pchat/cli/demo.py": "runs whole: tests/end_to_end, and make smoke on the built wheel",
}

# Folders and files of tests that mirror no module, each with its reason.
UNMIRRORING = {
    "tests/bench": "measures, against the raw libraries",
    "tests/core/test_belonging_by_definition.py": "membership and judgement against the document",
    "tests/core/test_convergence.py": "the machines of many members together",
    "tests/attacks": "tries what the adversaries of docs/security.md would",
    "tests/fuzz": "one list of all parsers that outsiders reach, for hypothesis and atheris",
    "tests/end_to_end": "drives the installed command",
    "tests/harness": "what other tests stand on",
    "tests/lab": "network namespaces",
    "tests/test_house.py": "this file",
    "tests/test_security_doc.py": "holds docs/security.md to the tests that it names",
    "tests/test_vectors.py": "bytes that core and signaling agree on with other implementations",
    "tests/vectors": "those bytes, and what made them",
}

ERROR_CLASSES = {
    name for name in errors.__all__ if isinstance(getattr(errors, name), type)
} | {"SignalingError", "error_for"}  # fmt: skip


def modules() -> list[Path]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(found)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def is_declaration(statement: ast.stmt) -> bool:
    """A docstring, `...` or `pass`."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def has_logic(path: Path) -> bool:
    """Whether any function of the module has a body; values and protocols have none."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not all(is_declaration(statement) for statement in node.body)
        for node in ast.walk(tree(path))
    )


def mirror(module: Path) -> Path:
    """p2pchat/core/entry.py -> tests/core/test_entry.py, p2pchat/text.py -> tests/test_text.py,
    signaling/carriers/lan.py -> tests/signaling/test_lan.py, signaling/carriers/mailbox.py ->
    tests/signaling/test_mailbox_carrier.py; a package's own `__init__` ->
    test_<package>.py beside its parts'.
    """
    parts = module.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "p2pchat" else parts
    name = parts[-2] if parts[-1] == "__init__" and len(parts) > 1 else parts[-1]
    if "carriers" in parts and (ROOT / "signaling" / f"{name}.py").exists():
        name += "_carrier"  # the machine of the same name has the plain one
    return ROOT.joinpath("tests", *parts[:-1][:1], f"test_{name}.py")


# -- tests mirror modules --------------------------------------------------------------------------


@pytest.mark.parametrize("module", [path for path in modules() if has_logic(path)], ids=relative)
def test_a_module_with_logic_has_its_tests(module: Path) -> None:
    if relative(module) in UNMIRRORED:
        assert not mirror(module).exists(), f"{relative(module)} is exempt, and has tests"
        return
    assert mirror(module).exists(), f"write {relative(mirror(module))}, or exempt it with a reason"


def test_a_test_file_has_its_module() -> None:
    logical = [mirror(module) for module in modules() if has_logic(module)]
    assert len(logical) == len(set(logical)), "two modules share a test file"
    expected = {mirror(module) for module in modules()}
    exempt = [ROOT / name for name in UNMIRRORING]
    astray = [
        relative(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path not in expected and not any(path.is_relative_to(place) for place in exempt)
    ]
    assert not astray, "these mirror no module"


def test_no_exemption_is_stale() -> None:
    logical = {relative(path) for path in modules() if has_logic(path)}
    assert set(UNMIRRORED) <= logical, "exempt, but gone or without logic"
    assert all((ROOT / name).exists() for name in UNMIRRORING)
    assert all([*UNMIRRORED.values(), *UNMIRRORING.values()]), "each needs its reason"


# -- modules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", modules(), ids=relative)
def test_a_module_says_what_it_is_for(module: Path) -> None:
    docstring = ast.get_docstring(tree(module)) or ""
    assert len(docstring) > 10


@pytest.mark.parametrize("module", modules(), ids=relative)
def test_all_names_exist_and_no_public_name_is_missing(module: Path) -> None:
    loaded = importlib.import_module(dotted(module))
    exported = getattr(loaded, "__all__", None)
    assert isinstance(exported, list), "no __all__"
    assert len(exported) == len(set(exported)), "a name twice"
    assert [name for name in exported if not hasattr(loaded, name)] == []
    public = {
        node.name
        for node in tree(module).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }
    assert public <= set(exported), "export it, or begin its name with an underscore"


# -- errors --------------------------------------------------------------------------------------


def error_calls() -> Iterator[tuple[str, ast.Call, set[str], str]]:
    """Where errors are made: place, call, its possible codes, the class called."""
    for module in modules():
        if module == ROOT / "p2pchat" / "errors.py":
            continue
        for node in ast.walk(tree(module)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = called(node.func)
            if name in ERROR_CLASSES:
                codes = {
                    part.value
                    for part in ast.walk(node.args[0])
                    if isinstance(part, ast.Constant) and part.value in errors.CODES
                }
                yield f"{relative(module)}:{node.lineno}", node, codes, name


def called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            if name == "__init__":  # super().__init__ of a subclass with a code of its own
                return "Error"
            return name
        case _:
            return ""


@pytest.mark.parametrize("code", errors.CODES)
def test_an_error_code_is_raised_somewhere(code: str) -> None:
    assert any(code in codes for _, _, codes, _ in error_calls())


@pytest.mark.parametrize("code", errors.CODES)
def test_an_error_code_has_a_test(code: str) -> None:
    tests = (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__).resolve())
    assert any(f'"{code}"' in path.read_text("utf-8") for path in tests)


def test_an_error_is_raised_with_the_exit_code_of_its_code() -> None:
    wrong = [
        f"{place}: {code} is a {errors.CODES[code].__name__}"
        for place, _, codes, name in error_calls()
        for code in codes
        if name not in {"SignalingError", "error_for", errors.CODES[code].__name__, "Error"}
        or (name == "Error" and errors.CODES[code].exit_code != 1 and not is_init(place))
    ]
    assert not wrong


def is_init(place: str) -> bool:
    """Whether the call is a subclass's `super().__init__`, whose class the base decides."""
    file, _, line = place.rpartition(":")
    return "__init__" in (ROOT / file).read_text("utf-8").splitlines()[int(line) - 1]


def test_an_error_has_a_message_and_a_hint_in_our_form() -> None:
    wrong = []
    for place, call, codes, _ in error_calls():
        if not codes:
            continue
        texts = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
        if len(texts) != 2 and not any(isinstance(text, ast.Starred) for text in texts):
            wrong.append(f"{place}: needs a message and a hint")
        for text in texts:
            if not isinstance(text, ast.Constant):
                continue
            said = str(text.value)
            first = said.split(" ", maxsplit=1)[0]
            if not said or said.endswith(".") or (first[:1].isupper() and not first.isupper()):
                wrong.append(f"{place}: {said!r}: lower case, no full stop")
    assert not wrong


def test_the_table_of_errors_has_every_code_with_its_exit_code() -> None:
    rows: dict[str, tuple[str, str, str]] = {}
    for line in (ROOT / "docs" / "errors.md").read_text("utf-8").splitlines():
        if line.startswith("| `"):
            code, exit_code, happened, remedy = (
                cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]
            )
            assert code not in rows, "a row twice"
            rows[code.strip("`")] = (exit_code, happened, remedy)
    interrupted = 130  # by convention of shells: 128 + SIGINT
    assert {code: row[0] for code, row in rows.items()} == {
        code: str(interrupted if code == "interrupted" else kind.exit_code)
        for code, kind in errors.CODES.items()
    }
    assert all(happened and remedy for _, happened, remedy in rows.values())


# -- documents -----------------------------------------------------------------------------------


def code_spans(document: Path) -> str:
    """What stands in backticks or in code blocks, one a line."""
    text = document.read_text("utf-8")
    blocks = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^ {4,}.*$", text, re.MULTILINE)
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *blocks, *indented])


def commands() -> list[str]:
    return cli.list_commands(click.Context(cli))


@pytest.mark.parametrize("name", commands())
def test_a_command_is_documented(name: str) -> None:
    assert re.search(
        rf"^(p2pchat )?{re.escape(name)}\b", code_spans(ROOT / "README.md"), re.MULTILINE
    ), f"p2pchat {name} is not in README.md"
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts[-1]} of p2pchat {name} has no help"


@pytest.mark.parametrize("key", config.keys())
def test_a_setting_is_documented(key: str) -> None:
    assert re.search(rf"(?<![\w.]){re.escape(key)}\b", code_spans(ROOT / "README.md"))


def test_documents_name_only_commands_that_exist() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        named = set(re.findall(r"^p2pchat ([a-z]+)\b", code_spans(document), re.MULTILINE))
        assert named <= set(commands()), f"{relative(document)} names commands that are not there"


# -- what is committed ---------------------------------------------------------------------------


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_committed_files_name_no_registry_and_no_place_on_one_machine() -> None:
    registries = ("pypi" + ".org", "python" + "hosted.org", "artifact" + "ory")
    places = re.compile("/(?:root|Users|work|opt)/|/home/[a-z]")
    astray = []
    for path in committed():
        if not path.is_file() or path == Path(__file__).resolve():
            continue
        text = path.read_bytes().decode("utf-8", "ignore")
        if found := [host for host in registries if host in text] + places.findall(text):
            astray.append(f"{relative(path)}: {', '.join(sorted(set(found)))}")
    assert not astray


# -- locks ---------------------------------------------------------------------------------------


def locked(name: str) -> dict[str, str]:
    """The pins of a lock file, each with its hashes checked for being there."""
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text, "a lock names no place"
    pins: dict[str, str] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.replace("\\\n", "")):
        pinned = re.match(r"([\w.-]+)==(\S+)", block)
        assert pinned, f"{name}: {block[:40]!r} is no pin"
        assert "--hash=sha256:" in block, f"{name}: {pinned[1]} has no hash"
        pins[canonicalize_name(pinned[1])] = pinned[2]
    return pins


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    runtime, build, dev = map(
        locked, ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
    )
    for pins, asked in (
        (runtime, project["project"]["dependencies"]),
        (build, project["build-system"]["requires"]),
        (dev, project["dependency-groups"]["dev"]),
    ):
        for requirement in map(Requirement, asked):
            pin = pins.get(canonicalize_name(requirement.name))
            assert pin, f"{requirement.name} is not locked: make lock"
            assert requirement.specifier.contains(pin), f"{requirement} is not {pin}: make lock"
    assert runtime.items() <= dev.items()
    assert all(dev.get(name, pin) == pin for name, pin in build.items()), (
        "locks disagree: make lock"
    )
