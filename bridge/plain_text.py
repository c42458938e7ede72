"""Outside text made fit for one line of a log: no line feed, escape or other control character gets through; pure."""

LINE_CHARS_MAX = 500
"""Characters of outside text in a log line."""


def one_line(text: object, *, chars_max: int = LINE_CHARS_MAX) -> str:
    """Text as one line of what can be printed: what cannot is written as Python escapes it, and it is cut to length.

    Whoever writes a message, a header or an error text can otherwise forge log lines, or steer a terminal.

    Args:
        text: from outside; what is no text is written as ``str`` does.
        chars_max: characters to keep before any are escaped.
    """
    words = (text if isinstance(text, str) else str(text))[: chars_max + 1]
    if len(words) > chars_max:
        words = words[: chars_max - 1] + "…"
    if words.isprintable():
        return words
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)
