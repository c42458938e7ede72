"""Integrations with what applications are built on: a package each, which alone imports it."""
