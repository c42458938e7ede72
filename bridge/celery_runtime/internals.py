"""Every name of celery, kombu, billiard and py-amqp that is not their public interface, and that the worker leans on.

A release of theirs may take any of these away or change what it does. So each has a line: why it is needed, since
which release it is known (the oldest looked at: celery and kombu 5.2, billiard 3.6, py-amqp 5.1), and what to do when
it is gone. ``tests/unit/test_internals.py`` asks for each by name, and fails for one that is used and not listed;
``make next`` asks the newest pre-releases, without installing them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Internal(NamedTuple):
    """A name that is not ours to rely on."""

    name: str  # name of a class's attribute or method, or of a module
    since: str  # the oldest release that was seen to have it
    why: str  # what it is needed for; "Overridden" where ours takes its place
    if_gone: str  # what to do without it


# fmt: off
INTERNALS: Mapping[str, Sequence[Internal]] = {
    "kombu.transport.redis:Channel": (
        Internal("_brpop_start", "5.2", "Overridden: sends one claim script in place of BRPOP, which can lose what it pops.", "Find what sends the fetch now, and send the claim there."),
        Internal("_brpop_read", "5.2", "Overridden: reads the claim's answer, and delivers what it brought.", "Find what reads the fetch's answer now."),
        Internal("_brpop_sent_at", "5.7", "Set as stock sets it, since kombu's timeout of a fetch looks at it.", "Drop the line, if nothing reads it any more."),
        Internal("_in_poll", "5.2", "Set to the connection that a claim was sent over: kombu uses that connection for nothing else meanwhile.", "Find how kombu marks a connection that waits for an answer."),
        Internal("_flush_brpop_reauth", "5.7", "Called after an answer: it sends a new password that had to wait for it.", "Drop the call, if credentials are renewed elsewhere."),
        Internal("_queue_cycle", "5.2", "Whose turn it is: the order in which a claim names the queues.", "Keep a cycle of our own over `active_queues`."),
        Internal("_create_client", "5.2", "Makes the second client (acknowledgements) and the third (queue changes) with the channel's own options.", "Make them from `connparams` ourselves."),
        Internal("handlers", "5.2", "The reader of each kind of connection; ours adds one for queue changes.", "Read those wake-ups in `ClaimingPoller.on_readable` alone."),
        Internal("unacked_key", "5.2", "Key of the claimed messages, which stock workers and tools know.", "Name the keys ourselves, and say that stock workers cannot restore our claims."),
        Internal("unacked_index_key", "5.2", "Key of the claims' times.", "As `unacked_key`."),
        Internal("global_keyprefix", "5.2", "What stands before each key.", "Take it from the settings (`queue_prefix`)."),
        Internal("active_queues", "5.2", "The queues that a claim may name.", "Collect them in `basic_consume` and `basic_cancel`."),
        Internal("connection_class", "5.2", "Overridden: connections that notice when their other end is no master.", "Pass the class another way; a unit test shows whether it is used."),
        Internal("connection_class_ssl", "5.2", "As `connection_class`, for TLS.", "As `connection_class`."),
    ),
    "kombu.transport.virtual.base:Channel": (
        Internal("_qos", "5.2", "Whether anything was ever consumed, without making a QoS by asking.", "Ask `qos`; it costs an object a channel."),
    ),
    "kombu.transport.redis:QoS": (
        Internal("restore_visible", "5.2", "Overridden: claims of the dead go back by Redis' clock, and ours are renewed.", "Find what looks for abandoned messages now."),
        Internal("restore_by_tag", "5.2", "Puts one message back in kombu's own format.", "Do it in `restore.lua`."),
    ),
    "kombu.transport.virtual.base:QoS": (
        Internal("restore_unacked", "5.2", "Overridden: an orderly end gives back what is held, and keeps what still runs.", "Find what a closing channel calls now."),
        Internal("_flush", "5.2", "Sweeps acknowledged tags out of `_delivered`.", "Keep a table of what is held ourselves."),
        Internal("_delivered", "5.2", "What was delivered and is not acknowledged.", "As `_flush`."),
        Internal("can_consume_max_estimate", "5.2", "How many messages the prefetch leaves room for.", "Compute it from `prefetch_count`."),
    ),
    "kombu.transport.virtual.base:Transport": (
        Internal("_deliver", "5.2", "Gives a message to the consumer of its queue.", "Call the consumer's callback ourselves."),
    ),
    "kombu.transport.redis:MultiChannelPoller": (
        Internal("on_poll_start", "5.2", "Overridden: acknowledgements and claims are sent before each wait.", "Find what runs before each wait of the loop."),
        Internal("on_readable", "5.2", "Overridden: wake-ups are read, also while no message may be taken.", "Register the connection with the loop ourselves."),
        Internal("_channels", "5.2", "The channels of a connection.", "Keep them ourselves, by weak references."),
        Internal("_fd_to_chan", "5.2", "Which socket is whose; a connection that broke is taken out.", "Find how the poller forgets a socket."),
        Internal("_chan_to_sock", "5.2", "As `_fd_to_chan`.", "As `_fd_to_chan`."),
        Internal("_client_registered", "5.2", "Whether the connection for queue changes is watched.", "As `_fd_to_chan`."),
        Internal("_register", "5.2", "Watches that connection.", "As `_fd_to_chan`."),
    ),
    "kombu.transport.redis:Transport": (
        Internal("register_with_event_loop", "5.2", "Overridden: the loop turns also while nothing arrives.", "Join the loop in a boot step."),
    ),
    "kombu.transport.redis:SentinelTransport": (
        Internal("Channel", "5.2", "Overridden: the claiming channel behind sentinels.", "Find how a transport names its channel."),
    ),
    "kombu.transport:": (
        Internal("TRANSPORT_ALIASES", "5.2", "Gets the names of our transports, so that a URL's scheme can name them.", "Give `broker_transport` the class by its path, and leave sentinel URLs their stock transport."),
    ),
    "kombu.message:Message": (
        Internal("errors", "5.2", "What went wrong as a message was made; kombu raises it when the body is decoded.", "Raise in `on_message` before anything decodes."),
    ),
    "celery.concurrency.asynpool:AsynPool": (
        Internal("_event_process_exit", "5.2", "Overridden: Celery asks too early how a process ended, and looks again after 5 s.", "Try whether Celery notices at once; then drop it."),
        Internal("_on_soft_timeout", "5.2", "Overridden: results that wait to be read come before a time limit.", "Try whether a loop that was held up punishes who has finished."),
        Internal("_on_hard_timeout", "5.2", "As `_on_soft_timeout`.", "As `_on_soft_timeout`."),
        Internal("_create_worker_process", "5.2", "Overridden: the counter that a killed process could leave locked is replaced, and its pipe widened.", "Find what makes a process of the pool."),
        Internal("flush", "5.2", "Overridden: jobs that a process has begun with are not given up.", "Try whether a warm shutdown waits 30 s for them."),
        Internal("_writer", "5.2", "A job's weak reference to what writes it: half a job is finished by it.", "As `flush`."),
        Internal("_active_writers", "5.2", "Which jobs are half written to their process.", "As `flush`."),
        Internal("handle_result_event", "5.2", "Reads one result of a process.", "As `_on_soft_timeout`."),
    ),
    "celery.concurrency.asynpool:": (
        Internal("_select", "5.2", "Whether a pipe takes more without blocking.", "Use `select.poll`."),
    ),
    "celery.concurrency.asynpool:ResultHandler": (
        Internal("_hub", "5.7", "Who reads a process' results: a generator there is in the middle of a message.", "As `_on_soft_timeout`."),
    ),
    "billiard.pool:Pool": (
        Internal("_cache", "3.6", "The jobs that have not ended.", "Keep our own table in `TaskPool.on_apply`."),
        Internal("_pool", "3.6", "The processes.", "As `_cache`."),
        Internal("_state", "3.6", "Whether the pool is being torn down.", "As `_cache`."),
        Internal("_processes", "3.6", "How many processes there are to be: they share the room for pipes.", "Take it from `worker_concurrency`."),
        Internal("_on_ready_counters", "3.6", "How many results of a process were read; guarded by a lock that a killed process keeps.", "Try whether a process killed with that lock stops its worker."),
        Internal("_result_handler", "3.6", "What reads results.", "As `_hub`."),
    ),
    "billiard.pool:ApplyResult": (
        Internal("_write_to", "3.6", "The process that a job was given to.", "As `flush`."),
        Internal("_accepted", "3.6", "Whether the process said that it began.", "As `flush`."),
        Internal("_worker_pid", "3.6", "The process that runs a job.", "As `_on_soft_timeout`."),
    ),
    "billiard.process:BaseProcess": (
        Internal("_is_alive", "3.6", "Whether the process that a job was given to still lives.", "As `flush`."),
    ),
    "billiard.queues:_SimpleQueue": (
        Internal("_reader", "3.6", "Whether a result waits to be read.", "As `_on_soft_timeout`."),
    ),
    "celery.concurrency.prefork:TaskPool": (
        Internal("_pool", "5.2", "Whether the pool runs, or was stopped already.", "Note it in `on_start` and `on_stop`."),
        Internal("did_start_ok", "5.2", "Overridden: a pool that was stopped while it started did nothing wrong.", "Try Ctrl-C in the first tenth of a second."),
    ),
    "celery.worker.request:Request": (
        Internal("_already_cancelled", "5.2", "Whether Celery itself gave a task up, as it lost its broker.", "Note it in `cancel`."),
        Internal("_payload", "5.2", "A message's body as it was decoded: in a team's app its processes are given that.", "Use `message.payload`."),
        Internal("_request_dict", "5.2", "The message's headers.", "Read them from `message.headers`."),
        Internal("acknowledged", "5.2", "Set for a bundle that was parted: Celery must not acknowledge its first message.", "Override `acknowledge`."),
        Internal("on_failure", "5.2", "Overridden: whatever ended a task but its own word is a failed attempt of its events.", "Find where Celery hears of a lost process."),
        Internal("on_accepted", "5.2", "Overridden: counts the start of what came back, to tell a poison message from its neighbours.", "Count in the pool's process."),
        Internal("revoked", "5.2", "Overridden: a revoked event is not dropped without a word.", "Refuse revokes in the consumer."),
    ),
    "celery.worker.state:": (
        Internal("should_stop", "5.2", "Whether a warm shutdown has begun.", "Note the signal in a boot step."),
        Internal("should_terminate", "5.2", "Whether a cold one has.", "As `should_stop`."),
        Internal("task_ready", "5.2", "Takes a parted bundle off Celery's own list of what is claimed.", "As Celery does at the end of a request."),
        Internal("active_requests", "5.2", "What the pool runs: it is not given back when a connection breaks.", "Keep our own set in `BridgeRequest`."),
        Internal("requests", "5.2", "What is claimed, for the worker's report.", "As `active_requests`."),
        Internal("total_count", "5.2", "How many messages of each task were begun, for the worker's report.", "Count in `BridgeRequest`."),
        Internal("maybe_shutdown", "5.2", "Ends a worker that was told to stop while it started.", "Raise `WorkerShutdown` ourselves."),
    ),
    "celery.worker.consumer.consumer:Consumer": (
        Internal("Blueprint", "5.2", "Overridden: without DelayedDelivery, which declares queues that nothing uses.", "Try whether it can be switched off."),
        Internal("create_task_handler", "5.2", "Overridden: what Celery would die of is checked before Celery looks.", "Find what is called with each message."),
        Internal("on_decode_error", "5.2", "Overridden: what cannot be decoded is quarantined.", "As `create_task_handler`."),
        Internal("on_unknown_message", "5.2", "Overridden: a message without a task is quarantined.", "As `create_task_handler`."),
        Internal("on_unknown_task", "5.2", "Overridden: a task that is not registered is quarantined.", "As `create_task_handler`."),
        Internal("on_invalid_task", "5.2", "Overridden: a message that makes no task is quarantined.", "As `create_task_handler`."),
        Internal("connect", "5.2", "Overridden: queues that the broker refuses are left out, and tried again.", "Look at them in a boot step."),
        Internal("ensure_connected", "5.2", "Overridden: a lost broker is tried every 3 s, not every 30.", "Set the retry policy another way."),
        Internal("on_connection_error_after_connected", "5.2", "Overridden: an error of one queue is not taken for one of the connection.", "Find what is called when a connection breaks."),
    ),
    "celery.events.dispatcher:EventDispatcher": (
        Internal("_publish", "5.2", "Overridden: monitoring events are left out while RabbitMQ's alarm lasts.", "Switch them off for RabbitMQ (`-E` has no effect)."),
    ),
    "celery.app.amqp:Queues": (
        Internal("select", "5.2", "Overridden: `-Q` may name a queue that the registry has no more, and no mistyped one.", "Check `-Q` in a boot step."),
    ),
    "amqp.serialization:GenericContent": (
        Internal("_load_properties", "5.1", "Overridden: properties that cannot be read end as one dead letter, not as the death of the worker.", "Find what reads a message's properties."),
        Internal("_serialize_properties", "5.1", "Overridden: such properties are sent on as they came.", "As `_load_properties`."),
    ),
    "amqp.method_framing:": (
        Internal("Message", "5.1", "Replaced by our class, so that every message of the process is read so.", "As `_load_properties`."),
    ),
}
# fmt: on
"""By class (``module:Class``) or module (``module:``), where each is defined; a line a name."""
