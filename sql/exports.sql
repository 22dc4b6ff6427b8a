-- What leaves for others: the settlement centre and the accountants. Read under one snapshot.

-- name: plan_for_an_export()!
-- Plan each page for the accounts it names, until the snapshot ends: a plan for any accounts would read
-- whole tables for every page, and one for the few accounts that fresh tables seem to have would
-- compare each of a page with each.
SELECT set_config(setting, value, true)
FROM (VALUES
    ('jit', 'off'), ('plan_cache_mode', 'force_custom_plan'), ('enable_nestloop', 'off')
) AS chosen (setting, value);

-- name: exported_accounts(after, chunk)$
-- Name the next accounts in order.
SELECT array_agg(account_id ORDER BY account_id)
FROM (
    SELECT account_id FROM account
    WHERE account_id > :after::text
    ORDER BY account_id
    LIMIT :chunk::bigint
) AS page;

-- name: settlement_page(account_ids, start_day, end_day, start_at, end_at, at)
-- Read some accounts as the settlement centre sees their month: what moved what they owe is
-- divided into parts that leave nothing out, so that the parts of all accounts are the ledger's.
WITH page AS (
    SELECT account_id, currency FROM account WHERE account_id = ANY (:account_ids::text[])
), bills AS (
    SELECT b.* FROM bill b
    WHERE b.account_id = ANY (:account_ids::text[]) AND b.kind = 'bill' AND b.period_start >= :start_day::date
      AND b.period_start < :end_day::date AND b.issued_at <= :at::timestamptz
), billed AS (
    SELECT account_id, array_agg(bill_no ORDER BY bill_no) AS bill_nos, max(due_on) AS due_on,
           sum(volume_dm3)::bigint AS volume_dm3, sum(net_minor)::bigint AS net_minor,
           sum(vat_minor)::bigint AS vat_minor
    FROM bills GROUP BY account_id
), ends AS (
    SELECT account_id, meter_id, min(l.supply_point_id) AS supply_point_id,
           (array_agg(l.opening_register_dm3 ORDER BY l.from_at, l.line_no))[1] AS opening_dm3,
           (array_agg(l.opening_quality ORDER BY l.from_at, l.line_no))[1] AS opening_quality,
           (array_agg(l.closing_register_dm3 ORDER BY l.to_at DESC, l.line_no DESC))[1] AS closing_dm3,
           (array_agg(l.closing_quality ORDER BY l.to_at DESC, l.line_no DESC))[1] AS closing_quality
    FROM bills JOIN bill_line l USING (account_id, bill_no)
    WHERE l.account_id = ANY (:account_ids::text[])
    GROUP BY account_id, meter_id
), dials AS (
    SELECT account_id, jsonb_agg(jsonb_build_object(
               'meter_id', meter_id, 'opening_dm3', opening_dm3, 'closing_dm3', closing_dm3,
               'opening_quality', opening_quality, 'closing_quality', closing_quality
           ) ORDER BY supply_point_id, meter_id) AS dials
    FROM ends GROUP BY account_id
), parts AS (
    SELECT account_id, 'gas' AS kind, l.tariff_code, l.tariff_valid_from, l.vat_rate_bp,
           l.net_minor, l.vat_minor
    FROM bills JOIN bill_line l USING (account_id, bill_no)
    WHERE l.account_id = ANY (:account_ids::text[])
    UNION ALL
    SELECT account_id, c.kind, c.tariff_code, c.tariff_valid_from, c.vat_rate_bp, c.net_minor,
           c.vat_minor
    FROM bills JOIN bill_charge c USING (account_id, bill_no)
    WHERE c.account_id = ANY (:account_ids::text[])
), kinds AS (
    SELECT account_id, jsonb_object_agg(kind, net_minor) AS net_by_kind
    FROM (SELECT account_id, kind, sum(net_minor) AS net_minor FROM parts GROUP BY 1, 2) AS k
    GROUP BY account_id
), rates AS (
    SELECT account_id, jsonb_agg(jsonb_build_object(
               'rate_bp', vat_rate_bp, 'net_minor', net_minor, 'vat_minor', vat_minor
           ) ORDER BY vat_rate_bp) AS vat
    FROM (
        SELECT account_id, vat_rate_bp, sum(net_minor) AS net_minor, sum(vat_minor) AS vat_minor
        FROM parts GROUP BY 1, 2
    ) AS r
    GROUP BY account_id
), versions AS (
    SELECT account_id,
           array_agg(DISTINCT tariff_code || '@' || tariff_valid_from::text) AS tariffs
    FROM parts WHERE tariff_code IS NOT NULL GROUP BY account_id
), moved AS (
    SELECT t.account_id,
           t.amount_minor * CASE t.debit_code WHEN 'receivable' THEN 1 ELSE -1 END AS moved_minor,
           CASE
               WHEN t.transfer_id LIKE 'bill/%' THEN CASE
                   WHEN b.kind <> 'bill' THEN CASE
                       WHEN b.period_start < :start_day::date AND t.posted_at < :start_at::timestamptz
                           THEN 'opening'
                       ELSE 'recalculated'
                   END
                   WHEN b.period_start < :start_day::date THEN 'opening'
                   WHEN b.period_start < :end_day::date THEN 'charged'
                   ELSE 'charged_later'
               END
               WHEN t.posted_at < :start_at::timestamptz THEN 'opening'
               WHEN ARRAY[
                   'collections_in_transit', 'bank', 'chargebacks_receivable', 'refunds_payable'
               ] && ARRAY[t.debit_code, t.credit_code]
                   THEN CASE WHEN t.posted_at < :end_at::timestamptz THEN 'paid' ELSE 'paid_later' END
               ELSE 'credited'
           END AS part
    FROM transfer t
    JOIN bill b USING (account_id, bill_no)
    WHERE t.account_id = ANY (:account_ids::text[]) AND b.account_id = ANY (:account_ids::text[])
      AND t.phase = 'posted' AND t.posted_at <= :at::timestamptz
      AND 'receivable' IN (t.debit_code, t.credit_code)
), owed AS (
    SELECT account_id,
           coalesce(sum(moved_minor) FILTER (WHERE part = 'opening'), 0)::bigint AS opening_minor,
           coalesce(sum(moved_minor) FILTER (WHERE part = 'charged'), 0)::bigint AS charged_minor,
           coalesce(sum(moved_minor) FILTER (WHERE part = 'recalculated'), 0)::bigint
               AS recalculated_minor,
           coalesce(-sum(moved_minor) FILTER (WHERE part = 'credited'), 0)::bigint AS credited_minor,
           coalesce(-sum(moved_minor) FILTER (WHERE part = 'paid'), 0)::bigint AS paid_minor,
           coalesce(-sum(moved_minor) FILTER (WHERE part = 'paid_later'), 0)::bigint
               AS paid_later_minor,
           coalesce(sum(moved_minor) FILTER (WHERE part = 'charged_later'), 0)::bigint
               AS charged_later_minor,
           sum(moved_minor)::bigint AS to_pay_minor
    FROM moved GROUP BY account_id
)
SELECT page.account_id, page.currency,
       coalesce(versions.tariffs, '{}') AS tariffs,
       coalesce(billed.bill_nos, '{}') AS bill_nos, billed.due_on,
       coalesce(billed.volume_dm3, 0) AS volume_dm3,
       coalesce(dials.dials, '[]')::text AS dials,
       coalesce(kinds.net_by_kind, '{}')::text AS net_by_kind,
       coalesce(rates.vat, '[]')::text AS vat,
       coalesce(billed.net_minor, 0) AS net_minor, coalesce(billed.vat_minor, 0) AS vat_minor,
       coalesce(owed.opening_minor, 0) AS opening_minor,
       coalesce(owed.charged_minor, 0) AS charged_minor,
       coalesce(owed.recalculated_minor, 0) AS recalculated_minor,
       coalesce(owed.credited_minor, 0) AS credited_minor,
       coalesce(owed.paid_minor, 0) AS paid_minor,
       coalesce(owed.paid_later_minor, 0) AS paid_later_minor,
       coalesce(owed.charged_later_minor, 0) AS charged_later_minor,
       coalesce(owed.to_pay_minor, 0) AS to_pay_minor
