"""What this script tells of, and which user hears it."""

from bridge import Event, catalog_of


class ReportReady(Event):
    """Somebody's report can be read."""

    user_id: int
    name: str


registry = catalog_of({"report.ready": ReportReady}, user_id=int)
