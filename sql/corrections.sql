-- Correcting bills that were issued: who must be looked at, what is known of them, what is written.
-- A look costs by what was said later and by what was estimated, never by how many bills there are.

-- name: accounts_to_correct(after, since, at, chunk)$
-- Name, in order, the next accounts with a register or terms that bills quote otherwise.
SELECT array_agg(account_id ORDER BY account_id)
FROM (
    SELECT account_id
    FROM (
        SELECT i.account_id
        FROM usage_doubt d
        JOIN installation i ON i.meter_id = d.meter_id AND i.installed_at <= d.read_at
            AND (i.removed_at IS NULL OR i.removed_at > d.read_at)
        UNION
        SELECT e.account_id
        FROM estimate_sighting e
        WHERE e.period_start >= :since::date AND (
            e.near_read_at IS NOT NULL
            OR (e.low_turns, e.low_dm3) > (e.turns, e.register_dm3)
            OR (e.high_turns, e.high_dm3) < (e.turns, e.register_dm3)
        )
        UNION
        SELECT t.account_id
        FROM account_terms t
        JOIN bill b ON b.account_id = t.account_id AND b.period_end > t.valid_from
            AND b.period_start >= :since::date AND b.revision = 1 AND b.issued_at < t.said_at
        WHERE t.said_at <= :at::timestamptz AND t.said_at >= :since::date
          AND NOT EXISTS (
              SELECT FROM bill_correction c
              WHERE c.account_id = b.account_id AND c.period_start = b.period_start
                AND c.made_at >= t.said_at
          )
    ) AS found
    WHERE account_id > :after::text
    ORDER BY account_id
    LIMIT :chunk::bigint
) AS page;

-- name: lock_installations(account_ids)!
-- Keep the run from measuring these accounts' meters until the commit.
SELECT FROM installation
WHERE account_id = ANY (:account_ids::text[])
ORDER BY meter_id, installed_at
FOR NO KEY UPDATE;

-- name: lock_accounts(account_ids)!
-- Keep the run from issuing bills to these accounts until the commit.
SELECT FROM account
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id
FOR NO KEY UPDATE;

-- name: accounts(account_ids)
-- Read how accounts are billed, and when something was last written about their bills.
SELECT a.account_id, a.tariff_code, a.currency, greatest(
           (SELECT max(b.issued_at) FROM bill b WHERE b.account_id = a.account_id),
           (SELECT max(r.made_at) FROM usage_revision r WHERE r.account_id = a.account_id)
       ) AS written_at
FROM account a
WHERE a.account_id = ANY (:account_ids::text[])
ORDER BY a.account_id;

-- name: stays(account_ids)
-- Read where meters of these accounts hung, and what their dials can show.
SELECT i.meter_id, i.installed_at, i.account_id, i.supply_point_id, i.opening_dm3, i.removed_at,
       i.closing_dm3, i.closing_turns, m.dial_dm3
FROM installation i
JOIN meter m USING (meter_id)
WHERE i.account_id = ANY (:account_ids::text[])
ORDER BY i.meter_id, i.installed_at;

-- name: gas_now(account_ids)
-- Read the gas of these accounts as it holds now.
SELECT u.period_start, u.meter_id, u.installed_at, u.account_id, u.supply_point_id, u.from_at,
       u.to_at, u.opening_register_dm3, u.opening_turns, u.opening_read_at, u.closing_register_dm3,
       u.closing_turns, u.closing_read_at, u.volume_dm3, u.opening_quality, u.closing_quality,
       u.energy_wh, u.revision
FROM usage_now u
WHERE u.account_id = ANY (:account_ids::text[])
ORDER BY u.meter_id, u.from_at;

-- name: corrected_readings(meter_ids)
-- Read what people said later about registers of these meters, the last word on each.
SELECT DISTINCT ON (c.meter_id, c.read_at)
       c.meter_id, c.read_at, c.revision, c.register_dm3, c.turns, c.fault, c.decided_by, c.because,
       c.decided_at
FROM reading_correction c
WHERE c.meter_id = ANY (:meter_ids::text[])
ORDER BY c.meter_id, c.read_at, c.revision DESC;

-- name: sightings(account_ids)
-- Read what was seen around the estimated registers of these accounts.
SELECT meter_id, installed_at, to_at, near_read_at, near_dm3, near_turns, low_read_at, low_dm3,
       low_turns, high_read_at, high_dm3, high_turns
