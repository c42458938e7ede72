"""The demo's business: a small finance service that imports bank statements and says so through bridge."""
