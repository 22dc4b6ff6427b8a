"""Who may call what: every route times every kind of caller, over real sockets."""

import re
from datetime import timedelta
from typing import Any, Final

import pytest

from app.tokens import revoke_token
from metering.io.route import Bound, Policy
from tests.app.api_town import AT, Api, bill, token_for

# Written by hand, so that a policy that is changed by mistake is seen here.
POLICIES: Final = {
    "livez": "public",
    "readyz": "public",
    "metrics_page": "operator",
    "openapi": "public",
    "problem": "public",
    "docs": "public",
    "docs_asset": "public",
    "home": "public",
    "open_account": "operator",
    "list_accounts": "operator",
    "show_account": "account",
    "issue_resident_token": "operator",
    "revoke_resident_tokens": "operator",
    "list_bills": "account",
    "show_bill": "account",
    "show_bill_record": "account",
    "show_bill_document": "account",
    "say_terms": "operator",
    "list_terms": "account",
    "list_tariffs": "operator",
    "list_vat_rates": "operator",
    "propose_price": "operator",
    "list_price_proposals": "operator",
    "show_price_proposal": "operator",
    "approve_price": "operator",
    "refuse_price": "operator",
    "run_bills": "operator",
    "list_held_bills": "operator",
    "release_bill": "operator",
    "preview_month": "operator",
    "show_bill_as_of": "account",
    "question_month": "account",
    "answer_question": "operator",
    "list_questions": "account",
    "enter_voucher": "operator",
    "list_vouchers": "account",
    "revoke_voucher": "operator",
    "move_out": "operator",
    "move_in": "operator",
    "show_closing": "account",
    "issue_final_bill": "operator",
    "show_penalty_book": "operator",
    "enter_base_rate": "operator",
    "enter_moratorium": "operator",
    "dispute_bill": "operator",
    "settle_dispute": "operator",
    "export_settlement": "operator",
    "export_settlement_with_names": "operator",
    "list_named_exports": "operator",
    "export_journal_of_days": "operator",
    "start_mandate": "resident",
    "return_from_bank": "public",
    "list_mandates": "resident",
    "show_mandate": "resident",
    "pause_mandate": "resident",
    "resume_mandate": "resident",
    "cancel_mandate": "resident",
    "set_caps": "resident",
    "receive_webhook": "signed",
    "show_debit_run": "operator",
    "stop_debit_run": "operator",
    "release_debit_run": "operator",
    "list_unexplained_events": "operator",
    "answer_event": "operator",
    "list_own_debits": "account",
    "change_account": "resident",
    "list_account_changes": "resident",
    "show_contact": "resident",
    "say_contact": "resident",
    "list_messages": "resident",
    "list_stuck_messages": "operator",
    "send_messages_again": "operator",
    "show_status": "public",
    "approve_debit": "account",
    "cancel_debit": "account",
    "decide_debit": "operator",
    "list_breaks": "operator",
    "close_break": "operator",
    "list_freezes": "operator",
    "lift_freeze": "operator",
    "list_days": "operator",
    "list_debits": "operator",
    "register_meter": "operator",
    "list_meters": "operator",
    "show_meter": "operator",
    "install_meter": "operator",
    "remove_meter": "operator",
    "list_readings": "operator",
    "list_own_meters": "account",
    "list_own_readings": "account",
    "list_refused_telegrams": "operator",
    "provision_device": "operator",
    "list_keys": "operator",
    "rotate_key": "operator",
    "revoke_key": "operator",
    "claim_meter": "operator",
    "confirm_start": "operator",
    "survey_meters": "operator",
    "list_sources": "operator",
    "add_source": "operator",
    "remove_source": "operator",
    "try_source": "operator",
    "freeze_device": "operator",
    "remove_device": "operator",
    "vouch_for_key": "operator",
    "reissue_code": "operator",
    "list_history": "operator",
    "say_firmware": "operator",
    "list_firmware": "operator",
    "map_gaps": "operator",
    "declare_gap": "operator",
    "withdraw_gap": "operator",
    "list_held_readings": "operator",
    "accept_reading": "operator",
    "replace_reading": "operator",
    "correct_reading": "operator",
    "show_correction": "account",
    "show_credit": "account",
    "list_corrections": "operator",
    "list_refunds": "operator",
    "show_trial_balance": "operator",
    "show_statement": "account",
    "ask_refund": "operator",
    "list_account_refunds": "account",
    "list_refund_orders": "operator",
    "list_cases": "operator",
    "close_case": "operator",
    "send_readings": "operator",
    "list_uploads": "operator",
    "show_upload": "operator",
    "list_upload_rows": "operator",
    "list_rules": "operator",
    "override_rule": "operator",
    "note_degree_days": "operator",
    "list_degree_days": "operator",
    "list_findings": "operator",
    "decide_finding": "operator",
    "show_level": "operator",
    "show_consumption": "operator",
    "rebaseline_meter": "operator",
    "enter_table": "operator",
    "list_tables": "operator",
    "say_place": "operator",
    "list_places": "operator",
    "enter_zone": "operator",
    "list_zones": "operator",
    "note_calorific_values": "operator",
    "list_calorific_values": "operator",
}
# Things that exist, all of account A-1.
THINGS: Final = {
    "account_id": "A-1",
    "attempt": "1",
    "meter_id": "AQ-000001",
    "epoch": "1",
    "read_at": "2026-02-01T00:00:00Z",
    "gap_id": "00000000-0000-4000-8000-000000000002",
    "finding_id": "0" * 64,
    "case_id": "00000000-0000-4000-8000-000000000001",
    "source_id": "00000000-0000-4000-8000-000000000002",
    "bill_no": "2026-01",
    "period": "2026-01",
    "question_no": "1",
    "mandate_id": "M-1",
    "event_id": "EV1",
    "stop_no": "1",
    "code": "household",
    "slug": "not-found",
    "asset": "start.js",
    "proposal_no": "1",
    "upload_id": "00000000-0000-4000-8000-000000000002",
    "voucher_no": "1",
    "break_id": "1",
}
VOUCHER: Final = """
    INSERT INTO voucher VALUES ('A-1', 1, 'a document', 1, 'KZT', '2026-01-01', '2030-01-01',
        'a test', '2026-01-01Z')
"""
CLOSING: Final = """
    INSERT INTO account_closing VALUES ('A-1', '2026-02-09', '[]', 'a test', 'a test',
        '2026-02-10Z')
"""
HINT: Final = """
    INSERT INTO bank_hint (event_id, told, heard_at, look_at, state, trouble)
    VALUES ('EV1', '{"event_id": "EV1", "resource": "mandates", "action": "created"}',
        '2026-01-01Z', '2026-01-01Z', 'asked', 'no_link')
"""
BREAK: Final = """
    INSERT INTO recon_break
        (kind, subject, detail, suggested_action, owner, day, opened_at, seen_at)
    VALUES ('line_orphan', 'line 1', 'a test', 'a test', 'accounts', '2026-01-01', '2026-01-01Z',
        '2026-01-01Z')
"""
FREEZE: Final = """
    INSERT INTO mandate_freeze VALUES ('A-1', 'M-1', 'a test', '2026-01-01Z')
"""
STOP: Final = """
    INSERT INTO run_stop VALUES (1, 'failures', '{}', NULL, NULL, '2026-01-01Z')
"""
KEY: Final = """
    INSERT INTO device_key (meter_id, key_epoch, algorithm, public_key, kid, origin, added_at)
    VALUES ('AQ-000001', 1, 'EdDSA', sha256('key'), 'AQ-00001', 'device', '2026-01-01Z')
"""
SOURCE: Final = """
    INSERT INTO source VALUES ('AQ-000001', '00000000-0000-4000-8000-000000000002', 'toy', 'a', '',
        1, 1, 0, 'm3', 'UTC', 60, 'a test', '2026-01-01Z')
"""
UPLOAD: Final = """
    INSERT INTO upload (upload_id, digest, size_bytes, form, encoding, zone, decimal_mark, sent_by,
        state, rows, started_at, changed_at)
    VALUES ('00000000-0000-4000-8000-000000000002', sha256('file'), 9, 'csv', 'utf-8', '', '.',
        'a test', 'done', 0, '2026-01-01Z', '2026-01-01Z')
"""
PROPOSAL: Final = """
    INSERT INTO price_proposal VALUES (1, 'vat_rate', NULL, '2030-01-01',
        '{"valid_from": "2030-01-01", "rate_bp": 1600}', 'a law', false, 'a test', '2026-01-01Z')
"""
QUERIES: Final = {
    "show_consumption": "?period=2026-01",
    "show_bill_as_of": "?at=2026-02-10T12:00:00Z",
    "list_debits": "?state=noticed",
    "return_from_bank": "?link=" + "0" * 40,
}
# Every answer that a caller who was let in may get: done, or what was asked does not fit.
LET_IN: Final = {200, 201, 404, 409, 422}
SHUT: Final = {
    "nobody": {**dict.fromkeys(("resident", "account", "operator"), 401), "signed": 498},
    "other resident": {"resident": 404, "account": 404, "operator": 403, "signed": 498},
    "resident": {"operator": 403, "signed": 498},
    "operator": {"resident": 403, "signed": 498},
}


