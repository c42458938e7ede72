"""The bridge inside Celery: app, tasks, consumer, pool and transport; the only room that knows Celery's internals."""
