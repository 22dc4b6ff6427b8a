"""What a month before its bills looks like on the wire of the API."""

from billing.io.wire import Currency, Minor, Month
from billing.preview import Preview, Sums
from metering.io.route import AccountId, Wire


class MonthOnly(Wire):
    """One month."""

    period: Month


class SumsShown(Wire):
    """Bills of one currency added up."""

    bills: int
    volume_dm3: int
    net_minor: Minor
    vat_minor: Minor
    total_minor: Minor


class LastSumsShown(Wire):
    """Bills of the month before, of one currency, added up."""

    bills: int
    volume_dm3: int
    total_minor: Minor


class ChangeShown(Wire):
    """How much more, or less, an account is asked for than the month before."""

    account_id: AccountId
    total_minor: Minor
    last_total_minor: Minor
    change_minor: Minor


class PreviewShown(Wire):
    """What the run of a month would issue and hold; nothing was written.

    ``accounts`` had a meter in the month; ``issued`` have their bill, ``drafted`` would get it now,
    ``held`` says by reason how many wait. ``sums`` and ``last`` are by currency, ``last`` of the
    month before; ``changes`` are the biggest ones first.
    """

    period: Month
    accounts: int
    issued: int
    drafted: int
    held: dict[str, int]
    sums: dict[Currency, SumsShown]
    last: dict[Currency, LastSumsShown]
    changes: list[ChangeShown]


def preview_shown(made: Preview) -> PreviewShown:
    """Show a month before its bills."""
    return PreviewShown(
        period=made.period.label,
        accounts=made.accounts,
        issued=made.issued,
        drafted=made.drafted,
        held={reason.value: count for reason, count in sorted(made.held.items())},
        sums={currency: _sums(sums) for currency, sums in sorted(made.sums.items())},
        last={
            currency: LastSumsShown(
                bills=sums.bills, volume_dm3=sums.volume_dm3, total_minor=sums.total_minor
            )
            for currency, sums in sorted(made.last.items())
        },
        changes=[
            ChangeShown(
                account_id=one.account_id,
                total_minor=one.total_minor,
                last_total_minor=one.last_total_minor,
                change_minor=one.change_minor,
            )
            for one in made.changes
        ],
    )


def _sums(sums: Sums) -> SumsShown:
    return SumsShown(
        bills=sums.bills,
        volume_dm3=sums.volume_dm3,
        net_minor=sums.net_minor,
        vat_minor=sums.vat_minor,
        total_minor=sums.total_minor,
    )
