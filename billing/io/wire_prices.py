"""What prices, and proposals to change them, look like on the wire of the API."""

from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from billing.io.proposals import NUMBER_MAX
from billing.io.wire import Currency, TariffCode
from billing.money import Rounding
from billing.proposal import Change, Proposal, TariffEnd
from billing.tariff import (
    BANDS_MAX,
    MONTHS,
    MULTIPLIER_BP_MAX,
    NET_MINOR_PER_1000_M3_MAX,
    NET_MINOR_PER_GWH_MAX,
    NORM_MAX,
    STANDING_PER_1000_DAYS_MAX,
    STANDING_PER_MONTH_MAX,
    WHOLE_BP,
    Band,
    NormPer,
    Tariff,
    VatRate,
)
from metering.io.route import TEXT_PATTERN, Day, Instant, PageSize, Wire
from metering.io.wire_desk import Sentence

# The schema's own: VAT is between nothing and as much again.
VAT_BP_MAX: Final = 10_000

ProposalNo = Annotated[int, Field(ge=1, le=NUMBER_MAX)]
Norm = Annotated[int, Field(ge=1, le=NORM_MAX)]
Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=TEXT_PATTERN,
        description="the document that sets it",
        examples=["Committee for Regulation, order 12 of 2026-01-20"],
    ),
]


class BandSaid(Wire):
    """Gas of a month up to a bound (dm3, or Wh), and what it costs."""

    up_to: Annotated[Norm | None, Field(description="null for the last band")] = None
    up_to_heating: Annotated[Norm | None, Field(description="another bound in heating months")] = (
        None
    )
    multiplier_bp: Annotated[
        int,
        Field(ge=0, le=MULTIPLIER_BP_MAX, description="times the tariff's price: 12000 is 1.2"),
    ] = WHOLE_BP
    net_minor: Annotated[
        int | None,
        Field(ge=0, le=NET_MINOR_PER_GWH_MAX, description="a price of its own instead"),
    ] = None

    @model_validator(mode="after")
    def _has_a_meaning(self) -> Self:
        self.band()
        return self

    def band(self) -> Band:
        """Return the band that is meant.

        Raises:
            ValueError: it has no meaning by itself.
        """
        return Band(**self.model_dump())


class TariffSaid(Wire):
    """One version of a tariff, with everything a price is made of.

    It is valid from one local day until, but without, another. Norms and bounds count dm3 (Wh where
    the price is per energy) a month.
    """

    tariff_code: TariffCode
    valid_from: Day
    valid_to: Annotated[Day | None, Field(description="the first day without it")] = None
    net_minor_per_1000_m3: Annotated[int, Field(ge=0, le=NET_MINOR_PER_1000_M3_MAX)] | None = None
    net_minor_per_gwh: Annotated[int, Field(ge=0, le=NET_MINOR_PER_GWH_MAX)] | None = None
    currency: Currency
    rounding: Annotated[Rounding, Field(strict=False)] = Rounding.HALF_UP
    norm_per: Annotated[NormPer, Field(strict=False)] = NormPer.HOUSEHOLD
    heating_months: Annotated[
        list[Annotated[int, Field(ge=1, le=MONTHS)]],
        Field(max_length=MONTHS, default_factory=list),
    ]
    standing_net_minor_per_1000_days: Annotated[int, Field(ge=0, le=STANDING_PER_1000_DAYS_MAX)] = 0
    standing_net_minor_per_month: Annotated[
        int, Field(ge=0, le=STANDING_PER_MONTH_MAX, description="shared out by the month's days")
    ] = 0
    discount_bp: Annotated[
        int, Field(ge=0, le=WHOLE_BP, description="for accounts with the right to it: 2500 is 25 %")
    ] = 0
    discount_norm: Annotated[
        Norm | None, Field(description="up to how much gas; null for all of it")
    ] = None
    discount_norm_heating: Norm | None = None
    bands: Annotated[list[BandSaid], Field(max_length=BANDS_MAX, default_factory=list)]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        self.tariff()
        return self

    def tariff(self, *, approved_by: str = "") -> Tariff:
        """Return the version that is meant.

        Raises:
            ValueError: its parts do not fit together.
        """
        values: dict[str, Any] = self.model_dump(exclude={"bands", "approved_by"})
        values["heating_months"] = tuple(self.heating_months)
        bands = tuple(band.band() for band in self.bands)
        return Tariff(**values, bands=bands, approved_by=approved_by)