FROM estimate_sighting
WHERE account_id = ANY (:account_ids::text[]);

-- name: terms(account_ids, at)
-- Read what was said about the terms of these accounts.
SELECT account_id, valid_from, revision, tariff_code, persons, social, said_by, said_at
FROM account_terms
WHERE account_id = ANY (:account_ids::text[]) AND said_at <= :at::timestamptz
ORDER BY account_id, valid_from, revision;

-- name: months_of_other_terms(account_ids, since, at)
-- Name the months that were billed before something was said about their terms.
SELECT DISTINCT b.account_id, b.period_start
FROM account_terms t
JOIN bill b ON b.account_id = t.account_id AND b.period_end > t.valid_from
    AND b.period_start >= :since::date AND b.revision = 1 AND b.issued_at < t.said_at
WHERE t.account_id = ANY (:account_ids::text[]) AND t.said_at <= :at::timestamptz
  AND NOT EXISTS (
      SELECT FROM bill_correction c
      WHERE c.account_id = b.account_id AND c.period_start = b.period_start
        AND c.made_at >= t.said_at
  );

-- name: bills_in_force(account_ids, period_starts)
-- Read the bills in force of some months, with the highest revision and correction of each.
SELECT b.account_id, b.bill_no, b.period_start, b.period_end, b.revision, b.volume_dm3, b.net_minor,
       b.vat_minor, b.total_minor, b.currency, b.issued_at, b.due_on, b.kind, b.corrects_bill_no, (
           SELECT max(h.revision) FROM bill h
           WHERE h.account_id = b.account_id AND h.period_start = b.period_start
       ) AS revision_max, coalesce((
           SELECT max(c.correction_no) FROM bill_correction c
           WHERE c.account_id = b.account_id AND c.period_start = b.period_start
       ), 0) AS correction_max
FROM unnest(:account_ids::text[], :period_starts::date[]) AS k (account_id, period_start)
CROSS JOIN LATERAL (
    SELECT b.* FROM bill b
    WHERE b.account_id = k.account_id AND b.period_start = k.period_start
      AND b.kind <> 'cancellation'
    ORDER BY b.revision DESC
    LIMIT 1
) AS b;

-- name: lines_of_bills(account_ids, bill_nos)
-- Read the lines of some bills.
SELECT l.account_id, l.bill_no, l.line_no, l.meter_id, l.supply_point_id, l.from_at, l.to_at,
       l.opening_register_dm3, l.opening_read_at, l.closing_register_dm3, l.closing_read_at,
       l.volume_dm3, l.tariff_code, l.tariff_valid_from, l.net_minor_per_1000_m3, l.vat_rate_bp,
       l.net_minor, l.vat_minor, l.band_no, l.multiplier_bp, l.energy_wh, l.net_minor_per_gwh, l.days,
       l.days_of, l.opening_quality, l.closing_quality
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill_line l USING (account_id, bill_no)
ORDER BY l.account_id, l.bill_no, l.line_no;

-- name: charges_of_bills(account_ids, bill_nos)
-- Read the charges of some bills.
SELECT c.account_id, c.bill_no, c.charge_no, c.kind, c.from_day, c.to_day, c.tariff_code,
       c.tariff_valid_from, c.line_no, c.quantity, c.detail::text AS detail, c.vat_rate_bp,
       c.net_minor, c.vat_minor
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN bill_charge c USING (account_id, bill_no)
ORDER BY c.account_id, c.bill_no, c.charge_no;

-- name: adjustments_that_stand(account_ids, period_starts)
-- Read the adjustments of some months that no rebill has taken back.
SELECT a.account_id, a.period_start, a.correction_no, a.vat_rate_bp, a.volume_dm3, a.net_minor,
       a.vat_minor, t.bill_no
FROM unnest(:account_ids::text[], :period_starts::date[]) AS k (account_id, period_start)
JOIN adjustment a USING (account_id, period_start)
LEFT JOIN adjustment_taken t USING (account_id, period_start, correction_no, vat_rate_bp)
WHERE NOT EXISTS (
    SELECT FROM bill_correction c
    WHERE c.account_id = a.account_id AND c.period_start = a.period_start
      AND c.correction_no > a.correction_no AND c.outcome = 'rebill'
)
ORDER BY a.account_id, a.period_start, a.correction_no, a.vat_rate_bp;

