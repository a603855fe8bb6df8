"""``python -m bench``: measure, print, and with ``--check`` judge."""

import argparse
import platform
import sys
from pathlib import Path

_RESULTS = Path(__file__).with_name("results")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure strongroom beside its peers.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs; the figures mean little")
    parser.add_argument(
        "--check", action="store_true", help="exit 1 if a target is missed, 3 if one cannot be measured"
    )
    parser.add_argument("--save", action="store_true", help="also write the table into bench/results/")
    arguments = parser.parse_args()
    if arguments.quick and (arguments.check or arguments.save):
        parser.error("--quick takes too few samples for --check and --save")
    return arguments


def main() -> int:
    """Run the bench and return the exit code."""
    arguments = _arguments()
    if sys.platform != "linux":
        print("The bench needs Linux: what it compares with is written for it.", file=sys.stderr)
        return 3  # as for anything that could not be measured
    from bench import machine, suite, table, targets  # after that: they import what only Linux has

    description = machine.describe()

    def tell(name: str) -> None:
        print(f"measuring: {name}", file=sys.stderr, flush=True)

    groups = suite.run(suite.QUICK if arguments.quick else suite.FULL, tell)
    verdicts = targets.judge(groups)
    print((table.as_json if arguments.json else table.as_text)(description, groups, verdicts))
    if arguments.save:
        _RESULTS.mkdir(exist_ok=True)
        page = _RESULTS / f"{description['date']}-{platform.release()}.md"
        page.write_text(table.as_markdown(description, groups, verdicts))
        print(f"saved: bench/results/{page.name}", file=sys.stderr)
    return targets.exit_code(verdicts) if arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
