"""The demo: a small finance service that imports bank statements, and a page that shows what it emits."""
