-- What the audit reads: everything about a page of accounts, as it stands at one instant.

-- name: audited_accounts(after, chunk)$
-- Name the next accounts in order.
SELECT array_agg(account_id ORDER BY account_id)
FROM (
    SELECT account_id FROM account
    WHERE account_id > :after::text
    ORDER BY account_id
    LIMIT :chunk::bigint
) AS page;

-- name: audited_installations(account_ids)
-- Read where meters hung, and what their dials can show.
SELECT i.meter_id, i.installed_at, i.account_id, i.supply_point_id, i.opening_dm3, i.removed_at,
       i.closing_dm3, i.closing_turns, m.dial_dm3
FROM installation i
JOIN meter m USING (meter_id)
WHERE i.account_id = ANY (:account_ids::text[])
ORDER BY i.account_id, i.meter_id, i.installed_at;

-- name: audited_usages(account_ids)
-- Read the gas that was measured.
SELECT u.meter_id, u.installed_at, u.account_id, u.supply_point_id, u.from_at, u.to_at,
       u.opening_register_dm3, u.opening_turns, u.opening_read_at, u.closing_register_dm3,
       u.closing_turns, u.closing_read_at, u.volume_dm3, u.opening_quality, u.closing_quality,
       e.energy_wh
FROM usage u
LEFT JOIN usage_energy e USING (meter_id, from_at)
WHERE u.account_id = ANY (:account_ids::text[])
ORDER BY u.account_id, u.meter_id, u.from_at;

-- name: audited_tariffs(account_ids)
-- Read with which tariff accounts were opened.
SELECT account_id, tariff_code FROM account WHERE account_id = ANY (:account_ids::text[]);

-- name: audited_terms(account_ids)
-- Read what was said about the terms of accounts.
SELECT account_id, valid_from, revision, tariff_code, persons, social, said_by, said_at
FROM account_terms
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, valid_from, revision;

-- name: audited_revisions(account_ids)
-- Read the gas that was measured anew.
SELECT meter_id, installed_at, account_id, supply_point_id, from_at, to_at, opening_register_dm3,
       opening_turns, opening_read_at, closing_register_dm3, closing_turns, closing_read_at,
       volume_dm3, opening_quality, closing_quality, energy_wh, revision, made_at
FROM usage_revision
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, meter_id, from_at, revision;

-- name: audited_corrections(account_ids)
-- Read which bills were looked at again, and what became of them.
SELECT account_id, period_start, correction_no, corrects_bill_no, outcome, rebill_no, volume_dm3,
       net_minor, vat_minor, made_at
FROM bill_correction
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, period_start, correction_no;

-- name: audited_adjustments(account_ids)
-- Read what was put on later bills for earlier ones, and by which it was taken up.
SELECT a.account_id, a.period_start, a.correction_no, a.vat_rate_bp, a.volume_dm3, a.net_minor,
       a.vat_minor, t.bill_no
FROM adjustment a
LEFT JOIN adjustment_taken t USING (account_id, period_start, correction_no, vat_rate_bp)
WHERE a.account_id = ANY (:account_ids::text[])
ORDER BY a.account_id, a.period_start, a.correction_no, a.vat_rate_bp;

-- name: audited_readings(account_ids)
-- Read the trusted readings that measured gas quotes. A correction counts once bills have been looked
-- at for it; till then the word before it does.
SELECT DISTINCT u.account_id, r.meter_id, r.read_at, coalesce(c.register_dm3, r.register_dm3)
           AS register_dm3, coalesce(c.turns, r.turns) AS turns
FROM usage_now u
CROSS JOIN LATERAL (VALUES (u.opening_read_at), (u.closing_read_at)) AS q (read_at)
JOIN LATERAL (
    SELECT r.meter_id, r.read_at, r.register_dm3, r.turns FROM reading r
    WHERE r.meter_id = u.meter_id AND r.read_at = q.read_at AND r.verdict = 'billable'
    UNION ALL
    SELECT d.meter_id, d.read_at, d.register_dm3, d.turns FROM reading_decision d
    WHERE d.meter_id = u.meter_id AND d.read_at = q.read_at
) AS r ON true
LEFT JOIN LATERAL (
    SELECT c.register_dm3, c.turns FROM reading_correction c
    WHERE c.meter_id = r.meter_id AND c.read_at = r.read_at AND NOT EXISTS (
        SELECT FROM usage_doubt d
        WHERE d.meter_id = c.meter_id AND d.read_at = c.read_at AND d.revision <= c.revision
    )
    ORDER BY c.revision DESC
    LIMIT 1
) AS c ON true
WHERE u.account_id = ANY (:account_ids::text[]);

-- name: audited_bills(account_ids)
-- Read the bills.
SELECT account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
       total_minor, currency, issued_at, due_on, kind, corrects_bill_no
FROM bill
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, bill_no;

-- name: audited_lines(account_ids)
-- Read the lines of the bills.
SELECT account_id, bill_no, line_no, meter_id, supply_point_id, from_at, to_at,
       opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at, volume_dm3,
       tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor,
       band_no, multiplier_bp, energy_wh, net_minor_per_gwh, days, days_of, opening_quality,
       closing_quality
FROM bill_line
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, bill_no, line_no;

-- name: audited_charges(account_ids)
-- Read what the bills ask for besides gas.
SELECT account_id, bill_no, charge_no, kind, from_day, to_day, tariff_code, tariff_valid_from, line_no,
       quantity, detail::text AS detail, vat_rate_bp, net_minor, vat_minor
FROM bill_charge
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, bill_no, charge_no;

-- name: audited_holds(account_ids)
-- Read which months of these accounts are held.
SELECT account_id, period_start FROM bill_hold WHERE account_id = ANY (:account_ids::text[]);