-- name: debits_of_bills(account_ids, bill_nos)
-- Lock the debits of some bills that may still take money.
SELECT d.*
FROM unnest(:account_ids::text[], :bill_nos::text[]) AS k (account_id, bill_no)
JOIN debit d USING (account_id, bill_no)
WHERE d.state NOT IN ('failed', 'retry_due', 'cancelled', 'charged_back', 'exhausted')
ORDER BY d.account_id, d.bill_no, d.attempt
FOR UPDATE OF d;

-- name: lock_mandates(account_ids)!
-- Keep debits of these accounts from being announced or recorded until the commit.
SELECT FROM mandate
WHERE account_id = ANY (:account_ids::text[])
ORDER BY account_id, mandate_id
FOR UPDATE;

-- name: insert_revisions(rows)!
-- Write gas that was measured anew; "rows" is JSON.
INSERT INTO usage_revision (
    meter_id, from_at, revision, to_at, period_start, installed_at, account_id, supply_point_id,
    opening_register_dm3, opening_turns, opening_read_at, closing_register_dm3, closing_turns,
    closing_read_at, volume_dm3, opening_quality, closing_quality, energy_wh, because, made_at
)
SELECT meter_id, from_at, revision, to_at, period_start, installed_at, account_id, supply_point_id,
       opening_register_dm3, opening_turns, opening_read_at, closing_register_dm3, closing_turns,
       closing_read_at, volume_dm3, opening_quality, closing_quality, energy_wh, because, made_at
FROM jsonb_populate_recordset(NULL::usage_revision, :rows::jsonb);

-- name: insert_bills(bills, lines, charges)!
-- Write cancellations and what takes the place of the bills; all three are JSON.
WITH written AS (
    INSERT INTO bill (
        account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
        total_minor, currency, issued_at, due_on, kind, corrects_bill_no
    )
    SELECT account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
           total_minor, currency, issued_at, due_on, kind, corrects_bill_no
    FROM jsonb_populate_recordset(NULL::bill, :bills::jsonb)
),
lined AS (
    INSERT INTO bill_line (
        account_id, bill_no, line_no, meter_id, supply_point_id, from_at, to_at,
        opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at, volume_dm3,
        tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor,
        band_no, multiplier_bp, energy_wh, net_minor_per_gwh, days, days_of, opening_quality,
        closing_quality
    )
    SELECT account_id, bill_no, line_no, meter_id, supply_point_id, from_at, to_at,
           opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at, volume_dm3,
           tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor,
           band_no, multiplier_bp, energy_wh, net_minor_per_gwh, days, days_of, opening_quality,
           closing_quality
    FROM jsonb_populate_recordset(NULL::bill_line, :lines::jsonb)
)
INSERT INTO bill_charge (
    account_id, bill_no, charge_no, kind, from_day, to_day, tariff_code, tariff_valid_from, line_no,
    quantity, detail, vat_rate_bp, net_minor, vat_minor
)
SELECT account_id, bill_no, charge_no, kind, from_day, to_day, tariff_code, tariff_valid_from, line_no,
       quantity, detail, vat_rate_bp, net_minor, vat_minor
FROM jsonb_populate_recordset(NULL::bill_charge, :charges::jsonb);

-- name: insert_correction(account_id, period_start, correction_no, corrects_bill_no, outcome, rebill_no, volume_dm3, net_minor, vat_minor, causes, difference, made_at)!
-- Keep that a bill was looked at again, and what became of it.
INSERT INTO bill_correction (
    account_id, period_start, correction_no, corrects_bill_no, outcome, rebill_no, volume_dm3,
    net_minor, vat_minor, causes, difference, made_at
)
VALUES (
    :account_id, :period_start, :correction_no, :corrects_bill_no, :outcome, :rebill_no, :volume_dm3,
    :net_minor, :vat_minor, :causes::jsonb, :difference::jsonb, :made_at
);

-- name: insert_adjustments(account_id, period_start, correction_no, vat_rates, volumes, nets, vats, made_at)!
-- Keep what the next bill of an account carries for an earlier one.
INSERT INTO adjustment (
    account_id, period_start, correction_no, vat_rate_bp, volume_dm3, net_minor, vat_minor, made_at
)
SELECT :account_id, :period_start, :correction_no, a.vat_rate_bp, a.volume_dm3, a.net_minor,
       a.vat_minor, :made_at::timestamptz
