"""A producer that emits until it is killed: ``python -m tests.support.spooling_producer USER PAUSE_S [NUMBER]``.

Prints the monotonic time and the id of each event just before it is emitted, one a line.
"""

import sys
import time
from uuid import UUID

from bridge import Emitter
from tests.support.moody_catalog import Moody


def main(user_id: str, pause_s: str, number: str = "1000000") -> None:
    emitter = Emitter()
    for n in range(int(number)):
        event = Moody(user_id=UUID(user_id), number=n)
        print(time.monotonic(), event.event_id, flush=True)
        assert emitter.emit(event)
        time.sleep(float(pause_s))
    assert emitter.close(20)


if __name__ == "__main__":
    main(*sys.argv[1:])
