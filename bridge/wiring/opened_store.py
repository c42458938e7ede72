"""``open_store``: the one way in which commands, the operators' page and checks open what is kept in Redis."""

from bridge.redis_adapter import Store, connect, connect_briefly
from bridge.settings import Settings


def open_store(settings: Settings, *, briefly: bool = False) -> Store:
    """The store of a bridge. Opens no connection before its first use; closed by ``close`` or as a context.

    ``briefly``: give up soon when it does not answer, and try nothing twice.
    """
    return Store.of(connect_briefly(settings) if briefly else connect(settings), settings)
