"""The schema can be spread over many machines: Citus's rules, checked on any server.

A table belongs to the group of meters, to the group of accounts, is a small reference table that
stands on every node, or is local to one node. Each new table is entered here on purpose.
"""

import asyncpg

REFERENCE = {
    "tariff",
    "tariff_band",
    "vat_rate",
    "ledger_account",
    "rule_override",
    "degree_day",
    "firmware_word",
    "validation",
    "coefficient_table",
    "zone_figures",
    "calorific_value",
    "base_rate",
    "moratorium",
    "price_proposal",
    "price_decision",
    "outsorting",
    "month_step",
    "run_stop",
    "run_release",
}
LOCAL = {
    "access_token",
    "bank_event",
    "bank_cursor",
    "bucket",
    "ingest_worker",
    "ingest_lease",
    "schema_migrations",
    "upload",
    "upload_row",
    "name_export",
    "bank_payout",
    "bank_payout_item",
    "statement_line",
    "recon_day",
    "recon_break",
    "webhook_delivery",
    "bank_hint",
    "town_transfer",
}
GROUPS = {
    "meter_id": {
        "meter",
        "installation",
        "telegram",
        "reading",
        "usage",
        "usage_gap",
        "usage_energy",
        "estimated_register",
        "device_key",
        "meter_claim",
        "start_register",
        "meter_case",
        "replay_window",
        "reading_decision",
        "declared_gap",
        "gap_withdrawal",
        "device_event",
        "reading_finding",
        "period_finding",
        "source",
        "finding_decision",
        "rebaseline",
        "stay_place",
        "reading_correction",
        "usage_doubt",
        "usage_revision",
    },
    "account_id": {
        "account",
        "person",
        "supply_point",
        "bill",
        "account_terms",
        "bill_line",
        "bill_charge",
        "bill_hold",
        "bill_release",
        "month_question",
        "month_answer",
        "bill_dispute",
        "bill_dispute_end",
        "mandate",
        "debit",
        "debit_approval",
        "debit_step",
        "debit_stop",
        "review_word",
        "notice",
        "transfer",
        "bill_correction",
        "adjustment",
        "adjustment_taken",
        "voucher",
        "voucher_revocation",
        "account_closing",
        "refund",
        "refund_step",
        "mandate_freeze",
        "contact",
        "account_change",
        "message",
    },
    "sender": {"refused_telegram"},
}
GROUP_OF = {table: column for column, tables in GROUPS.items() for table in tables}


async def rows(connection: asyncpg.Connection, query: str) -> list[asyncpg.Record]:
    return list(await connection.fetch(query))


class TestShardable:
    """The schema ..."""

    async def test_has_a_place_for_every_table(self, owner: asyncpg.Connection) -> None:
        """A table in no group is a wall somebody else will run into."""
        found = await rows(
            owner,
            """
            SELECT c.relname FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
              AND NOT c.relispartition
        """,
        )

        known = set(GROUP_OF) | REFERENCE | LOCAL
        assert {row["relname"] for row in found} - known == set()
        assert known - {"schema_migrations"} - {row["relname"] for row in found} == set()

    async def test_has_the_groups_column_in_every_key(self, owner: asyncpg.Connection) -> None:
        """A unique key without the distribution column cannot be checked on one node."""
        found = await rows(
            owner,
            """
            SELECT t.relname, i.relname AS key, array_agg(a.attname::text) AS columns
            FROM pg_index x
            JOIN pg_class t ON t.oid = x.indrelid
            JOIN pg_class i ON i.oid = x.indexrelid
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey)
            WHERE t.relnamespace = 'public'::regnamespace AND (x.indisunique OR x.indisexclusion)
              AND NOT t.relispartition
            GROUP BY 1, 2
        """,
        )

        assert len(found) > 15
        assert [
            (row["relname"], row["key"])
            for row in found
            if row["relname"] in GROUP_OF and GROUP_OF[row["relname"]] not in row["columns"]
        ] == []

    async def test_keeps_foreign_keys_inside_a_group(self, owner: asyncpg.Connection) -> None:
        """A foreign key stays in its group, with the group's column, or names a reference table."""
        found = await rows(
            owner,
            """
            SELECT c.conname, s.relname AS source, t.relname AS target,
                   ARRAY(SELECT a.attname::text FROM pg_attribute a
                         WHERE a.attrelid = s.oid AND a.attnum = ANY (c.conkey)) AS columns
            FROM pg_constraint c
            JOIN pg_class s ON s.oid = c.conrelid
            JOIN pg_class t ON t.oid = c.confrelid
            WHERE c.contype = 'f' AND c.conparentid = 0
        """,
        )

        def allowed(row: asyncpg.Record) -> bool:
            if row["target"] in REFERENCE:
                return True
            group = GROUP_OF.get(row["source"])
            return (
                group is not None
                and group == GROUP_OF.get(row["target"])
                and (group in row["columns"])
            )

        assert len(found) > 10
        assert [row["conname"] for row in found if not allowed(row)] == []

    async def test_has_no_triggers(self, owner: asyncpg.Connection) -> None:
        """Triggers do not survive distribution, and they hide the flow."""
        found = await rows(owner, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")

        assert found == []

    async def test_limits_every_text(self, owner: asyncpg.Connection) -> None:
        """Everything that can grow has a limit; a text column has a check that names it."""
        found = await rows(
            owner,
            """
            SELECT t.relname, a.attname
            FROM pg_attribute a
            JOIN pg_class t ON t.oid = a.attrelid
            WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p')
              AND NOT t.relispartition AND a.attnum > 0 AND NOT a.attisdropped
              AND a.atttypid IN ('text'::regtype, 'bytea'::regtype)
              AND t.relname <> 'schema_migrations'
              AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = t.oid
                              AND c.contype IN ('c', 'f') AND a.attnum = ANY (c.conkey))
        """,
        )

        assert [(row["relname"], row["attname"]) for row in found] == []
