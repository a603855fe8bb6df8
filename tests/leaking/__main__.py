"""Run calls that are given a secret, search their processes for what is left of it, and print a table.

    python tests/leaking [--runs N] [--json] [--save] [WORD ...]

With words only the calls that contain one of them. ``--save`` writes the tables of docs/libraries.md; ``--json`` prints
what was found in each run. Linux only. It needs strongroom installed, and to be allowed to read a child's memory.
"""

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from leaking import measuring, page  # noqa: E402


def main() -> int:
    """Return 0, 2 for wrong arguments, 3 when a row could not be measured."""
    parser = argparse.ArgumentParser(prog="python tests/leaking", description="Measure which calls leave copies.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only the calls that contain one of these")
    parser.add_argument("--runs", type=int, default=3, help="processes for each row (3)")
    parser.add_argument("--json", action="store_true", help="print what each run found instead of the table")
    parser.add_argument("--save", action="store_true", help="also write the tables into docs/libraries.md")
    arguments = parser.parse_args()
    if arguments.runs < 1 or (arguments.save and arguments.words):
        parser.error("--runs is at least 1, and --save wants every row")
    if not sys.platform.startswith("linux"):
        print("needs Linux: reads /proc", file=sys.stderr)  # noqa: T201
        return 3
    chosen = [o for o in page.ALL if not arguments.words or any(word in o.call for word in arguments.words)]
    found, failed = {}, False
    for operation in chosen:
        if lacking := measuring.missing(operation):
            print(f"not measured: {operation.call} (needs {', '.join(lacking)})", file=sys.stderr)  # noqa: T201
            continue
        try:
            found[operation.call] = [measuring.measure(operation) for _ in range(arguments.runs)]
        except measuring.MeasuringError as error:
            print(error, file=sys.stderr)  # noqa: T201
            failed = True
    text = page.render(found, measuring.ROUNDS, arguments.runs)
    print(measuring.as_json(found) if arguments.json else text)  # noqa: T201
    if arguments.save and not failed:
        page.save(text)
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
