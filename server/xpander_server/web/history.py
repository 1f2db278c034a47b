"""History page: the runs of an organization, newest first or sorted by a figure."""

import hashlib
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from attrs import evolve, frozen
from starlette.requests import Request
from starlette.responses import Response

from xpander_server.api.responses import json_response
from xpander_server.auth.authentication import Principal
from xpander_server.domain.task import Task
from xpander_server.http.concurrency import ListRunner
from xpander_server.http.dispatcher import root_path
from xpander_server.http.errors import HTTPError, validation_error
from xpander_server.store import MAX_COUNT, Store, TaskQuery, ViewSummary
from xpander_server.web.chart_data import to_csv
from xpander_server.web.filter_chips import NAMES, list_chips, position_chip
from xpander_server.web.filter_options import FilterOptions, FilterOptionsCache
from xpander_server.web.filters import TIME_RANGES, PageFilters, has_empty_fields, parse_filters, without_empty_fields
from xpander_server.web.list_options import COLUMNS, RUN, SORTS, ListOptions, columns_parameter, parse_list_options
from xpander_server.web.list_view import view_parameter
from xpander_server.web.rendering import link, redirect, render_page
from xpander_server.web.run_export import MAX_ROWS, export_rows
from xpander_server.web.time_zones import page_zone
from xpander_server.web.view_totals import ViewTotals, ViewTotalsCache, add_up

TASKS_PER_PAGE = 50
STATUSES = ("completed", "failed", "executing")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", re.ASCII)


@frozen
class RunList:
    """Runs of one page of the list.

    Attributes:
        tasks: The runs.
        older: The parameters of the link to the next page, or None.
        totals: The totals of the view.
        same_id: The id of the run that the searched text is the id of, or None.
    """

    tasks: Sequence[Task]
    older: dict[str, str] | None
    totals: ViewTotals
    same_id: str | None


class RunPage(NamedTuple):
    """Runs of one page of the list, without the totals of the view.

    `older` is that of `RunList`. `summary` has the figures of the view if the order needs them, otherwise it is None.
    """

    tasks: Sequence[Task]
    older: dict[str, str] | None
    summary: ViewSummary | None


