"""What holds for an account over HTTP: said by operators from a day on, read by the resident."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError, NoSuchTariffError
from billing.io.terms import NewTerms, TermsBilledError, TermsBook
from billing.io.wire import AccountPath
from billing.io.wire_terms import NewTermsSaid, TermsList, TermsShown, terms_shown, word_shown
from metering.io.route import Answer, Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsApi:
    """The routes of what holds for an account."""

    book: TermsBook

    @route(
        "POST",
        "/v1/accounts/{account_id}/terms",
        policy=Policy.OPERATOR,
        summary="Say what holds for an account",
        tag="accounts",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, NoSuchTariffError, TermsBilledError),
    )
    async def say_terms(self, call: Call[AccountPath, Nothing, NewTermsSaid]) -> Answer[TermsShown]:
        """Say tariff, persons and social discount from a local day on.

        A day that was billed is refused, unless the bills are to be corrected.

        A later word on the same day takes the place of the earlier one; the same word again changes
        nothing.
        """
        word, fresh = await self.book.say(
            call.path.account_id,
            NewTerms(**call.body.model_dump(exclude={"corrects"})),
            corrects=call.body.corrects,
            by=call.signature,
            at=call.at,
        )
        return Answer(body=word_shown(word, stands=True), fresh=fresh)

    @route(
        "GET",
        "/v1/accounts/{account_id}/terms",
        policy=Policy.ACCOUNT,
        summary="List what holds for an account",
        tag="accounts",
        raises=(AccountUnknownError,),
    )
    async def list_terms(self, call: Call[AccountPath, Nothing, Nothing]) -> TermsList:
        """List every word on an account: from when, who said it, and which of them stand."""
        return terms_shown(*await self.book.history(call.path.account_id))
