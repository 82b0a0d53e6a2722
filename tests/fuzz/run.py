"""Fuzz one parser by coverage: `python tests/fuzz/run.py NAME [libFuzzer's flags]`.

Needs atheris (`pip install atheris`), which the project does not. Examples that reach something new
go into `tests/fuzz/corpus/NAME`; what ends a run is written beside it as `crash-…`.
"""

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main(arguments: list[str]) -> int:
    try:
        import atheris
    except ImportError:
        print("fuzzing needs atheris, which is not installed: pip install atheris", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["p2pchat", "signaling"]):
        from tests.fuzz.parsers import PARSERS
    if not arguments or arguments[0] not in PARSERS:
        print("usage: python tests/fuzz/run.py NAME [FLAGS]; NAME is one of", file=sys.stderr)
        print("  " + " ".join(PARSERS), file=sys.stderr)
        return 2
    name, parser = arguments[0], PARSERS[arguments[0]]
    corpus = Path(__file__).parent / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(parser.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def feed(data: bytes) -> None:
        with contextlib.suppress(*parser.refuses):
            parser.parse(data)

    prefix = f"-artifact_prefix={corpus.parent}/"
    atheris.Setup([sys.argv[0], str(corpus), prefix, *arguments[1:]], feed)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