def address(bound: Bound) -> str:
    path = re.sub(r"\{(\w+)\}", lambda found: THINGS[found[1]], bound.route.path)
    return path + QUERIES.get(bound.route.name, "")


def body(bound: Bound) -> dict[str, Any]:
    """Return the empty body of a route, of the kind that it takes."""
    if bound.route.files is not None:
        kind = bound.route.files.media_types[0]
        return {"data": b"", "headers": {"Content-Type": kind}}
    return {"json": {}} if bound.route.takes_body or bound.route.signature else {}


async def statuses(api: Api, token: str | None) -> dict[str, int]:
    """Call every route; the empty body of those that take one is refused only when let in."""
    found = {}
    for bound in api.routes:
        found[bound.route.name], _ = await api.call(
            bound.route.method, address(bound), token=token, **body(bound)
        )
    return found


def wrong(found: dict[str, int], who: str) -> dict[str, int]:
    """Return the routes that answered otherwise than the table above says."""
    shut = SHUT[who]
    return {
        name: status
        for name, status in found.items()
        if (
            status != shut[POLICIES[name]]
            if POLICIES[name] in shut
            else status not in LET_IN or (status == 404 and name != "return_from_bank")
        )
    }


class TestPolicies:
    """The policy of every route ..."""

    async def test_is_what_was_decided(self, api: Api) -> None:
        """A new route has to be written into the table above, where a person looks at it."""
        assert {bound.route.name: bound.route.policy.value for bound in api.routes} == POLICIES

    @pytest.mark.parametrize("token", [None, "", "aq_" + "A" * 43, "Basic YTpi"])
    async def test_keeps_strangers_out(self, api: Api, token: str | None) -> None:
        """No token, an empty one, one of our shape, something else: 401 wherever one is needed."""
        await bill(api)

        assert wrong(await statuses(api, token), "nobody") == {}

    async def test_keeps_expired_tokens_out(self, api: Api) -> None:
        """The clock alone ends a token."""
        await bill(api)
        expired = [await token_for(api.pool, account, days=1) for account in ("A-1", None)]
        api.clock.advance_to(AT + timedelta(days=1))

        assert [wrong(await statuses(api, token), "nobody") for token in expired] == [{}, {}]

    async def test_keeps_revoked_tokens_out(self, api: Api) -> None:
        """A token that was taken back is dead for the very next request."""
        await bill(api)
        for token in (api.resident, api.operator):
            await revoke_token(api.pool, token, AT)

            assert wrong(await statuses(api, token), "nobody") == {}

    async def test_hides_everything_from_other_residents(self, api: Api) -> None:
        """Everything asked for exists and is the neighbour's: 404, or 403 for operators' routes."""
        await bill(api)

        assert wrong(await statuses(api, api.other), "other resident") == {}

    async def test_lets_the_resident_to_the_own_things(self, api: Api) -> None:
        """Everything of the own account, nothing of the operators'."""
        await bill(api)
        await api.owner.execute(CLOSING)

        assert wrong(await statuses(api, api.resident), "resident") == {}

    async def test_lets_operators_to_everything_but_residents_decisions(self, api: Api) -> None:
        """An operator may look at bills, never at mandates or change what a resident allows."""
        await bill(api)
        await api.owner.execute(KEY)
        await api.owner.execute(SOURCE)
        await api.owner.execute(UPLOAD)
        await api.owner.execute(PROPOSAL)
        await api.owner.execute(VOUCHER)
        await api.owner.execute(CLOSING)
        await api.owner.execute(HINT)
        await api.owner.execute(BREAK)
        await api.owner.execute(FREEZE)
        await api.owner.execute(STOP)

        assert wrong(await statuses(api, api.operator), "operator") == {}

    async def test_is_checked_before_anything_is_looked_up(self, api: Api) -> None:
        """With all tables of the business gone, strangers still get the same answers.

        Whatever differs in what we look up can be told from outside by its timing.
        """
        await bill(api)
        for table in ("account", "bill", "mandate", "debit", "meter", "installation", "reading"):
            await api.owner.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")

        assert (await api.call("GET", "/v1/accounts/A-1", token=api.resident))[0] == 500
        guarded = {
            name: status
            for name, status in (await statuses(api, api.other)).items()
            if POLICIES[name] != "public"
        }
        assert wrong(guarded, "other resident") == {}


