"""Names that no other process uses, of forms that a process's rights allow; everything under them is removed again."""

from dataclasses import dataclass
from uuid import uuid4

from bridge.redis_adapter.acl_rights import Rights


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where one trial happens."""

    root: str  # what every key begins with
    channel: str  # no client listens to it

    @classmethod
    def within(cls, rights: Rights) -> "Scratch":
        """Names that a process with these rights may use."""
        name = f"check-{uuid4().hex[:12]}:"
        pattern = next(key for key in rights.keys if key.endswith("*"))
        channel = next((one.removesuffix("*") for one in rights.channels if one.endswith("*")), "")
        return cls(pattern.removesuffix("*") + name, channel + name)
