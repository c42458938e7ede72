"""What may happen, and who hears of it."""

from bridge import Event, catalog_of


class ReportReady(Event):
    user_id: int
    title: str


registry = catalog_of({"report.ready": ReportReady}, user_id=int)