FROM page
LEFT JOIN billed USING (account_id)
LEFT JOIN dials USING (account_id)
LEFT JOIN kinds USING (account_id)
LEFT JOIN rates USING (account_id)
LEFT JOIN versions USING (account_id)
LEFT JOIN owed USING (account_id)
ORDER BY page.account_id;

-- name: settlement_names(account_ids)
-- Read who lives there, for an export that says why it needs to know.
SELECT account_id, full_name, address FROM person WHERE account_id = ANY (:account_ids::text[]);

-- name: balances(before_at)
-- Add up every account of the ledger before an instant, debits less credits, apart from all else.
SELECT code, currency, sum(moved_minor)::bigint AS balance_minor
FROM (
    SELECT debit_code AS code, currency, amount_minor AS moved_minor
    FROM transfer WHERE phase = 'posted' AND posted_at < :before_at::timestamptz
    UNION ALL
    SELECT credit_code, currency, -amount_minor
    FROM transfer WHERE phase = 'posted' AND posted_at < :before_at::timestamptz
    UNION ALL
    SELECT debit_code, currency, amount_minor FROM town_transfer WHERE posted_at < :before_at::timestamptz
    UNION ALL
    SELECT credit_code, currency, -amount_minor FROM town_transfer WHERE posted_at < :before_at::timestamptz
) AS moved
GROUP BY code, currency
ORDER BY code, currency;

-- name: journal_entries(start_at, end_at)
-- Read every posted transfer between two instants, in the order of posting; those of the town have no
-- account, and what they are about is their reference.
SELECT account_id, transfer_id, debit_code, credit_code, amount_minor, currency,
       account_id || '/' || bill_no AS document, posted_at
FROM transfer
WHERE phase = 'posted' AND posted_at >= :start_at::timestamptz AND posted_at < :end_at::timestamptz
UNION ALL
SELECT '', transfer_id, debit_code, credit_code, amount_minor, currency, reference, posted_at
FROM town_transfer
WHERE posted_at >= :start_at::timestamptz AND posted_at < :end_at::timestamptz
ORDER BY posted_at, account_id, transfer_id;

-- name: note_export(export_id, kind, from_day, to_day, form, rows, purpose, exported_by, exported_at)!
-- Note who took people's names away, and why.
INSERT INTO name_export (
    export_id, kind, from_day, to_day, form, rows, purpose, exported_by, exported_at
) VALUES (
    :export_id::uuid, :kind::text, :from_day::date, :to_day::date, :form::text, :rows::bigint,
    :purpose::text, :exported_by::text, :exported_at::timestamptz
);

-- name: noted_exports(before_at, before_id, page)
-- List who took people's names away, the newest first.
SELECT export_id, kind, from_day, to_day, form, rows, purpose, exported_by, exported_at
FROM name_export
WHERE (exported_at, export_id) < (:before_at::timestamptz, :before_id::uuid)
ORDER BY exported_at DESC, export_id DESC
LIMIT :page::bigint;
