"""The language, pure: events, registry, pipeline, errors and bounds. Imports nothing that does I/O."""
