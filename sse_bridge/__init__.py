"""``sse_bridge``: another name of the package ``bridge``, for programs in which that name is somebody else's.

Where ``bridge`` is ours, ``sse_bridge`` and all below it are the same modules, and nothing is loaded twice. Where it is
a team's own package, ours is loaded under this name alone, and theirs is left as it is. Decided at the first import.
"""

from sse_bridge.naming import take_name

take_name()
