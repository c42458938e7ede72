"""What operators ask of a running bridge: whether the books balance, what is missing, where an event is."""
