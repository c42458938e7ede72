"""RabbitMQ: sending to it, its queues, its alarms, and what its errors mean.

Whatever asks it raises BrokerError where it is away or refuses.
"""
