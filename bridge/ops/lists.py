"""Pages that list failed events: dead letters and waiting retries, with their filters and the way on."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from bridge.model.pipeline import Stage
from bridge.operations.known import found_categories
from bridge.operations.selection import Selection
from bridge.ops.ask import Ask
from bridge.ops.desk import Desk
from bridge.ops.fields import given_filters
from bridge.redis_adapter import Cursor
from bridge.views.failed_events import Row
from bridge.views.filters import write_filters

PAGE = 50


def list_page(
    desk: Desk,
    ask: Ask,
    template: str,
    selection: Selection,
    rows: Sequence[Row],
    following: Cursor | None,
    **values: Any,
) -> Response:
    """A page of a list.

    Args:
        desk: makes it.
        ask: for whom.
        template: of the list.
        selection: what is listed.
        rows: of this page.
        following: where the next page begins.
        values: what else the template wants.
    """
    return desk.page(
        ask,
        template,
        rows=rows,
        following=following,
        filters=given_filters(ask.query),
        fixed=write_filters(selection),
        selection=str(selection),
        stages=[stage.value for stage in Stage],
        categories=_categories(desk),
        paged="after" in ask.query,
        **values,
    )


def _categories(desk: Desk) -> list[str]:
    """Of the registry; then those of older catalogs."""
    ours = [category.value for category in desk.registry.categories]
    return list(dict.fromkeys([*ours, *sorted(found_categories(desk.client, desk.settings))]))
