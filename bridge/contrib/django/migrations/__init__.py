"""The outbox's table, by ``manage.py migrate bridge``, on each database that is to have one."""
