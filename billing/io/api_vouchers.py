"""Vouchers over HTTP: entered and taken back by operators, read by the resident."""

from dataclasses import dataclass

from billing.io.accounts import AccountUnknownError
from billing.io.vouchers import (
    NewVoucher,
    VoucherDiffersError,
    VoucherRevokedError,
    Vouchers,
    VoucherSpentError,
    VoucherUnknownError,
    VoucherUnusableError,
)
from billing.io.wire import AccountPath
from billing.io.wire_vouchers import (
    NewRevocation,
    NewVoucherSaid,
    VoucherList,
    VoucherPath,
    VoucherShown,
    voucher_shown,
)
from metering.io.route import Answer, Call, Nothing, Policy, route


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherApi:
    """The routes of vouchers."""

    vouchers: Vouchers

    @route(
        "POST",
        "/v1/accounts/{account_id}/vouchers",
        policy=Policy.OPERATOR,
        summary="Enter a voucher",
        tag="accounts",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, VoucherDiffersError, VoucherUnusableError),
    )
    async def enter_voucher(
        self, call: Call[AccountPath, Nothing, NewVoucherSaid]
    ) -> Answer[VoucherShown]:
        """Enter what an akimat grants; it pays the next bills when they are issued.

        The same document again changes nothing.
        """
        grant, fresh = await self.vouchers.enter(
            call.path.account_id,
            NewVoucher(**call.body.model_dump()),
            entered_by=call.signature,
            at=call.at,
        )
        return Answer(body=voucher_shown(grant), fresh=fresh)

    @route(
        "GET",
        "/v1/accounts/{account_id}/vouchers",
        policy=Policy.ACCOUNT,
        summary="List the vouchers of an account",
        tag="accounts",
        raises=(AccountUnknownError,),
    )
    async def list_vouchers(self, call: Call[AccountPath, Nothing, Nothing]) -> VoucherList:
        """List what was granted, which bills it paid, and what is left of it."""
        grants = await self.vouchers.grants(call.path.account_id, at=call.at)
        return VoucherList(vouchers=[voucher_shown(grant) for grant in grants])

    @route(
        "POST",
        "/v1/accounts/{account_id}/vouchers/{voucher_no}/revoke",
        policy=Policy.OPERATOR,
        summary="Revoke a voucher",
        tag="accounts",
        status=201,
        repeat_status=200,
        raises=(AccountUnknownError, VoucherUnknownError, VoucherRevokedError, VoucherSpentError),
    )
    async def revoke_voucher(
        self, call: Call[VoucherPath, Nothing, NewRevocation]
    ) -> Answer[VoucherShown]:
        """Take back what no bill has used; what was paid stays paid."""
        grant, fresh = await self.vouchers.revoke(
            call.path.account_id,
            call.path.voucher_no,
            because=call.body.because,
            revoked_by=call.signature,
            at=call.at,
        )
        return Answer(body=voucher_shown(grant), fresh=fresh)