class HistoryPage:
    """The history page, the part of it that live pages poll, and its downloads.

    Args:
        store: The store whose tasks are shown.
        clock: Returns the current time in microseconds since 1970 (UTC).
        run_list: Executes lists and searches.
        stale_after: Time without a change after which an executing task is stale, in microseconds.
    """

    def __init__(self, store: Store, clock: Callable[[], int], run_list: ListRunner, stale_after: int) -> None:
        self._stale_after = stale_after
        self._store = store
        self._run_list = run_list
        self._clock = clock
        self._options = FilterOptionsCache(store)
        self._totals = ViewTotalsCache()

    async def show(self, request: Request, principal: Principal) -> Response:
        """Render the page, or only its table if the query contains `part`."""
        columns = request.query_params.getlist("columns")
        # The form sends empty fields, and each chosen column as a field of its own.
        if has_empty_fields(request) or len(columns) > 1:
            chosen = columns_parameter(",".join(columns).split(",")) if columns else None
            return redirect(link("history", without_empty_fields(request), columns=chosen))
        now = self._clock()
        filters, options = parse_filters(request, now), parse_list_options(request.query_params)
        organization_id = principal.organization_id

        is_part = "part" in request.query_params

        # All of it in one thread, because a busy machine takes long to start the next one.
        def read() -> tuple[RunList, dict[str, int], FilterOptions | None]:
            runs = self._read(filters, options, organization_id)
            child_counts = self._store.child_counts(organization_id, [task.id for task in runs.tasks])
            return runs, child_counts, None if is_part else self._options.get(organization_id)

        runs, child_counts, names = await self._run_list(organization_id, read)
        parameters = {**filters.parameters, **options.parameters}
        position = {} if filters.cursor is None else {"cursor": filters.cursor}
        if options.offset:
            position["offset"] = str(options.offset)
        context = {
            "principal": principal,
            "filters": filters,
            "options": options,
            "sorts": SORTS,
            "parameters": parameters,
            "view": view_parameter(filters, options),
            "position": position,
            "chips": list_chips(filters),
            "position_chip": position_chip(options, filters.cursor, runs.tasks[0] if runs.tasks else None),
            "columns": COLUMNS,
            "runs": runs,
            "child_counts": child_counts,
            "days": [(None, runs.tasks)] if options.sort else _by_day(runs.tasks, now),
            "now": now,
            "newest_link": link("history", parameters),
            "older_link": runs.older and link("history", {**parameters, **runs.older}),
            "is_filtered": bool(filters.parameters),
            "server_url": _server_url(request),
            "statuses": STATUSES,
            "max_children": MAX_COUNT,
            "stale_before": now - self._stale_after,
        }
        if is_part:
            return _with_etag(request, await render_page("runs.html", context))
        is_live = not position and filters.until is None and options.sort is None and not options.is_ascending
        form_context = {
            "names": names,
            "filter_names": NAMES,
            "time_ranges": TIME_RANGES,
            "run_column": RUN,
            "live_link": is_live and link("history", parameters, part="runs"),
        }
        return await render_page("history.html", {**context, **form_context})

    async def download(self, request: Request, principal: Principal) -> Response:
        """Return the runs of the list from its position on as CSV or JSON."""
        file_format = request.query_params.get("form")
        if file_format not in ("csv", "json"):
            raise HTTPError(404, "File format not found.")
        filters, options = parse_filters(request, self._clock()), parse_list_options(request.query_params)
        organization_id = principal.organization_id
        query = self._query(filters, organization_id)
        headers = {"Content-Disposition": f'attachment; filename="runs.{file_format}"'}

        # All of it in a thread, because a file of many runs takes longer than others should wait.
        def create_file() -> Response:
            rows = export_rows(self._read_page(query, filters, options, MAX_ROWS).tasks)
            if file_format == "json":
                return json_response(rows, headers=headers)
            return Response(to_csv(rows), headers=headers, media_type="text/csv; charset=utf-8")

        return await self._run_list(organization_id, create_file)

    def _query(self, filters: PageFilters, organization_id: str) -> TaskQuery:
        return filters.task_query(organization_id, self._clock() - self._stale_after)

    def _read(self, filters: PageFilters, options: ListOptions, organization_id: str) -> RunList:
        query = self._query(filters, organization_id)
        text = filters.fields.get("q")
        same_id = None
        if text is not None and self._store.sorted_previews(organization_id, [text]):
            same_id = text
        page = self._read_page(query, filters, options, TASKS_PER_PAGE)
        if page.summary is not None:
            return RunList(page.tasks, page.older, add_up(page.summary), same_id)
        view = (organization_id, page_zone().name, *filters.parameters.items())
        totals = self._totals.get(view, lambda: self._store.view(query))
        return RunList(page.tasks, page.older, totals, same_id)

    def _read_page(self, query: TaskQuery, filters: PageFilters, options: ListOptions, limit: int) -> RunPage:
        if options.sort is not None:
            summary = self._store.view(query)
            ids = summary.sorted_ids(options.sort, smallest_first=options.is_ascending)
            end = options.offset + limit
            tasks = self._store.sorted_previews(query.organization_id, ids[options.offset : end])
            return RunPage(tasks, {"offset": str(end)} if end < len(ids) else None, summary)
        try:
            page = self._store.previews(
                evolve(query, oldest_first=options.is_ascending), limit=limit, cursor=filters.cursor
            )
        except ValueError as error:
            raise validation_error("query", "cursor", str(error), "cursor") from None
        return RunPage(page.tasks, None if page.next_cursor is None else {"cursor": page.next_cursor}, None)


def _by_day(tasks: Sequence[Task], now: int) -> list[tuple[tuple[int, str] | None, list[Task]]]:
    """Return the tasks of each day, with the start of the day and the name of today and yesterday."""
    zone = page_zone()
    names = {zone.start_of_day(now): "Today", zone.start_of_day(now, -1): "Yesterday"}
    return [
        ((day, names.get(day, "")), list(tasks_of_day))
        for day, tasks_of_day in groupby(tasks, lambda task: zone.start_of_day(task.created_at))
    ]


def _with_etag(request: Request, response: Response) -> Response:
    """Return `response` with an ETag, or 304 without a body if the client has the same content."""
    etag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return response


def _server_url(request: Request) -> str:
    """Return the URL at which the client reached this server, for the example of a first run."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host if _HOST.fullmatch(host) else 'THIS-SERVER'}{root_path.get()}"
