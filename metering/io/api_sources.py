"""Sources over HTTP: which device of other makers' hardware is which meter."""

import base64
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from metering.io.registry import MeterUnknownError
from metering.io.route import Answer, Call, Nothing, Policy, route
from metering.io.sources import SourceBook, SourceClaimedError, SourceUnknownError
from metering.io.wire_sources import (
    NewSource,
    NewTrial,
    SourcePage,
    SourcePath,
    SourceQuery,
    SourceShown,
    TrialShown,
    source_shown,
    trial_shown,
)
from metering.source import SourceError
from metering.topic import FilterError

_NO_SOURCE: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceApi:
    """The routes of sources."""

    book: SourceBook

    @route(
        "GET",
        "/v1/sources",
        policy=Policy.OPERATOR,
        summary="List sources",
        tag="sources",
    )
    async def list_sources(self, call: Call[Nothing, SourceQuery, Nothing]) -> SourcePage:
        """List every source there is or was."""
        entries = await self.book.page(after=call.query.after or _NO_SOURCE, page=call.query.limit)
        full = len(entries) == call.query.limit
        return SourcePage(
            sources=[source_shown(entry) for entry in entries],
            next=UUID(entries[-1].source.source_id) if full else None,
        )

    @route(
        "POST",
        "/v1/sources",
        policy=Policy.OPERATOR,
        summary="Enter a source",
        tag="sources",
        status=201,
        repeat_status=200,
        raises=(FilterError, SourceError, MeterUnknownError, SourceClaimedError),
    )
    async def add_source(self, call: Call[Nothing, Nothing, NewSource]) -> Answer[SourceShown]:
        """Listen to a device for a meter from now on; running ingests notice within a minute."""
        assert call.caller is not None, "this route is an operator's"
        entry, fresh = await self.book.add(call.body.source, by=call.caller.label, at=call.at)
        return Answer(body=source_shown(entry), fresh=fresh)

    @route(
        "POST",
        "/v1/sources/{source_id}/remove",
        policy=Policy.OPERATOR,
        summary="Remove a source",
        tag="sources",
        raises=(SourceUnknownError,),
    )
    async def remove_source(self, call: Call[SourcePath, Nothing, Nothing]) -> SourceShown:
        """Listen to a source no more; what it brought stays, and so does the entry."""
        assert call.caller is not None, "this route is an operator's"
        entry = await self.book.remove(call.path.source_id, by=call.caller.label, at=call.at)
        return source_shown(entry)

    @route(
        "POST",
        "/v1/sources/try",
        policy=Policy.OPERATOR,
        summary="Try a source",
        tag="sources",
        raises=(FilterError, SourceError),
    )
    async def try_source(self, call: Call[Nothing, Nothing, NewTrial]) -> TrialShown:
        """Say what a message would be under a source; neither of them is stored."""
        body = call.body
        heard, said = self.book.tried(
            body.source,
            topic=body.message_topic,
            payload=base64.b64decode(body.payload_base64),
            retained=body.retained,
            at=call.at,
        )
        return trial_shown(said, heard=heard)
