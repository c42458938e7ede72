"""``python -m benchmarks``: ask every question, then write the page. Takes the options of the questions."""

import sys
from importlib import import_module

from benchmarks import report

QUESTIONS = (
    "imports",
    "producer_cost",
    "script_ceiling",
    "bursts",
    "single_emits",
    "latency",
    "memory",
    "scaling",
)


def main() -> None:
    """Run all, in an order that tells early when something does not work."""
    arguments = sys.argv[1:]
    for name in QUESTIONS:
        if not {"-h", "--help"} & set(arguments):
            print(f"== {name}", file=sys.stderr, flush=True)
        import_module(f"benchmarks.{name}").main(arguments)
    report.main(report.arguments_of(arguments))


if __name__ == "__main__":
    main()
