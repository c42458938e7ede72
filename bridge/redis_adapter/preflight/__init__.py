"""Trying out, before a process starts, whether the servers let it do what it will do; on scratch keys."""
