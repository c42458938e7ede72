"""RabbitMQ: sending to it, its queues, its alarms, and what its errors mean."""
