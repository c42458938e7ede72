"""A whole bridge on one machine: embedded server, worker and gateway in one command."""
