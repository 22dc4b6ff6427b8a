"""The hosted page on which a payer reads what is asked, and says yes or no."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from aiohttp import web

from simulators.bank import bank_accounts, billing_requests, customers, errors
from simulators.bank.clock import stamp
from simulators.bank.fields import Fields
from simulators.bank.store import Document
from simulators.bank.words import LANGUAGES, WORDS
from simulators.bank.world import Bank

STYLE: Final = (
    "body{font:1.125rem/1.5 sans-serif;max-width:36rem;margin:0 auto;padding:1rem;color:#111;"
    "background:#fff}label{display:block;margin-top:1rem;font-weight:bold}"
    "input{font:inherit;width:100%;padding:.5rem;border:2px solid #555;box-sizing:border-box}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:1.5rem 1rem 0 0;border:2px solid #111;"
    "background:#fff;color:#111}button.yes{background:#0b5d1e;border-color:#0b5d1e;color:#fff}"
    ":focus{outline:3px solid #b35900;outline-offset:2px}.wrong{border:3px solid #a40000;"
    "padding:.5rem 1rem}dt{font-weight:bold}dd{margin:0 0 .5rem 0}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
NAMES: Final = ("given_name", "family_name", "iban")
AUTOCOMPLETE: Final = {"given_name": "given-name", "family_name": "family-name", "iban": "off"}
INVALID: Final = ' aria-invalid="true"'


class Pages:
    """Shows a flow's page and takes the payer's answer."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    async def show(self, request: web.Request) -> web.Response:
        """Show the question, or what became of it."""
        bank = self._bank
        bank.catch_up(bank.clock.now())
        flow = bank.store.get("billing_request_flows", request.match_info["flow"])
        language = _language(request, flow, bank.profile.language)
        if flow is None or flow["expires_at"] <= stamp(bank.at):
            return _page(404, language, "gone")
        asked = bank.find("billing_requests", flow["links"]["billing_request"])
        if asked["status"] not in billing_requests.OPEN:
            return _page(200, language, _outcome(asked))
        given = {name: flow["prefilled_customer"].get(name) or "" for name in NAMES}
        return _question(200, language, asked, given, [])

    async def answer(self, request: web.Request) -> web.Response:
        """Take yes or no; a repeated yes is sent on again and changes nothing."""
        bank = self._bank
        form = await _form(request)
        bank.catch_up(bank.clock.now())
        flow = bank.store.get("billing_request_flows", request.match_info["flow"])
        language = _language(request, flow, bank.profile.language)
        if flow is None or flow["expires_at"] <= stamp(bank.at):
            return _page(404, language, "gone")
        asked = bank.find("billing_requests", flow["links"]["billing_request"])
        given = {name: str(form.get(name, "")).strip() for name in NAMES}
        choice = form.get("answer")
        if asked["status"] in billing_requests.OPEN:
            if choice == "deny":
                with bank.store.transaction():
                    billing_requests.stop(bank, asked, origin="payer")
            elif choice == "approve":
                try:
                    self._approve(asked, given)
                except errors.BankError as refusal:
                    wrong = [item.get("field", "") for item in refusal.items]
                    fresh = bank.find("billing_requests", asked["id"])
                    return _question(422, language, fresh, given, wrong)
            else:
                return _question(422, language, asked, given, [])
        return _send_on(flow, asked, language)

    def _approve(self, asked: Document, given: dict[str, str]) -> None:
        """Collect, confirm and fulfil in one transaction, as the payer's single yes."""
        bank = self._bank
        person = Fields({name: given[name] for name in NAMES[:2]}, "")
        found = customers.read(person)
        for name in NAMES[:2]:
            if not found.get(name):
                person.refuse(name, "is required")
        holder = f"{given['given_name']} {given['family_name']}"
        number = Fields({"iban": given["iban"], "account_holder_name": holder}, "")
        account = bank_accounts.read(bank, number)
        with bank.store.transaction():
            _check_both(person, number)
            billing_requests.take_details(bank, asked, found, origin="payer")
            billing_requests.take_account(bank, asked, account, origin="payer")
            billing_requests.confirm(bank, asked, origin="payer")
            billing_requests.complete(bank, asked, origin="payer")


async def _form(request: web.Request) -> Mapping[str, object]:
    """Return what the payer typed; a form that cannot be read is one that says nothing."""
    try:
        return await request.post()
    except (LookupError, ValueError):
        # No such encoding, bytes that are none of it, or parts without a boundary.
        return {}


def _check_both(*forms: Fields) -> None:
    items: list[dict[str, Any]] = []
    for form in forms:
        try:
            form.check()
        except errors.BankError as refusal:
            items.extend(refusal.items)
    if items:
        raise errors.validation_failed(items)


