"""``aqkol tariff``: look at prices, propose, approve and refuse changes of them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import command
from app.command import Json, State, told_in
from app.meter_work import NAME_MAX, REASON_MAX, Because, By, written
from app.wiring import House
from billing.io.prices import read_prices
from billing.io.proposals import PriceDesk
from billing.io.wire_prices import NewProposal, proposal_shown, tariff_shown, vat_shown
from billing.period import Calendar
from billing.proposal import (
    PriceDayPastError,
    PriceDecidedError,
    PriceProposalUnknownError,
    Proposal,
    SecondPersonError,
    TariffCurrencyError,
    TariffGapError,
    VatBilledError,
    VatKnownError,
)
from billing.tariff import TariffBilledError, TariffOverlapError, TariffUnknownError

ProposalFile = Annotated[
    Path,
    typer.Argument(
        help='JSON: {"source": "…", "tariff": {…}}, or with "end" or "vat_rate"; docs/tariffs.md.'
    ),
]
ProposalNo = Annotated[int, typer.Argument(help="Its number, as the list shows it.")]

# As many as a person reads.
PAGE: Final = 100

# What was asked wrongly, and is the asker's to mend.
_MISTAKES: Final = (
    PriceDayPastError,
    PriceDecidedError,
    PriceProposalUnknownError,
    SecondPersonError,
    TariffBilledError,
    TariffCurrencyError,
    TariffGapError,
    TariffOverlapError,
    TariffUnknownError,
    VatBilledError,
    VatKnownError,
    ValueError,
)

tariff = typer.Typer(no_args_is_help=True, help="Prices, and who proposes and approves them.")


def do(work: Callable[[House], Awaitable[Any]], *, state: Path | None, as_json: bool) -> None:
    """Open the house, work, print; what was asked wrongly ends with a sentence."""
    command.do(work, mistakes=_MISTAKES, state=state, as_json=as_json)


@tariff.command("list")
def list_prices(*, state: State = None, as_json: Json = False) -> None:
    """List every version of every tariff, the VAT rates, and the newest proposals."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        async with house.pool.acquire() as conn:
            tariffs, vat_rates = await read_prices(conn)
        proposals = await _desk(house).proposals(page=PAGE)
        return {
            "tariffs": {
                f"{one.tariff_code} {one.valid_from}": tariff_shown(one).model_dump(mode="json")
                for one in tariffs
            },
            "vat_rates": {
                str(one.valid_from): vat_shown(one).model_dump(mode="json") for one in vat_rates
            },
            "proposals": {
                str(one.proposal_no): {"state": one.state, "proposed_by": one.proposed_by}
                for one in proposals
            },
        }

    do(work, state=state, as_json=as_json)


@tariff.command("show")
def show_proposal(proposal_no: ProposalNo, *, state: State = None, as_json: Json = False) -> None:
    """Show a proposal: what it changes, who made it, what became of it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        return _shown(await _desk(house).proposal(proposal_no))

    do(work, state=state, as_json=as_json)


@tariff.command("propose")
def propose(file: ProposalFile, *, by: By, state: State = None, as_json: Json = False) -> None:
    """Propose a price, an end or a rate of VAT; nothing changes before another person approves."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = told_in(file, NewProposal)
        made, fresh = await _desk(house).propose(
            new.change(), source=new.source, by=written(by, NAME_MAX), at=house.clock.now()
        )
        return {**_shown(made), "new": fresh}

    do(work, state=state, as_json=as_json)


@tariff.command("approve")
def approve(proposal_no: ProposalNo, *, by: By, state: State = None, as_json: Json = False) -> None:
    """Approve what another person proposed."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        done, fresh = await _desk(house).approve(
            proposal_no, by=written(by, NAME_MAX), at=house.clock.now()
        )
        return {**_shown(done), "new": fresh}

    do(work, state=state, as_json=as_json)


@tariff.command("refuse")
def refuse(
    proposal_no: ProposalNo,
    *,
    because: Because,
    by: By,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Turn a proposal down; its proposer withdraws it."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        done, fresh = await _desk(house).refuse(
            proposal_no,
            because=written(because, REASON_MAX),
            by=written(by, NAME_MAX),
            at=house.clock.now(),
        )
        return {**_shown(done), "new": fresh}

    do(work, state=state, as_json=as_json)


@tariff.command("set-up")
def set_up(
    file: ProposalFile,
    *,
    proposed_by: Annotated[str, typer.Option(help="Who proposes it, at most 100 letters.")],
    approved_by: Annotated[str, typer.Option(help="Who approves it: another person.")],
    state: State = None,
    as_json: Json = False,
) -> None:
    """Give days that never had a price their first one, also days that are over."""

    async def work(house: House) -> Any:  # noqa: ANN401 - what is printed
        new = told_in(file, NewProposal)
        if new.tariff is None:
            raise ValueError("only a tariff is set up; propose what ends one, and the VAT")
        made, fresh = await _desk(house).set_up(
            new.tariff.tariff(approved_by=written(approved_by, NAME_MAX)),
            source=new.source,
            proposed_by=written(proposed_by, NAME_MAX),
            at=house.clock.now(),
        )
        return {**_shown(made), "new": fresh}

    do(work, state=state, as_json=as_json)


def _desk(house: House) -> PriceDesk:
    return PriceDesk(pool=house.pool, calendar=Calendar(zone=house.settings.zone))


def _shown(proposal: Proposal) -> dict[str, Any]:
    return proposal_shown(proposal).model_dump(mode="json")
