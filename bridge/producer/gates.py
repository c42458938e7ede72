"""What a fork of a producer waits for. Loaded before anything that these gates guard."""

from bridge.runtime.forks import ForkGate

SQLITE = ForkGate()
"""Held in each call of SQLite, by whatever file: a fork in one would leave SQLite's own locks held in the child."""
EMITTERS = ForkGate()
"""Held while emitters are made. A fork asks for the last gate first: when it has this one, no emitter is half made."""