class TariffShown(TariffSaid):
    """One version of a tariff that was approved."""

    approved_by: str


class TariffList(Wire):
    """Every version of every tariff."""

    tariffs: list[TariffShown]


class EndSaid(Wire):
    """The open version of a tariff ends, and none follows yet."""

    tariff_code: TariffCode
    valid_to: Annotated[Day, Field(description="the first local day without a price")]


class VatSaid(Wire):
    """VAT in basis points from a local day until the next rate begins: 1600 is 16 %."""

    valid_from: Day
    rate_bp: Annotated[int, Field(ge=0, le=VAT_BP_MAX)]


class VatRateList(Wire):
    """The VAT rates in the order they come into force."""

    vat_rates: list[VatSaid]


class NewProposal(Wire):
    """One change: a version of a tariff, the end of one, or a rate of VAT."""

    source: Source
    tariff: TariffSaid | None = None
    end: EndSaid | None = None
    vat_rate: VatSaid | None = None

    @model_validator(mode="after")
    def _is_one_change(self) -> Self:
        if sum(one is not None for one in (self.tariff, self.end, self.vat_rate)) != 1:
            raise ValueError("a proposal names one of tariff, end and vat_rate")
        return self

    def change(self) -> Change:
        """Return the change that is meant."""
        if self.tariff is not None:
            return self.tariff.tariff()
        if self.end is not None:
            return TariffEnd(**self.end.model_dump())
        assert self.vat_rate is not None, "a proposal names one change"
        return VatRate(**self.vat_rate.model_dump())


class ProposalShown(Wire):
    """A proposal, who made it, and what became of it."""

    proposal_no: ProposalNo
    state: Annotated[str, Field(examples=["waiting", "approved", "refused", "withdrawn"])]
    tariff: TariffSaid | None
    end: EndSaid | None
    vat_rate: VatSaid | None
    source: str
    set_up: Annotated[bool, Field(description="both names were given at once, on the machine")]
    proposed_by: str
    proposed_at: Instant
    decided_by: str | None
    decided_at: Instant | None
    because: Annotated[str | None, Field(description="why it was refused or withdrawn")]


class ProposalPage(Wire):
    """Proposals, newest first."""

    proposals: list[ProposalShown]
    next: ProposalNo | None


class ProposalQuery(Wire):
    """Which page of the proposals, and whether only those that wait."""

    waiting: bool = False
    before: ProposalNo | None = None
    limit: PageSize = 100


class ProposalPath(Wire):
    """One proposal."""

    proposal_no: ProposalNo


class NewRefusal(Wire):
    """Why a proposal is turned down or withdrawn."""

    because: Sentence


def tariff_shown(tariff: Tariff) -> TariffShown:
    """Show a version of a tariff."""
    return TariffShown.model_validate(_parts(tariff) | {"approved_by": tariff.approved_by})


def vat_shown(rate: VatRate) -> VatSaid:
    """Show a rate of VAT."""
    return VatSaid(valid_from=rate.valid_from, rate_bp=rate.rate_bp)


def proposal_shown(proposal: Proposal) -> ProposalShown:
    """Show a proposal with the change it makes."""
    change, decision = proposal.change, proposal.decision
    return ProposalShown(
        proposal_no=proposal.proposal_no,
        state=proposal.state,
        tariff=TariffSaid.model_validate(_parts(change)) if isinstance(change, Tariff) else None,
        end=EndSaid(tariff_code=change.tariff_code, valid_to=change.valid_to)
        if isinstance(change, TariffEnd)
        else None,
        vat_rate=vat_shown(change) if isinstance(change, VatRate) else None,
        source=proposal.source,
        set_up=proposal.set_up,
        proposed_by=proposal.proposed_by,
        proposed_at=proposal.proposed_at,
        decided_by=None if decision is None else decision.decided_by,
        decided_at=None if decision is None else decision.decided_at,
        because=None if decision is None else decision.because,
    )


def _parts(tariff: Tariff) -> dict[str, Any]:
    """Return what a version is made of, its bands as the wire says them."""
    names = set(TariffSaid.model_fields) - {"bands", "heating_months"}
    return {
        **{name: getattr(tariff, name) for name in names},
        "heating_months": list(tariff.heating_months),
        "bands": [BandSaid.model_validate(band, from_attributes=True) for band in tariff.bands],
    }
