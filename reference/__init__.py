"""The API reference, docs/api/: read from the docstrings of the entry points, written as Markdown by ``make docs``.

It needs griffe, which reads the code without running it; so no page depends on what is installed. It is in no wheel.
"""
