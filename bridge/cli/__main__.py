"""``python -m bridge.cli``: the same command, for a process that has no console script on its PATH."""

from bridge.cli.app import main

main()
