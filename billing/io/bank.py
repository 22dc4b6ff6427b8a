"""The bank over HTTP: a thin adapter of the GoCardless-shaped contract, version 2015-07-06.

It sends what it is given, once: whoever wants to try again has the key and decides so himself.
It tells apart what certainly did not happen (no connection, too many requests, a refusal in the
bank's own words) from what may have happened (anything else after the first byte could have left).
It logs nothing: bodies and tokens carry what is nobody's business.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Self

import aiohttp

from billing.bank import (
    Accepted,
    Answer,
    BankDeniedError,
    BankGarbledError,
    BankMandate,
    BankRefusedError,
    BankSilentError,
    BillingRequest,
    Conflict,
    Denied,
    EventPage,
    Flow,
    NotExecuted,
    NotMade,
    Payment,
    Rejected,
    Unknown,
)
from billing.io import bank_wire as wire
from billing.io.bank_pace import retry_after_s
from billing.io.bank_payouts import PayoutReader
from billing.io.bank_refunds import RefundCalls

API_VERSION: Final = "2015-07-06"
# Connecting is quick or hopeless; an order may take the bank a while, but not our lease.
CONNECT_S: Final = 5.0
TOTAL_S: Final = 30.0
# A page of 500 payments or events is about 400 KB.
RESPONSE_BYTES_MAX: Final = 4 * 1024 * 1024
PAGE_LIMIT: Final = 500
_CHUNK_BYTES: Final = 64 * 1024
_SUCCESS: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_REFUSALS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """An answer, whole."""

    status: int
    body: bytes
    retry_after_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotHeard:
    """No whole answer; ``sent`` says whether the request may have got through."""

    reason: str
    sent: bool


class BankClient(PayoutReader, RefundCalls):
    """One bank behind one address; many calls may be under way at once."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        url: str,
        token: str,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
    ) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "GoCardless-Version": API_VERSION,
            "Accept": "application/json",
            # What is not compressed cannot unfold into more than we are ready to take.
            "Accept-Encoding": "identity",
        }

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, url: str, token: str, connect_s: float = CONNECT_S, total_s: float = TOTAL_S
    ) -> AsyncIterator[Self]:
        """Open connections of our own, and close them at the end."""
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as session:
            yield cls(session, url=url, token=token, connect_s=connect_s, total_s=total_s)

    async def create_payment(self, body: bytes, key: str) -> Answer:
        """Give the bank an order under a key, exactly these bytes, exactly once.

        Nothing is raised for what the bank or the network does: it is one of the answers.
        """
        made = await self._order("/payments", body, key)
        if not isinstance(made, bytes):
            return made
        try:
            return Accepted(payment=wire.payment(made))
        except BankGarbledError:
            return Unknown(reason="garbled")

    async def get_payment(self, payment_id: str) -> Payment | None:
        """Read a payment; None if the bank has none of this name.

        Raises:
            BankError: the bank does not tell.
        """
        body = await self._get(f"/payments/{payment_id}")
        return None if body is None else wire.payment(body, payment_id)

    async def list_payments(
        self, *, bank_mandate_id: str | None, created_from: datetime | None
    ) -> AsyncIterator[Payment]:
        """Read all payments, newest first; those of one mandate, or since an instant, if given.

        Raises:
            BankError: the bank does not tell; the list may have begun already.
        """
        query = {"limit": str(PAGE_LIMIT)}
        if bank_mandate_id is not None:
            query["mandate"] = bank_mandate_id
        if created_from is not None:
            query["created_at[gte]"] = created_from.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        while True:
            found, after = wire.payments(await self._page("/payments", query))
            for payment in found:
                yield payment
            if after is None or after == query.get("after"):
                return
            query["after"] = after

    async def list_events(
        self,
        *,
        before: str | None = None,
        after: str | None = None,
        payment_id: str | None = None,
        limit: int,
    ) -> EventPage:
        """Read a page of events, newest first: those just newer than ``before``, or older.

        Raises:
            BankError: the bank does not tell.
        """
        wanted = {"before": before, "after": after, "payment": payment_id}
        query = {name: value for name, value in wanted.items() if value is not None}
        query["limit"] = str(min(limit, PAGE_LIMIT))
        return wire.events(await self._page("/events", query))

    async def create_billing_request(
        self, *, currency: str, scheme: str, key: str
    ) -> BillingRequest:
        """Ask for a mandate; the same key gives the same request again.

        Raises:
            BankError: the bank does not play along; the same call may be made again.
        """
        wanted = {"mandate_request": {"currency": currency, "scheme": scheme}}
        body = await self._create("billing_requests", wanted, key)
        if isinstance(body, Conflict):
            found = await self.get_billing_request(body.payment_id)
            if found is None:
                raise BankGarbledError("conflict_with_nothing")
            return found
        return wire.billing_request(body)

    async def create_flow(
        self, *, request_id: str, redirect_uri: str, exit_uri: str, key: str
    ) -> Flow:
        """Open the bank's page for a request; a payer who turns back is sent to ``exit_uri``.

        Raises:
            BankError: the bank does not play along. A flow cannot be read again, so a key that was
                used before is refused; nobody has seen that flow's address, so make another.
        """
        wanted = {
            "redirect_uri": redirect_uri,
            "exit_uri": exit_uri,
            "links": {"billing_request": request_id},
        }
        body = await self._create("billing_request_flows", wanted, key)
        if isinstance(body, Conflict):
            raise BankRefusedError("flow_exists")
        return wire.flow(body)

    async def get_billing_request(self, request_id: str) -> BillingRequest | None:
        """Read a billing request; None if the bank has none of this name.

        Raises:
            BankError: the bank does not tell.
        """
        body = await self._get(f"/billing_requests/{request_id}")
        return None if body is None else wire.billing_request(body, request_id)

    async def get_mandate(self, bank_mandate_id: str) -> BankMandate | None:
        """Read a mandate; None if the bank has none of this name.

        Raises:
            BankError: the bank does not tell.
        """
        body = await self._get(f"/mandates/{bank_mandate_id}")
        return None if body is None else wire.mandate(body, bank_mandate_id)

    async def account_number_ending(self, bank_account_id: str) -> str | None:
        """Read the last four characters of an account number at most; None if there are none.

        Raises:
            BankError: the bank does not tell.
        """
        body = await self._get(f"/customer_bank_accounts/{bank_account_id}")
        return None if body is None else wire.account_number_ending(body)

    async def cancel_payment(self, payment_id: str) -> Payment:
        """Cancel a payment.

        Raises:
            BankRefusedError: it is too late.
            BankError: the bank does not say whether it did; read the payment.
        """
        body = await self._act(f"/payments/{payment_id}/actions/cancel")
        return wire.payment(body, payment_id)

    async def cancel_mandate(self, bank_mandate_id: str) -> BankMandate:
        """End a mandate.

        Raises:
            BankRefusedError: it is over already.
            BankError: the bank does not say whether it did; read the mandate.
        """
        body = await self._act(f"/mandates/{bank_mandate_id}/actions/cancel")
        return wire.mandate(body, bank_mandate_id)

    async def cancel_billing_request(self, request_id: str) -> BillingRequest:
        """Take back a billing request.

        Raises:
            BankRefusedError: it is agreed to or over already.
            BankError: the bank does not say whether it did; read the request.
        """
        body = await self._act(f"/billing_requests/{request_id}/actions/cancel")
        return wire.billing_request(body, request_id)

    async def _order(self, path: str, body: bytes, key: str) -> bytes | NotMade:
        """Give the bank an order; what is not certain is Unknown."""
        heard = await self._ask("POST", path, body=body, key=key)
        if isinstance(heard, _NotHeard):
            return Unknown(reason=heard.reason) if heard.sent else NotExecuted(reason=heard.reason)
        if heard.status in _SUCCESS:
            return heard.body
        return _refused(heard) or Unknown(reason=_doubt(heard.status))

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> bytes | None:
        heard = await self._ask("GET", path, query=query)
        if isinstance(heard, _Heard) and heard.status == HTTPStatus.NOT_FOUND:
            if wire.refusal(heard.body) is None:
                raise BankSilentError("not_the_bank")
            return None
        return _body_of(heard)

    async def _page(self, path: str, query: Mapping[str, str]) -> bytes:
        return _body_of(await self._ask("GET", path, query=query))

    async def _act(self, path: str) -> bytes:
        return _body_of(await self._ask("POST", path, body=b'{"data":{}}'))

    async def _create(
        self, resource: str, wanted: Mapping[str, object], key: str
    ) -> bytes | Conflict:
        body = json.dumps({resource: wanted}, sort_keys=True).encode()
        heard = await self._ask("POST", f"/{resource}", body=body, key=key)
        if isinstance(heard, _Heard) and heard.status == HTTPStatus.CONFLICT:
            name = wire.conflicting_id(heard.body)
            if name is not None:
                return Conflict(payment_id=name)
        return _body_of(heard)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> _Heard | _NotHeard:
        """Send one request and take the whole answer in, or say what is known without one."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=query,
                data=body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                content = await _whole(response)
                if content is None:
                    return _NotHeard(reason="answer_too_large", sent=True)
                return _Heard(
                    status=response.status,
                    body=content,
                    retry_after_s=retry_after_s(response.headers),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            # No connection, no name, no trust: not one byte of the request has left.
            return _NotHeard(reason="unreachable", sent=False)
        except TimeoutError:
            return _NotHeard(reason="timeout", sent=True)
        except (aiohttp.ClientError, OSError):
            # Also a kept connection that the bank had closed: it may have read our request first.
            return _NotHeard(reason="connection_lost", sent=True)


async def _whole(response: aiohttp.ClientResponse) -> bytes | None:
    """Take the answer in; None if it is larger than we are ready to take."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        content += chunk
        if len(content) > RESPONSE_BYTES_MAX:
            response.close()
            return None
    return bytes(content)