-- name: audited_transfers(account_ids)
-- Read the ledger.
SELECT account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
       posted_at
FROM transfer
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, transfer_id;

-- name: audited_debits(account_ids)
-- Read the debits.
SELECT account_id, bill_no, attempt, mandate_id, state, reason, amount_minor, currency, charge_on,
       idempotency_key, body, body_digest, bank_payment_id, lease_until, sends, first_sent_at,
       changed_at, retry_on, before_chargeback, before_review
FROM debit
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, bill_no, attempt;

-- name: audited_notices(account_ids)
-- Read what residents were told, the last word last.
SELECT account_id, bill_no, attempt, amount_minor, currency, charge_on, noticed_at
FROM notice
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, bill_no, attempt, notice_no;

-- name: audited_mandates(account_ids)
-- Read under which name the bank knows each mandate.
SELECT account_id, mandate_id, bank_mandate_id
FROM mandate
WHERE account_id = ANY (:account_ids::text[]);

-- name: audited_vouchers(account_ids)
-- Read what was granted, and what of it was taken back.
SELECT v.account_id, v.voucher_no, v.source, v.amount_minor, v.currency, v.valid_from, v.valid_to,
       v.entered_by, v.entered_at, r.revoked_by, r.because AS revoked_because, r.revoked_at
FROM voucher v
LEFT JOIN voucher_revocation r USING (account_id, voucher_no)
WHERE v.account_id = ANY (:account_ids::text[])
ORDER BY v.account_id, v.voucher_no;

-- name: audited_disputes(account_ids)
-- Read which bills were in dispute.
SELECT d.account_id, d.bill_no, d.from_day, e.to_day, d.said_at, e.ended_at
FROM bill_dispute d
LEFT JOIN bill_dispute_end e USING (account_id, bill_no, from_day)
WHERE d.account_id = ANY (:account_ids::text[]);

-- name: audited_closings(account_ids)
-- Read how accounts have ended.
SELECT account_id, last_day, registers, because, closed_by, closed_at
FROM account_closing
WHERE account_id = ANY (:account_ids::text[]);

-- name: audited_refunds(account_ids)
-- Read the refunds.
SELECT * FROM refund
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, bill_no, attempt, refund_no;

-- name: audited_money_steps(account_ids)
-- Read when the money of debits came, and when they ended, oldest first.
SELECT account_id, bill_no, attempt, to_state, taken_at
FROM debit_step
WHERE account_id = ANY (:account_ids::text[])
  AND to_state IN (
      'confirmed', 'settled', 'reconciled', 'failed', 'retry_due', 'cancelled', 'charged_back',
      'exhausted'
  )
ORDER BY account_id, bill_no, attempt, step_no;

-- name: audited_messages(account_ids)
-- Read which receipts and corrections residents got, and since when they are told anything.
SELECT account_id, min(queued_at) AS since,
       coalesce(
           array_agg(message_id) FILTER (WHERE kind IN ('receipt', 'correction')), '{}'
       ) AS told
FROM message
WHERE account_id = ANY (:account_ids::text[])
GROUP BY account_id;

-- name: refunds_by_name(account_ids, bill_nos, attempts, refund_nos)
-- Find the refunds that some refunds at the bank name as their orders.
SELECT r.*
FROM unnest(:account_ids::text[], :bill_nos::text[], :attempts::integer[], :refund_nos::integer[])
    AS k (account_id, bill_no, attempt, refund_no)
JOIN refund r USING (account_id, bill_no, attempt, refund_no);

-- name: refunds_at_bank(at, after_account_id, after_bill_no, after_attempt, after_refund_no, chunk)
-- List, in order of key, the refunds that stood at the bank by an instant.
SELECT *
FROM refund
WHERE (account_id, bill_no, attempt, refund_no) > (
        :after_account_id::text, :after_bill_no::text, :after_attempt::integer,
        :after_refund_no::integer
    )
  AND bank_refund_id IS NOT NULL AND changed_at <= :at::timestamptz
ORDER BY account_id, bill_no, attempt, refund_no
LIMIT :chunk::bigint;

-- name: debits_by_key(account_ids, keys)
-- Find the debits that some payments at the bank name as their orders.
SELECT d.account_id, d.bill_no, d.attempt, d.mandate_id, d.state, d.reason, d.amount_minor,
       d.currency, d.charge_on, d.idempotency_key, d.body, d.body_digest, d.bank_payment_id,
       d.lease_until, d.sends, d.first_sent_at, d.changed_at, d.retry_on, d.before_chargeback,
       d.before_review
FROM unnest(:account_ids::text[], :keys::text[]) AS k (account_id, idempotency_key)
JOIN debit d USING (account_id, idempotency_key);

-- name: debits_at_bank(at, after_account_id, after_bill_no, after_attempt, chunk)
-- List, in order of key, the debits that had a payment at the bank by an instant.
SELECT account_id, bill_no, attempt, bank_payment_id
FROM debit
WHERE (account_id, bill_no, attempt)
      > (:after_account_id::text, :after_bill_no::text, :after_attempt::integer)
  AND bank_payment_id IS NOT NULL AND changed_at <= :at::timestamptz
ORDER BY account_id, bill_no, attempt
LIMIT :chunk::bigint;

-- name: installations_without_account()
-- List meters that hang at an account that does not exist, so that nobody is billed for their gas.
SELECT i.meter_id, i.installed_at
FROM installation i
WHERE NOT EXISTS (SELECT FROM account a WHERE a.account_id = i.account_id)
ORDER BY i.meter_id, i.installed_at
LIMIT 1000;
