"""``python -m examples.django_app.manage …``, in the folder above ``examples``."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