def _outcome(asked: Document) -> str:
    return "approved" if asked["status"] == "fulfilled" else "denied"


def _send_on(flow: Document, asked: Document, language: str) -> web.Response:
    address = flow["redirect_uri"] if asked["status"] == "fulfilled" else flow["exit_uri"]
    if address is None:
        return _page(200, language, _outcome(asked))
    return web.Response(status=303, headers={**HEADERS, "Location": address})


def _language(request: web.Request, flow: Document | None, usual: str) -> str:
    """Return the language asked for: by ?lang=, by the browser, by the flow, the bank's own."""
    wanted = [request.query.get("lang", "")]
    accepted: list[tuple[float, str]] = []
    for part in request.headers.get("Accept-Language", "").split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        weight = quality.replace(".", "", 1)
        accepted.append((float(quality) if weight.isdecimal() else 1.0, name[:2].lower()))
    accepted.sort(key=lambda pair: -pair[0])
    wanted += [name for _, name in accepted]
    wanted.append((flow or {}).get("language") or "")
    return next((name for name in wanted if name in LANGUAGES), usual)


def money(amount_minor: int, currency: str) -> str:
    """Return an amount as people write it in all three languages: 5 000,00 KZT."""
    major, minor = divmod(amount_minor, 100)
    return f"{major:,}".replace(",", "\u00a0") + f",{minor:02}\u00a0{currency}"


def _terms(asked: Document, language: str) -> list[tuple[str, str]]:
    """Return what is asked for, line by line: purpose, every cap, and the dates."""
    words = WORDS[language]
    wanted = asked["mandate_request"]
    terms = [(words["who"], "Aqkol Gas")]
    if wanted["description"]:
        terms.append((words["what_for"], wanted["description"]))
    constraints = wanted["constraints"]
    if constraints is None:
        return [*terms, (words["cap"], words["no_cap"])]
    if constraints["max_amount_per_payment"] is not None:
        most = money(constraints["max_amount_per_payment"], wanted["currency"])
        terms.append((words["cap"], most))
    for limit in constraints["periodic_limits"]:
        period = words[f"per_{limit['period']}"]
        if limit["max_total_amount"] is not None:
            most = money(limit["max_total_amount"], wanted["currency"])
            terms.append((words["cap_total"].format(period=period), most))
        if limit["max_payments"] is not None:
            terms.append((words["cap_count"].format(period=period), str(limit["max_payments"])))
    days = (name for name in ("start_date", "end_date") if constraints[name] is not None)
    return [*terms, *((words[name], constraints[name]) for name in days)]


def _question(
    status: int, language: str, asked: Document, given: dict[str, str], wrong: list[str]
) -> web.Response:
    words = WORDS[language]
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in _terms(asked, language)
    )
    summary = ""
    if wrong:
        items = "".join(
            f'<li><a href="#{name}">{words[f"wrong_{name}"]}</a></li>'
            for name in NAMES
            if name in wrong
        )
        summary = f'<div class="wrong" role="alert"><h2>{words["wrong"]}</h2><ul>{items}</ul></div>'
    inputs = "".join(
        f'<label for="{name}">{words[name]}</label>'
        f'<input id="{name}" name="{name}" autocomplete="{AUTOCOMPLETE[name]}" '
        f'maxlength="100" value="{escape(given[name])}"'
        f"{INVALID if name in wrong else ''}>"
        for name in NAMES
    )
    body = (
        f"{summary}<p>{words['lead']}</p><dl>{lines}</dl>"
        f'<form method="post" action="?lang={language}">{inputs}'
        f'<button class="yes" name="answer" value="approve">{words["approve"]}</button>'
        f'<button name="answer" value="deny" formnovalidate>{words["deny"]}</button></form>'
        f"<p>{words['promise']}</p>"
    )
    return _html(status, language, words["title"], body)


def _page(status: int, language: str, name: str) -> web.Response:
    words = WORDS[language]
    return _html(status, language, words[f"{name}_title"], f"<p>{words[name]}</p>")


def _html(status: int, language: str, title: str, body: str) -> web.Response:
    others = " ".join(
        f'<a href="?lang={code}" lang="{code}" hreflang="{code}">{name}</a>'
        for code, name in LANGUAGES.items()
    )
    text = (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f"<nav>{others}</nav><main><h1>{title}</h1>{body}</main></body></html>"
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)


def mount(app: web.Application, bank: Bank) -> None:
    """Add the page to the public listener."""
    pages = Pages(bank)
    app.router.add_get("/flow/{flow}", pages.show)
    app.router.add_post("/flow/{flow}", pages.answer)