def _refused(heard: _Heard) -> Conflict | Denied | NotExecuted | Rejected | None:
    """Say what an answer means that made nothing now; None if even that is not certain."""
    status = heard.status
    if status == HTTPStatus.CONFLICT:
        name = wire.conflicting_id(heard.body)
        return None if name is None else Conflict(payment_id=name)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Denied(reason="credentials")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return NotExecuted(reason="rate_limited", retry_after_s=heard.retry_after_s)
    refused = _REFUSALS[0] <= status < _REFUSALS[1] and status != HTTPStatus.REQUEST_TIMEOUT
    # A refusal in other words than the bank's own came from something in between.
    return wire.refusal(heard.body) if refused else None


def _doubt(status: int) -> str:
    if _REFUSALS[0] <= status < _REFUSALS[1]:
        return "not_the_bank"
    return "bank_error" if status >= _REFUSALS[1] else "redirected"


def _body_of(heard: _Heard | _NotHeard) -> bytes:
    if isinstance(heard, _NotHeard):
        raise BankSilentError(heard.reason)
    status = heard.status
    if status in _SUCCESS:
        return heard.body
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise BankDeniedError("credentials")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise BankSilentError("rate_limited")
    refused = wire.refusal(heard.body) if _REFUSALS[0] <= status < _REFUSALS[1] else None
    if refused is not None:
        raise BankRefusedError(refused.reason)
    raise BankSilentError(_doubt(status))
