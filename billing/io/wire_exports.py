"""What exports look like on the wire of the API; the files themselves are in docs/exports.md."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from billing.export import Form
from billing.io.wire import Month
from billing.settlement import Service
from metering.io.route import TEXT_PATTERN, Day, Instant, PageSize, Wire

Rowed = Literal["csv", "json"]
AsOf = Annotated[
    Instant | None, Field(description="as the ledger stood at this instant; now, when left out")
]


class SettlementQuery(Wire):
    """Which month, in which form."""

    period: Month
    form: Annotated[Form, Field(strict=False)] = Form.CSV
    service: Annotated[Service, Field(strict=False)] = Service.GAS
    as_of: AsOf = None


class NamedSettlement(Wire):
    """The same with people's names and addresses, and what they are needed for."""

    period: Month
    form: Rowed = "csv"
    as_of: AsOf = None
    purpose: Annotated[str, Field(min_length=1, max_length=500, pattern=TEXT_PATTERN)]


class JournalQuery(Wire):
    """Which days; ``to_day`` is the first day after."""

    from_day: Day
    to_day: Day
    form: Literal["csv", "summary"] = "csv"


class NamedExportsQuery(Wire):
    """Which page of the record."""

    before: Instant | None = None
    before_export: Annotated[UUID | None, Field(strict=False)] = None
    limit: PageSize = 50


class NamedExportShown(Wire):
    """Who took people's names away, when and why."""

    export_id: UUID
    kind: str
    from_day: date
    to_day: Annotated[date, Field(description="the first day after")]
    form: str
    rows: int
    purpose: str
    exported_by: str
    exported_at: Instant


class NamedExportPage(Wire):
    """Exports with names, the newest first."""

    exports: list[NamedExportShown]
    next_before: Instant | None
    next_before_export: UUID | None
