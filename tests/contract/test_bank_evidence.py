"""Evidence that a client cannot tell the simulated bank from the real one.

The provider's own client drives every operation, and meets every class of error it has, in both
profiles; raw answers are held against the shapes that the provider publishes. The list of fifty
operations is written by hand: one that is missing is red. With `AQKOL_BANK_URL` and
`AQKOL_BANK_TOKEN` in the environment the same walk is done there, if it is a sandbox; one stands in
for it always, which has no control port and tells more than was ever published.
"""

import functools
import http.server
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests
from gocardless_pro import errors, webhooks

from simulators.bank.server import OPERATIONS as SPOKEN
from tests.contract.bank_walk import OPERATIONS, Walk, client
from tests.fixtures_bank import BANK_START, BANK_TOKEN, IBANS, START, arguments
from tests.simulators.test_bank_shapes import (
    NOT_BUILT,
    NOT_YET,
    PUBLISHED,
    WITHOUT_BODY,
    differences,
)

Untyped = Any

PROFILES: Final = ("mock-kz", "sandbox-sepa")
SANDBOX: Final = "real-sandbox"
SANDBOX_URL: Final = os.environ.get("AQKOL_BANK_URL")
SANDBOX_TOKEN: Final = os.environ.get("AQKOL_BANK_TOKEN")
# Where money is real nobody walks, nor at the bank of a running service: the variables are its too.
SANDBOX_HOST: Final = "api-sandbox.gocardless.com"
STAND_IN: Final = "stand-in-for-a-sandbox"
PLACES: Final = (*PROFILES, STAND_IN, *((SANDBOX,) if SANDBOX_URL else ()))
CURRENCIES: Final = {"mock-kz": "KZT", "sandbox-sepa": "EUR", STAND_IN: "EUR", SANDBOX: "EUR"}
SECRET: Final = "walk-secret"

# Published, and outside of the fifty: the shapes of what this bank does not do.
OUTSIDE: Final = {f"{resource}.{operation}" for resource, operation in NOT_BUILT} | {
    "billing_request_with_actions.create_with_actions"
}
# Links to what a resource is not about are not there at all; the examples have every one.
NOT_ABOUT: Final = {
    "customer_notifications.handle": {"refund", "subscription"},
    "payout_items.list": {"refund"},
}
# What nobody said on this walk is null and has no type; a sandbox may have more of it.
UNSAID: Final = frozenset(
    {
        "account_type",
        "address_line1",
        "address_line2",
        "address_line3",
        "city",
        "company_name",
        "consent_type",
        "country_code",
        "danish_identity_number",
        "description",
        "email",
        "end_date",
        "estimated_exchange_rate",
        "exchange_rate",
        "family_name",
        "fx_amount",
        "fx_currency",
        "given_name",
        "language",
        "payment_method",
        "phone_number",
        "postal_code",
        "purpose_code",
        "reference",
        "region",
        "start_date",
        "swedish_identity_number",
    }
)
# Maps whose keys are their senders' and not the contract's.
FREE: Final = (".request_headers.", ".response_headers.")
# What each create answers; every other operation that has a body answers 200.
CREATED: Final = 201
# Files that hold no operation.
ERRORS: Final = (
    "gocardless_error",
    "idempotent_creation_conflict_error",
    "insufficient_permission",
    "invalid_api_usage_error",
    "invalid_state_error",
    "rate_limit_exceeded",
    "unauthorized_error",
    "validation_failed_duplicate_bank_account_error",
    "validation_failed_error",
)


@dataclass(slots=True, kw_only=True)
class Place:
    """A bank somewhere, and the deliveries it made to us."""

    name: str
    url: str
    token: str
    control_url: str = ""
    heard: list[tuple[bytes, str]]

    @property
    def is_sandbox(self) -> bool:
        """Say whether nobody conducts this bank, and it need not be able to do everything."""
        return self.name in {SANDBOX, STAND_IN}

    def control(self, path: str, body: object = None) -> None:
        """Ask the control port of a simulated bank for something."""
        answer = requests.post(self.control_url + path, json=body, timeout=30)
        assert answer.status_code == 200, answer.text

    def walk(self) -> Walk:
        """Go the whole way through the contract."""
        deliver = functools.partial(self.control, "/webhooks/deliver")
        return Walk(
            client=client(self.url, self.token),
            currency=CURRENCIES[self.name],
            iban=IBANS.get(self.name, IBANS["sandbox-sepa"]),
            is_sandbox=self.is_sandbox,
            deliver=deliver if self.control_url else lambda: None,
        ).all()


