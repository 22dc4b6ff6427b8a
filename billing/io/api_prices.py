"""Prices over HTTP: listed, proposed by one operator, approved or refused by another."""

from dataclasses import dataclass

from billing.io.proposals import PriceDesk
from billing.io.store import BillingStore
from billing.io.wire_prices import (
    NewProposal,
    NewRefusal,
    ProposalPage,
    ProposalPath,
    ProposalQuery,
    ProposalShown,
    TariffList,
    VatRateList,
    proposal_shown,
    tariff_shown,
    vat_shown,
)
from billing.proposal import (
    PriceDayPastError,
    PriceDecidedError,
    PriceProposalUnknownError,
    SecondPersonError,
    TariffCurrencyError,
    TariffGapError,
    VatBilledError,
    VatKnownError,
)
from billing.tariff import TariffBilledError, TariffOverlapError, TariffUnknownError
from metering.io.route import Answer, Call, Nothing, Policy, route

# Why a change cannot be made, when it is proposed and again when it is approved.
_UNFIT = (
    PriceDayPastError,
    TariffOverlapError,
    TariffGapError,
    TariffCurrencyError,
    TariffUnknownError,
    TariffBilledError,
    VatKnownError,
    VatBilledError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceApi:
    """The routes of prices."""

    store: BillingStore
    desk: PriceDesk

    @route("GET", "/v1/tariffs", policy=Policy.OPERATOR, summary="List tariffs", tag="tariffs")
    async def list_tariffs(self, _call: Call[Nothing, Nothing, Nothing]) -> TariffList:
        """List every version of every tariff; there are a handful a year."""
        return TariffList(tariffs=[tariff_shown(one) for one in await self.store.tariffs()])

    @route("GET", "/v1/vat-rates", policy=Policy.OPERATOR, summary="List VAT rates", tag="tariffs")
    async def list_vat_rates(self, _call: Call[Nothing, Nothing, Nothing]) -> VatRateList:
        """List the rates in the order they come into force."""
        return VatRateList(vat_rates=[vat_shown(one) for one in await self.store.vat_rates()])

    @route(
        "POST",
        "/v1/price-proposals",
        policy=Policy.OPERATOR,
        summary="Propose a price",
        tag="tariffs",
        status=201,
        repeat_status=200,
        raises=_UNFIT,
    )
    async def propose_price(
        self, call: Call[Nothing, Nothing, NewProposal]
    ) -> Answer[ProposalShown]:
        """Propose a version of a tariff, the end of one, or a rate of VAT, from a day to come.

        Nothing changes before a second person approves it. The same again changes nothing.
        """
        proposal, fresh = await self.desk.propose(
            call.body.change(), source=call.body.source, by=call.signature, at=call.at
        )
        return Answer(body=proposal_shown(proposal), fresh=fresh)

    @route(
        "GET",
        "/v1/price-proposals",
        policy=Policy.OPERATOR,
        summary="List proposals",
        tag="tariffs",
    )
    async def list_price_proposals(
        self, call: Call[Nothing, ProposalQuery, Nothing]
    ) -> ProposalPage:
        """List proposals, newest first: who proposed what, and who decided how."""
        query = call.query
        found = await self.desk.proposals(
            page=query.limit,
            waiting=query.waiting,
            **({} if query.before is None else {"before": query.before}),
        )
        return ProposalPage(
            proposals=[proposal_shown(one) for one in found],
            next=found[-1].proposal_no if len(found) == query.limit else None,
        )

    @route(
        "GET",
        "/v1/price-proposals/{proposal_no}",
        policy=Policy.OPERATOR,
        summary="Show a proposal",
        tag="tariffs",
        raises=(PriceProposalUnknownError,),
    )
    async def show_price_proposal(
        self, call: Call[ProposalPath, Nothing, Nothing]
    ) -> ProposalShown:
        """Show a proposal and what became of it."""
        return proposal_shown(await self.desk.proposal(call.path.proposal_no))

    @route(
        "POST",
        "/v1/price-proposals/{proposal_no}/approve",
        policy=Policy.OPERATOR,
        summary="Approve a price",
        tag="tariffs",
        repeat_status=200,
        status=201,
        raises=(PriceProposalUnknownError, PriceDecidedError, SecondPersonError, *_UNFIT),
    )
    async def approve_price(
        self, call: Call[ProposalPath, Nothing, Nothing]
    ) -> Answer[ProposalShown]:
        """Approve what another person proposed; it comes into force on its day.

        A person is the label of a token: two tokens of one label are one person.
        """
        proposal, fresh = await self.desk.approve(
            call.path.proposal_no, by=call.signature, at=call.at
        )
        return Answer(body=proposal_shown(proposal), fresh=fresh)

    @route(
        "POST",
        "/v1/price-proposals/{proposal_no}/refuse",
        policy=Policy.OPERATOR,
        summary="Refuse or withdraw a price",
        tag="tariffs",
        status=201,
        repeat_status=200,
        raises=(PriceProposalUnknownError, PriceDecidedError),
    )
    async def refuse_price(
        self, call: Call[ProposalPath, Nothing, NewRefusal]
    ) -> Answer[ProposalShown]:
        """Turn a proposal down with a reason; its proposer withdraws it."""
        proposal, fresh = await self.desk.refuse(
            call.path.proposal_no,
            because=call.body.because,
            by=call.signature,
            at=call.at,
        )
        return Answer(body=proposal_shown(proposal), fresh=fresh)