FROM unnest(:vat_rates::integer[], :volumes::bigint[], :nets::bigint[], :vats::bigint[])
    AS a (vat_rate_bp, volume_dm3, net_minor, vat_minor);

-- name: withdraw_adjustments(account_id, period_start, bill_no)!
-- Let a rebill take up what waited for the next bill, so that no bill carries it.
INSERT INTO adjustment_taken (account_id, period_start, correction_no, vat_rate_bp, bill_no)
SELECT a.account_id, a.period_start, a.correction_no, a.vat_rate_bp, :bill_no::text
FROM adjustment a
WHERE a.account_id = :account_id AND a.period_start = :period_start
  AND NOT EXISTS (
      SELECT FROM adjustment_taken t
      WHERE t.account_id = a.account_id AND t.period_start = a.period_start
        AND t.correction_no = a.correction_no AND t.vat_rate_bp = a.vat_rate_bp
  );

-- name: drop_doubts(meter_ids, read_ats, revisions)!
-- Forget the doubts that these corrections of registers left.
DELETE FROM usage_doubt d
USING unnest(:meter_ids::text[], :read_ats::timestamptz[], :revisions::integer[])
    AS k (meter_id, read_at, revision)
WHERE d.meter_id = k.meter_id AND d.read_at = k.read_at AND d.revision <= k.revision;

-- name: accounts_with_credit(after, chunk)$
-- Name, in order, the next accounts with credit, or whose bills out of force owe again, or ask less
-- than nothing.
WITH found AS (
    SELECT c.account_id
    FROM (
        SELECT t.account_id,
               sum(CASE 'resident_credit' WHEN t.credit_code THEN t.amount_minor
                                          ELSE -t.amount_minor END) AS credit_minor
        FROM transfer t
        WHERE t.credit_code = 'resident_credit' OR t.debit_code = 'resident_credit'
        GROUP BY t.account_id
    ) AS c
    WHERE c.credit_minor <> 0 OR EXISTS (
        SELECT
        FROM bill d
        CROSS JOIN LATERAL (
            SELECT b.bill_no FROM bill b
            WHERE b.account_id = d.account_id AND b.bill_no IN (d.bill_no, d.corrects_bill_no)
        ) AS b
        WHERE d.account_id = c.account_id AND d.corrects_bill_no IS NOT NULL
          AND d.kind = 'cancellation' AND (
              SELECT sum(CASE 'receivable' WHEN t.debit_code THEN t.amount_minor
                                           WHEN t.credit_code THEN -t.amount_minor END)
              FROM transfer t
              WHERE t.account_id = d.account_id AND t.bill_no = b.bill_no AND t.phase = 'posted'
          ) <> 0
    )
    UNION
    SELECT a.account_id
    FROM adjustment_taken a
    WHERE (
        SELECT sum(CASE 'receivable' WHEN t.debit_code THEN t.amount_minor
                                     WHEN t.credit_code THEN -t.amount_minor END)
        FROM transfer t
        WHERE t.account_id = a.account_id AND t.bill_no = a.bill_no AND t.phase = 'posted'
    ) < 0
)
SELECT array_agg(account_id ORDER BY account_id)
FROM (
    SELECT account_id FROM found WHERE account_id > :after::text ORDER BY account_id
    LIMIT :chunk::bigint
) AS page;

-- name: owing(account_ids)
-- Read what each bill of some accounts owes, whose place it takes, and what of credit moved on it.
SELECT b.account_id, b.bill_no, b.due_on, b.currency, b.kind, h.bill_no AS heir,
       coalesce(o.owed_minor, 0)::bigint AS owed_minor, coalesce(o.moves, 0) AS moves,
       coalesce(o.credit_minor, 0)::bigint AS credit_minor, EXISTS (
           SELECT FROM debit d
           WHERE d.account_id = b.account_id AND d.bill_no = b.bill_no
             AND d.state IN (
                 'recorded', 'sending', 'unknown', 'accepted', 'cancel_requested', 'submitted',
                 'review'
             )
       ) AS busy
