"""An online shop that adopts bridge with a catalog of its own; start with README.md."""
