"""Dead letters sent again as a job, which any process can go on with when the one that ran it is gone.

1. A snapshot is taken of the letters that match, into the job's *pending* set: what dies again is not met again.
2. Letters go from *pending* to *sent*: on a Redis that is both broker and store in the one script that puts their
   message on its queue, so that whenever the process is killed none is sent twice and none forgotten. On another
   broker they are marked before they are sent, and those that the broker did not confirm are sent again only when
   a person says so (``resend``).
3. The worker gives each event one attempt. A letter that is gone succeeded; one that carries the job's id died again.
4. A letter that holds a whole quarantined message ends in the step that puts the message back as it was, and its
   events are on their way as if nothing had happened. When they have ended, wait or are dead-lettered, it succeeded; it
   failed if the message was quarantined again.
"""

from bridge.operations.redrive.redrives import MAX_FAILURES_DEFAULT, Redrives