class TestForeignThings:
    """What belongs to somebody else ..."""

    async def test_answers_like_what_does_not_exist(self, api: Api) -> None:
        """Same status, same headers, same bytes, or one could list who is a customer."""
        await bill(api)
        for bound in api.routes:
            if bound.route.policy not in {Policy.RESIDENT, Policy.ACCOUNT}:
                continue
            real = address(bound)
            answers = []
            for path in (real, real.replace("A-1", "A-404"), real.replace("A-1", "a%00'\"--")):
                async with api.request(
                    bound.route.method, path, token=api.other, **body(bound)
                ) as response:
                    headers = {k: v for k, v in response.headers.items() if k != "Date"}
                    answers.append((response.status, headers, await response.read()))

            assert answers[0][0] == 404
            assert answers[0] == answers[1] == answers[2], bound.route.name

    async def test_answers_like_own_things_that_do_not_exist(self, api: Api) -> None:
        """A bill of the neighbour and a bill that was never written are one and the same answer."""
        await bill(api)

        foreign = await api.call("GET", "/v1/accounts/A-2/bills/2026-01", token=api.resident)
        never = await api.call("GET", "/v1/accounts/A-1/bills/2099-01", token=api.resident)

        assert foreign == never
        assert never[0] == 404

    async def test_is_no_reading_of_a_meter_that_moved(self, api: Api) -> None:
        """A meter that hung at the neighbour's before tells me nothing of the neighbour's gas."""
        await api.call(
            "POST",
            "/v1/meters/AQ-000002/removal",
            token=api.operator,
            json={"removed_at": "2026-02-05T00:00:00Z", "closing_dm3": 130_000},
        )
        status, _ = await api.call(
            "POST",
            "/v1/meters/AQ-000002/installations",
            token=api.operator,
            json={
                "account_id": "A-1",
                "supply_point_id": "SP-1",
                "installed_at": "2026-02-06T00:00:00Z",
                "opening_dm3": 130_000,
            },
        )
        assert status == 201

        _, mine = await api.call(
            "GET", "/v1/accounts/A-1/meters/AQ-000002/readings", token=api.resident
        )
        _, theirs = await api.call(
            "GET", "/v1/accounts/A-2/meters/AQ-000002/readings", token=api.other
        )

        assert mine["readings"] == []
        assert [reading["register_dm3"] for reading in theirs["readings"]] == [120_000]


class TestPersonalData:
    """Name and address ..."""

    async def test_are_for_the_resident(self, api: Api) -> None:
        """Everybody may know what is kept about them."""
        _, account = await api.call("GET", "/v1/accounts/A-1", token=api.resident)

        assert account["person"] == {"full_name": "Name of A-1", "address": "Street of A-1"}

    async def test_reach_no_operator(self, api: Api) -> None:
        """Leaks of whole registers began with honest accounts of operators."""
        await bill(api)
        for bound in api.routes:
            if bound.route.method == "GET":
                _, answer = await api.call("GET", address(bound), token=api.operator)

                assert "Name of" not in str(answer), bound.route.name
                assert "Street of" not in str(answer), bound.route.name
