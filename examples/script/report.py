"""A script as cron runs it: it makes a report, and its user's browser hears that it is ready."""

import sys

from bridge import emit, flush
from examples.script.events import ReportReady


def main(user_id: int, name: str) -> str | None:
    """Make a report; returns what is to be said of a failure, if there is one."""
    # … the work itself …
    emit(ReportReady(user_id=user_id, name=name))
    if flush(timeout_s=5):
        return None
    return "The report is made, but the broker does not have the event yet; see the log."


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))  # a text is printed, and the exit code is then 1