FROM bill b
CROSS JOIN LATERAL (
    SELECT h.bill_no FROM bill h
    WHERE h.account_id = b.account_id AND h.period_start = b.period_start
      AND h.kind <> 'cancellation'
    ORDER BY h.revision DESC
    LIMIT 1
) AS h
CROSS JOIN LATERAL (
    SELECT sum(CASE 'receivable' WHEN t.debit_code THEN t.amount_minor
                                 WHEN t.credit_code THEN -t.amount_minor END) AS owed_minor,
           sum(CASE 'resident_credit' WHEN t.credit_code THEN t.amount_minor
                                      WHEN t.debit_code THEN -t.amount_minor END) AS credit_minor,
           count(*) FILTER (WHERE 'resident_credit' IN (t.debit_code, t.credit_code)) AS moves
    FROM transfer t
    WHERE t.account_id = b.account_id AND t.bill_no = b.bill_no AND t.phase = 'posted'
) AS o
WHERE b.account_id = ANY (:account_ids::text[])
ORDER BY b.account_id, b.due_on, b.bill_no;

-- name: looks_at_bill(account_id, bill_no)
-- List every look at a bill and at those before and after it in its month, the newest first.
SELECT c.correction_no, c.corrects_bill_no, c.outcome, c.rebill_no, c.volume_dm3, c.net_minor,
       c.vat_minor, c.causes::text AS causes, c.difference::text AS difference, c.made_at, (
           SELECT d.bill_no FROM bill d
           WHERE d.account_id = c.account_id AND d.corrects_bill_no = c.corrects_bill_no
             AND d.kind = 'cancellation' AND c.outcome = 'rebill'
       ) AS cancellation_bill_no, ARRAY(
           SELECT DISTINCT t.bill_no FROM adjustment_taken t
           WHERE t.account_id = c.account_id AND t.period_start = c.period_start
             AND t.correction_no = c.correction_no
           ORDER BY t.bill_no
       ) AS adjusted_on
FROM bill b
JOIN bill_correction c USING (account_id, period_start)
WHERE b.account_id = :account_id AND b.bill_no = :bill_no
ORDER BY c.correction_no DESC;

-- name: bill_in_force(account_id, bill_no)$
-- Say which bill holds now for the month of a bill.
SELECT h.bill_no
FROM bill b
JOIN bill h USING (account_id, period_start)
WHERE b.account_id = :account_id AND b.bill_no = :bill_no AND h.kind <> 'cancellation'
ORDER BY h.revision DESC
LIMIT 1;

-- name: credit_of_account(account_id)^
-- Sum up the credit of an account, and what waits to be sent back.
SELECT a.currency, coalesce(sum(CASE 'resident_credit'
           WHEN t.credit_code THEN t.amount_minor WHEN t.debit_code THEN -t.amount_minor END
       ), 0)::bigint AS credit_minor, coalesce(sum(CASE 'refund_due'
           WHEN t.credit_code THEN t.amount_minor WHEN t.debit_code THEN -t.amount_minor END
       ), 0)::bigint AS refund_due_minor
FROM account a
LEFT JOIN transfer t ON t.account_id = a.account_id AND t.phase = 'posted' AND (
    t.credit_code IN ('resident_credit', 'refund_due')
    OR t.debit_code IN ('resident_credit', 'refund_due')
)
WHERE a.account_id = :account_id
GROUP BY a.account_id;

-- name: list_corrections(period_start, after, chunk)
-- List the last look at each bill of a period, in order of account.
SELECT DISTINCT ON (c.account_id)
       c.account_id, c.corrects_bill_no, c.outcome, c.rebill_no, c.volume_dm3, c.net_minor,
       c.vat_minor, c.made_at
FROM bill_correction c
WHERE c.period_start = :period_start AND c.account_id > :after::text
ORDER BY c.account_id, c.correction_no DESC
LIMIT :chunk::bigint;

-- name: list_refunds(after, chunk)
-- List what waits to be sent back, in order of account.
SELECT t.account_id, t.currency, min(t.posted_at) AS since,
       sum(CASE t.credit_code WHEN 'refund_due' THEN t.amount_minor ELSE -t.amount_minor END)::bigint
           AS amount_minor
FROM transfer t
WHERE (t.credit_code = 'refund_due' OR t.debit_code = 'refund_due') AND t.account_id > :after::text
GROUP BY t.account_id, t.currency
HAVING sum(CASE t.credit_code WHEN 'refund_due' THEN t.amount_minor ELSE -t.amount_minor END) > 0
ORDER BY t.account_id
LIMIT :chunk::bigint;
