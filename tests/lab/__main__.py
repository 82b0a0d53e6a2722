"""`python -m tests.lab [WORDS]`: run the cells whose names have all the words, print the table.

Exit code 1 if any cell does other than plain ICE can.
"""

import sys
import time

from tests.harness.internet import internet_missing
from tests.lab.matrix import ALL, expected, opened, run, table


def main() -> int:
    missing = internet_missing("turnserver")
    if missing is not None:
        print(missing, file=sys.stderr)
        return 1
    words = sys.argv[1:]
    cells = [cell for cell in ALL if all(word in str(cell) for word in words)]
    results = {}
    began = time.monotonic()
    with opened() as grid:
        for cell, result in run(grid, cells):
            results[cell] = result
            wrong = "" if result.outcome == expected(cell) else f"   EXPECTED {expected(cell)}"
            print(f"{cell}: {result}{wrong}", file=sys.stderr, flush=True)
    print(table(results))
    good = sum(result.outcome == expected(cell) for cell, result in results.items())
    print(f"\n{good} of {len(results)} as expected, in {time.monotonic() - began:.0f} s")
    return 0 if good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
