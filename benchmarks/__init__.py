"""How fast the bridge is, beside others that do the same job. One file a question; see docs/performance.md."""