def why_not(url: str | None, token: str | None) -> str | None:
    """Return why nobody walks at this address, or None when somebody does."""
    try:
        host = urlsplit(url or "").hostname
    except ValueError:
        host = None
    if host != SANDBOX_HOST:
        return f"AQKOL_BANK_URL is not {SANDBOX_HOST}: nobody walks where somebody is served"
    return None if token else "AQKOL_BANK_TOKEN is not set"


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[tuple[bytes, str]]]]:
    """Return the address of an endpoint for webhooks, and what it hears."""
    heard: list[tuple[bytes, str]] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((body, self.headers["Webhook-Signature"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: a test that fails shows what was heard."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks", heard
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    listener: tuple[str, list[tuple[bytes, str]]],
) -> Iterator[Place]:
    """Return a bank of each profile, and the sandbox when there is one."""
    if request.param == SANDBOX:
        if reason := why_not(SANDBOX_URL, SANDBOX_TOKEN):
            pytest.skip(reason)
        yield Place(name=SANDBOX, url=str(SANDBOX_URL), token=str(SANDBOX_TOKEN), heard=[])
        return
    url, heard = listener
    heard.clear()
    state = tmp_path_factory.mktemp("evidence") / "bank.sqlite"
    profile = "sandbox-sepa" if request.param == STAND_IN else request.param
    command = [sys.executable, "-c", START, *arguments(state, profile, BANK_START)]
    command += ["--read-only-token", "reader"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        found = Place(
            name=request.param,
            url=ready["url"],
            token=BANK_TOKEN,
            control_url=ready["control_url"],
            heard=heard,
        )
        if request.param == STAND_IN:
            found.control("/faults", {"name": "extra_field", "percent": 100})
            found.control_url = ""
        else:
            found.control("/webhooks", {"url": url, "secrets": [SECRET]})
        yield found
        process.terminate()


@pytest.fixture(scope="module")
def walk(place: Place) -> Walk:
    """Return the walk through the contract, done once at each place."""
    return place.walk()


class TestTable:
    """The table of operations ..."""

    def test_is_the_fifty_of_the_contract(self) -> None:
        """Neither more nor fewer: what is not built is not claimed."""
        assert len(set(OPERATIONS)) == len(OPERATIONS) == 50

    def test_is_what_the_bank_speaks(self) -> None:
        """An operation of the bank that nobody drives is not proven; one too few is missing."""
        assert {operation.name for operation in SPOKEN} == set(OPERATIONS)

    @pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published shapes are not here")
    def test_covers_what_is_published(self) -> None:
        """Whatever the provider publishes is among the fifty or named as left out."""
        published = {
            f"{path.stem}.{operation}"
            for path in PUBLISHED.glob("*.json")
            if path.stem not in (*ERRORS, "webhook_body")
            for operation in json.loads(path.read_text())
        }

        assert published == set(OPERATIONS) | OUTSIDE


class TestSandbox:
    """The address in the environment ..."""

    @pytest.mark.parametrize(
        ("url", "token", "reason"),
        [
            ("https://api-sandbox.gocardless.com", "t", None),
            ("https://api-sandbox.gocardless.com/", "t", None),
            ("https://api-sandbox.gocardless.com", None, "TOKEN is not set"),
            ("https://api-sandbox.gocardless.com", "", "TOKEN is not set"),
            ("https://api.gocardless.com", "t", "nobody walks"),
            ("https://api-sandbox.gocardless.com.example", "t", "nobody walks"),
            ("http://127.0.0.1:8300", "sandbox-token", "nobody walks"),
            ("api-sandbox.gocardless.com", "t", "nobody walks"),
            ("http://[", "t", "nobody walks"),
        ],
    )
    def test_is_walked_at_or_left_with_a_reason(
        self, url: str, token: str | None, reason: str | None
    ) -> None:
        """Nothing done in silence would look like everything done."""
        found = why_not(url, token)

        assert found == reason or (reason is not None and found is not None and reason in found)


class TestOperation:
    """Each operation ..."""

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_is_driven_by_the_official_client(self, walk: Walk, place: Place, name: str) -> None:
        """Unchanged, over real HTTP; what only a sandbox cannot do is skipped with its reason."""
        if place.is_sandbox and name in walk.skipped:
            pytest.skip(walk.skipped[name])

        creates = name.endswith(".create")
        expected = 204 if name == "customers.remove" else CREATED if creates else 200
        assert walk.statuses[name] == expected
        assert place.is_sandbox or walk.skipped == {}

    @pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published shapes are not here")
    @pytest.mark.parametrize("name", OPERATIONS)
    def test_answers_in_the_published_shape(self, walk: Walk, place: Place, name: str) -> None:
        """The same keys all the way down, with values of the same types."""
        resource, operation = name.split(".")
        if name in walk.skipped:
            pytest.skip(walk.skipped[name])
        if (resource, operation) in WITHOUT_BODY:
            assert walk.bodies[name] == {}
            return
        published = json.loads((PUBLISHED / f"{resource}.json").read_text())[operation]["body"]
        later = NOT_YET.get(operation, frozenset()) if resource == "billing_requests" else ()
        other = {f"{resource}.links.{link}" for link in NOT_ABOUT.get(name, ())}
        found = {
            difference
            for difference in differences(walk.bodies[name], published)
            if not _is_unsaid(difference) and not any(free in difference for free in FREE)
        }
        missing = {f"{path} is missing" for path in (*later, *other)}
        if place.is_sandbox:
            found = {difference for difference in found - missing if not _is_allowed(difference)}
            missing = set()

        assert found == missing


def _is_unsaid(difference: str) -> bool:
    path, found, _ = difference.partition(" is null, not ")
    return bool(found) and path.rsplit(".", 1)[-1] in UNSAID


def _is_allowed(difference: str) -> bool:
    """Say whether the provider may depart like this from what it published earlier.

    It adds fields, has nothing to say of a resource that is somebody's, and leaves links out.
    """
    path, _, what = difference.partition(" is ")
    return what == "foreign" or what.startswith("null") or (what == "missing" and ".links." in path)


class TestWebhook:
    """A webhook of the walk ..."""

    def test_is_parsed_by_the_official_client(self, walk: Walk, place: Place) -> None:
        """Both of its functions, over the bytes that came."""
        if place.is_sandbox:
            pytest.skip("a sandbox tells its webhooks to its own endpoint, which is not ours")
        body, signature = place.heard[0]

        parsed = webhooks.parse_with_meta(body, SECRET, signature)
        events = webhooks.parse(body, SECRET, signature)

        listed = walk.bodies["webhooks.list"]["webhooks"]
        assert parsed.webhook_id in {webhook["id"] for webhook in listed}
        assert [event.id for event in parsed.events] == [event.id for event in events]
        assert all(event.id.startswith("EV") for event in events)
        with pytest.raises(errors.InvalidSignatureError):
            webhooks.parse_with_meta(body.replace(b"EV", b"EW", 1), SECRET, signature)

    @pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published shapes are not here")
    def test_has_the_published_shape(self, walk: Walk, place: Place) -> None:
        """Its events have every key of the published ones; today's contract has added some."""
        if place.is_sandbox:
            pytest.skip("a sandbox tells its webhooks to its own endpoint, which is not ours")
        published = json.loads((PUBLISHED / "webhook_body.json").read_text())["events"][0]

        assert walk.statuses
        for body, _ in place.heard:
            whole = json.loads(body)
            assert set(whole) == {"events", "meta"}
            assert set(whole["meta"]) == {"webhook_id"}
            for event in whole["events"]:
                assert set(published) <= set(event)
                assert set(published["details"]) <= set(event["details"])


def _authentication(place: Place) -> Untyped:
    return client(place.url, "someone-else").payments.list()


def _validation(place: Place) -> Untyped:
    return _account(place, "DE89370400440532013001")


def _usage(place: Place) -> Untyped:
    return client(place.url, place.token).payments.get("PM0")


def _account(place: Place, iban: str) -> Untyped:
    api = client(place.url, place.token)
    customer = api.customers.create(params={"company_name": "Bakery"})
    links = {"customer": customer.id}
    fields = {"account_holder_name": "Bakery", "iban": iban, "links": links}
    return api.customer_bank_accounts.create(params=fields)


def _mandate(place: Place) -> Untyped:
    account = _account(place, IBANS.get(place.name, IBANS["sandbox-sepa"]))
    links = {"customer_bank_account": account.id}
    return client(place.url, place.token).mandates.create(params={"links": links})


def _state(place: Place) -> Untyped:
    return client(place.url, place.token).mandates.reinstate(_mandate(place).id)


def _conflict(place: Place) -> Untyped:
    api = client(place.url, place.token)
    strict = type(api)(
        access_token=place.token, base_url=place.url, raise_on_idempotency_conflict=True
    )
    headers = {"Idempotency-Key": f"evidence-{_mandate(place).id}"}
    strict.customers.create(params={"company_name": "Bakery"}, headers=headers)
    return strict.customers.create(params={"company_name": "Bakery"}, headers=dict(headers))


def _duplicate(place: Place) -> Untyped:
    api = client(place.url, place.token)
    customer = api.customers.create(params={"company_name": "Bakery"})
    fields = {
        "account_holder_name": "Bakery",
        "iban": IBANS.get(place.name, IBANS["sandbox-sepa"]),
        "links": {"customer": customer.id},
    }
    api.customer_bank_accounts.create(params=fields)
    return api.customer_bank_accounts.create(params=fields)


def _permissions(place: Place) -> Untyped:
    return client(place.url, "reader").customers.create(params={"company_name": "Bakery"})


def _struck(place: Place, fault: str, times: int = 1) -> Untyped:
    place.control("/faults", {"name": fault, "operation": "payments.list", "times": times})
    return client(place.url, place.token).payments.list()


def _signature(_: Place) -> Untyped:
    return webhooks.parse(b'{"events":[]}', SECRET, "0" * 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One way to meet a class of error; a sandbox has no faults to order."""

    kind: type[Exception]
    meet: Callable[[Place], Untyped]
    published: str = ""
    at_a_sandbox: bool = True


REFUSALS: Final = {
    "authentication": Refusal(
        kind=errors.AuthenticationError, meet=_authentication, published="unauthorized_error"
    ),
    "permissions": Refusal(
        kind=errors.PermissionsError,
        meet=_permissions,
        published="insufficient_permission",
        at_a_sandbox=False,
    ),
    "rate limit": Refusal(
        kind=errors.RateLimitError,
        meet=functools.partial(_struck, fault="rate_limit"),
        published="rate_limit_exceeded",
        at_a_sandbox=False,
    ),
    "validation": Refusal(
        kind=errors.ValidationFailedError, meet=_validation, published="validation_failed_error"
    ),
    "a bank account twice": Refusal(
        kind=errors.ValidationFailedError,
        meet=_duplicate,
        published="validation_failed_duplicate_bank_account_error",
    ),
    "usage": Refusal(
        kind=errors.InvalidApiUsageError, meet=_usage, published="invalid_api_usage_error"
    ),
    "state": Refusal(kind=errors.InvalidStateError, meet=_state, published="invalid_state_error"),
    "a key twice": Refusal(
        kind=errors.IdempotentCreationConflictError,
        meet=_conflict,
        published="idempotent_creation_conflict_error",
    ),
    "the bank's own": Refusal(
        kind=errors.GoCardlessInternalError,
        meet=functools.partial(_struck, fault="error_before"),
        published="gocardless_error",
        at_a_sandbox=False,
    ),
    "a proxy's page": Refusal(
        kind=errors.MalformedResponseError,
        meet=functools.partial(_struck, fault="bad_gateway", times=3),
        at_a_sandbox=False,
    ),
    "half an answer": Refusal(
        kind=errors.MalformedResponseError,
        meet=functools.partial(_struck, fault="garbled", times=3),
        at_a_sandbox=False,
    ),
    "a signature": Refusal(kind=errors.InvalidSignatureError, meet=_signature),
}
# Classes that only stand above others.
BASES: Final = {errors.GoCardlessProError, errors.ApiError}
# The published examples leave these out at times; the contract has them always.
ALWAYS: Final = {"error.request_id is foreign", "error.errors.*.reason is foreign"}


class TestError:
    """Each class of error that the client has ..."""

    def test_is_in_the_table(self) -> None:
        """A class that a new client brings is met before it is believed to be handled."""
        known = {
            found
            for _, found in inspect.getmembers(errors, inspect.isclass)
            if issubclass(found, errors.GoCardlessProError)
        }

        assert {refusal.kind for refusal in REFUSALS.values()} == known - BASES
        assert {refusal.published for refusal in REFUSALS.values()} - {""} == set(ERRORS)

    @pytest.mark.parametrize("name", REFUSALS)
    def test_is_met_in_the_published_shape(self, place: Place, name: str) -> None:
        """Raised by the unchanged client, from an answer with the keys that the provider has."""
        refusal = REFUSALS[name]
        if place.is_sandbox and not refusal.at_a_sandbox:
            pytest.skip("a sandbox has no faults to order, and no second token")

        with pytest.raises(refusal.kind) as met:
            refusal.meet(place)

        assert type(met.value) is refusal.kind
        file = PUBLISHED / f"{refusal.published}.json"
        if refusal.published and file.is_file():
            told = {"error": getattr(met.value, "error")}  # noqa: B009 - the client has no types
            found = set(differences(told, json.loads(file.read_text()))) - ALWAYS
            assert not [one for one in found if not (place.is_sandbox and _is_allowed(one))]
