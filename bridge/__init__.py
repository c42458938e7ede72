"""bridge: domain events to live browser updates, through Celery and Redis."""
