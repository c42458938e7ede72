"""Values that no field should be given, of every kind that once broke a reader of numbers, times, texts or cursors."""

DIGITS = "9" * 4301
"""More than Python turns into a number at once."""

NUMBERS = (
    DIGITS,
    f"-{DIGITS}",
    "1e999",
    "-1e999",
    "nan",
    "inf",
    "1e308",
    "-1",
    "0x10",
    "²",
    "٣",
    "nan%",
    "1e400%",
    f"{DIGITS}%",
)
TIMES = (
    "99999999999999999999d", f"{DIGITS}d", "٣٣d", "0w", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
    "10000-01-01", "2026-W99",
)  # fmt: skip
CURSORS = (f"{DIGITS}:x", "1e300:x", "-1e300:" + "x" * 10_000, "1:\x00", ":")
TEXTS = ("\x00", "\ud800", "\x1b[31m", "\r\nX: y", "x" * 20_000, "%", "{0.__class__}", "\u202e", "[/x]", "[" * 5_000)
ABSURD = NUMBERS + TIMES + CURSORS + TEXTS
