"""The gas of a meter in a month over HTTP: measured, or made up and marked so."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from metering.io.conversions import Conversions, Converted
from metering.io.registry import MeterUnknownError
from metering.io.route import AccountId, Call, Instant, MeterId, Nothing, Policy, Wire, route
from metering.io.uses import Uses
from metering.io.wire import MeterPath, RegisterDm3
from metering.io.wire_standard import (
    EnergyShown,
    RuleName,
    StandardShown,
    energy_shown,
    standard_shown,
)
from metering.quality import worst
from metering.survey import Window
from metering.used import Used
from metering.validate import WindowNotOverError


def _is_none(value: object) -> bool:
    return value is None


class UseQuery(Wire):
    """Which month; and the norm of the home for thirty days, where there is nothing better."""

    period: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", examples=["2026-01"])]
    norm_dm3_month: Annotated[RegisterDm3, Field(strict=False)] | None = None


class RuleSpoken(Wire):
    """A rule that had a say in a value, and its figures."""

    code: str
    version: str
    outcome: str
    figures: dict[str, int]


class UseShown(Wire):
    """The gas of one stay; volume, quality and method are null where nothing can be said."""

    installed_at: Instant
    account_id: AccountId
    from_at: Instant
    to_at: Instant
    volume_dm3: int | None
    quality: Annotated[
        str | None,
        Field(description="actual, actual_late, edited, substituted, estimated or norm"),
    ]
    method: Annotated[
        str | None,
        Field(description="billed, registers, flat, last_year, previous or norm"),
    ]
    why: Annotated[str | None, Field(description="what the better methods lacked")]
    rules: list[RuleSpoken]
    standard: Annotated[
        StandardShown | None,
        Field(exclude_if=_is_none, description="only where the town asks (AQKOL_STANDARD_VOLUME)"),
    ] = None
    energy: Annotated[
        EnergyShown | None,
        Field(exclude_if=_is_none, description="only where the town asks (AQKOL_ENERGY_RULE)"),
    ] = None


class UsesShown(Wire):
    """The gas of a meter in a month: the sum, the worst quality of its parts, and the parts."""

    meter_id: MeterId
    period: str
    volume_dm3: int | None
    quality: str | None
    stays: list[UseShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseApi:
    """The route of what meters used."""

    uses: Uses
    conversions: Conversions
    window_of: Callable[[str], Window]

    @route(
        "GET",
        "/v1/meters/{meter_id}/consumption",
        policy=Policy.OPERATOR,
        summary="Show what a meter used in a month",
        tag="meters",
        raises=(MeterUnknownError, WindowNotOverError),
    )
    async def show_consumption(self, call: Call[MeterPath, UseQuery, Nothing]) -> UsesShown:
        """Show the gas of a month that is over; what nobody measured is estimated, not billed.

        Where the town asks for it, each stay is shown at standard conditions and as energy too.
        """
        stays = await self.uses.of(
            call.path.meter_id,
            self.window_of(call.query.period),
            norm_dm3_month=call.query.norm_dm3_month,
            at=call.at,
        )
        converted = await self.conversions.of(stays)
        rule = self.conversions.wanted.energy
        volumes = [one.volume_dm3 for one in stays if one.volume_dm3 is not None]
        qualities = [one.quality for one in stays if one.quality is not None]
        whole = bool(stays) and len(volumes) == len(stays)
        return UsesShown(
            meter_id=call.path.meter_id,
            period=call.query.period,
            volume_dm3=sum(volumes) if whole else None,
            quality=worst(qualities).value if whole else None,
            stays=[
                _shown(one, converted[place] if converted else None, rule.value if rule else None)
                for place, one in enumerate(stays)
            ],
        )


def _shown(one: Used, converted: Converted | None, rule: RuleName | None) -> UseShown:
    return UseShown(
        installed_at=one.installation.installed_at,
        account_id=one.installation.account_id,
        from_at=one.from_at,
        to_at=one.to_at,
        volume_dm3=one.volume_dm3,
        quality=one.quality.value if one.quality is not None else None,
        method=one.method,
        why=one.why.value if one.why is not None else None,
        rules=[
            RuleSpoken(
                code=found.code.value,
                version=found.version,
                outcome=found.outcome.value,
                figures=dict(found.figures),
            )
            for found in one.findings
        ],
        standard=standard_shown(converted) if converted else None,
        energy=energy_shown(converted, rule) if converted else None,
    )
