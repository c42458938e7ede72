"""The outbox's table."""

from django.db import migrations, models

from bridge.contrib.django.operations import TransactionalOutbox


class Migration(migrations.Migration):
    """On each database on which it is run."""

    initial = True

    operations = (
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("event_id", models.CharField(max_length=36)),
                ("task", models.CharField(max_length=255)),
                ("order_key", models.CharField(max_length=32, null=True)),
                ("envelope", models.BinaryField()),
                ("created_ms", models.BigIntegerField()),
                ("schema_version", models.SmallIntegerField()),
                ("state", models.SmallIntegerField()),
                ("claimed_by", models.CharField(max_length=64, null=True)),
                ("claimed_ms", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "bridge_outbox",
                "default_permissions": (),
                "indexes": [models.Index(fields=["state", "id"], name="bridge_outbox_waiting")],
                "constraints": [models.UniqueConstraint(fields=("event_id",), name="bridge_outbox_event_id")],
            },
        ),
        TransactionalOutbox(),
    )
