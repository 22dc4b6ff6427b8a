"""The service cannot change or remove a fact, whatever its code believes."""

import asyncpg
import pytest

FACTS = [
    "reading",
    "telegram",
    "usage",
    "bill",
    "bill_line",
    "transfer",
    "notice",
    "debit_step",
    "bank_event",
    "meter",
    "device_key",
    "start_register",
    "meter_case",
    "reading_decision",
    "declared_gap",
    "gap_withdrawal",
    "device_event",
    "rule_override",
    "degree_day",
    "firmware_word",
    "reading_finding",
    "period_finding",
    "source",
    "upload",
    "finding_decision",
    "validation",
    "rebaseline",
    "coefficient_table",
    "zone_figures",
    "calorific_value",
    "stay_place",
    "voucher",
    "voucher_revocation",
    "base_rate",
    "moratorium",
    "bill_dispute",
    "bill_dispute_end",
    "account_closing",
    "price_proposal",
    "price_decision",
    "outsorting",
    "month_step",
    "bill_release",
    "month_question",
    "month_answer",
    "refund",
    "refund_step",
    "town_transfer",
    "mandate_freeze",
    "bank_payout",
    "statement_line",
    "recon_day",
    "recon_break",
    "run_stop",
    "run_release",
    "contact",
    "message",
    "account_change",
]


class TestRights:
    """The service's role ..."""

    @pytest.mark.parametrize("table", FACTS)
    async def test_may_not_remove_a_fact(self, pool: asyncpg.Pool, table: str) -> None:
        """A row that was shown to a resident cannot vanish through our own mistake."""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(f"DELETE FROM {table}")

    @pytest.mark.parametrize("table", FACTS)
    async def test_may_not_truncate_a_fact(self, pool: asyncpg.Pool, table: str) -> None:
        """Nor all of them at once."""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(f"TRUNCATE {table} CASCADE")

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("reading", "register_dm3"),
            ("reading", "verdict"),
            ("usage", "volume_dm3"),
            ("bill", "total_minor"),
            ("bill_line", "net_minor"),
            ("transfer", "amount_minor"),
            ("statement_line", "amount_minor"),
            ("recon_break", "opened_at"),
            ("mandate_freeze", "frozen_at"),
            ("notice", "amount_minor"),
            ("debit", "amount_minor"),
            ("mandate", "account_id"),
            ("tariff", "net_minor_per_1000_m3"),
            ("vat_rate", "rate_bp"),
            ("meter", "dial_dm3"),
            ("telegram", "evidence"),
            ("device_key", "public_key"),
            ("reading_decision", "register_dm3"),
            ("meter_case", "evidence"),
            ("declared_gap", "to_day"),
            ("gap_withdrawal", "because"),
            ("device_event", "done_by"),
            ("rule_override", "figures"),
            ("degree_day", "degree_days_tenths"),
            ("firmware_word", "approved"),
            ("reading_finding", "outcome"),
            ("period_finding", "outcome"),
            ("source", "topic"),
            ("source", "meter_id"),
            ("upload", "digest"),
            ("upload", "sent_by"),
            ("upload_row", "result"),
            ("coefficient_table", "outdoor"),
            ("zone_figures", "figures"),
            ("calorific_value", "hundred_thousandths"),
            ("stay_place", "place"),
            ("voucher", "amount_minor"),
            ("voucher_revocation", "because"),
            ("base_rate", "rate_bp"),
            ("moratorium", "active"),
            ("bill_dispute", "from_day"),
            ("bill_dispute_end", "to_day"),
            ("account_closing", "last_day"),
            ("price_proposal", "content"),
            ("price_decision", "outcome"),
            ("webhook_delivery", "body"),
            ("webhook_delivery", "received_at"),
            ("bank_hint", "told"),
            ("refund", "amount_minor"),
            ("refund", "before_minor"),
            ("refund_step", "to_state"),
            ("town_transfer", "amount_minor"),
            ("run_stop", "cause"),
            ("run_release", "released_by"),
            ("contact", "language"),
            ("account_change", "usable_at"),
            ("message", "kind"),
            ("message", "about"),
            ("message", "queued_at"),
        ],
    )
    async def test_may_not_change_a_fact(self, pool: asyncpg.Pool, table: str, column: str) -> None:
        """An amount, a register and a price stay what they were."""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(f"UPDATE {table} SET {column} = {column}")

    async def test_may_not_make_tables(self, pool: asyncpg.Pool) -> None:
        """Least privilege: the service uses the schema, it does not own it."""
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute("CREATE TABLE mine (n int)")
