"""Whether a test has this process: then its databases, and its users, are a test's."""

import sys


def is_test() -> bool:
    """Whether it is run by a test runner of Django."""
    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")
