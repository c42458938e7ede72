"""The command ``sse-bridge``. Commands hold no logic: they ask operations and print the answer."""

from bridge.cli.app import cli, main

__all__ = ["cli", "main"]
