"""A plain script that tells a user what it did; see docs/script.md."""
