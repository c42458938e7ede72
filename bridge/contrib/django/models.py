"""``OutboxEvent``: the outbox's table as Django knows it, for its migration; what a column holds says ``OutboxRow``."""

from django.db import models

from bridge.producer.outbox import TABLE


class OutboxEvent(models.Model):
    """An event that waits for the emitter. Rows are written by ``emit_on_commit`` and removed by the emitter alone."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.CharField(max_length=36)
    task = models.CharField(max_length=255)
    order_key = models.CharField(max_length=32, null=True)
    envelope = models.BinaryField()
    created_ms = models.BigIntegerField()
    schema_version = models.SmallIntegerField()
    state = models.SmallIntegerField()
    claimed_by = models.CharField(max_length=64, null=True)
    claimed_ms = models.BigIntegerField(null=True)

    class Meta:
        """As ``bridge.producer.outbox.create_statements`` makes it."""

        app_label = "bridge"
        db_table = TABLE
        default_permissions = ()
        indexes = (models.Index(fields=["state", "id"], name=f"{TABLE}_waiting"),)
        # Not unique=True, for which PostgreSQL would keep a second index, of patterns.
        constraints = (models.UniqueConstraint(fields=["event_id"], name=f"{TABLE}_event_id"),)

    def __str__(self) -> str:
        return f"{self.task} {self.event_id}"
