-- The second half of the billing run, and everything else we ask about prices, bills and the
-- ledger. Integers only: q * price + round(r * price) with volume = q * 1000000 + r never leaves 64
-- bits for a volume below 9e15 dm3 and the highest price the schema takes.

-- name: lock_prices()!
-- Hold the prices still until the commit: a tariff that ends waits for the chunk, or it for that.
SELECT pg_advisory_xact_lock_shared(hashtextextended('billing.prices', 0));

-- name: lock_prices_for_change()!
-- Wait until no chunk of a run uses the prices, and keep them from starting until the commit.
SELECT pg_advisory_xact_lock(hashtextextended('billing.prices', 0));

-- name: claim_accounts(period_start, start_at, end_at, after, chunk)$
-- Lock, in order of key, the next accounts that had a meter in a period and have no bill for it.
WITH claimed AS (
    SELECT a.account_id
    FROM account a
    WHERE a.account_id > :after::text
      AND NOT EXISTS (
          SELECT FROM bill b
          WHERE b.account_id = a.account_id AND b.period_start = :period_start::date
            AND b.revision = 1
      )
      AND EXISTS (
          SELECT FROM installation i
          WHERE i.account_id = a.account_id AND i.installed_at < :end_at::timestamptz
            AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
      )
    ORDER BY a.account_id
    LIMIT :chunk::bigint
    FOR NO KEY UPDATE OF a
)
SELECT array_agg(account_id ORDER BY account_id) FROM claimed;

-- name: issue_bills(account_ids, period_start, period_end, start_at, end_at, bill_no, due_on, at, price_codes, price_days, price_currencies, price_froms, price_tos, prices, price_vats)^
-- Issue, with lines and transfers, the first bills of locked accounts, or note what holds them.
WITH price AS MATERIALIZED (
    SELECT *
    FROM unnest(
        :price_codes::text[], :price_days::date[], :price_currencies::text[],
        :price_froms::timestamptz[], :price_tos::timestamptz[], :prices::bigint[],
        :price_vats::integer[]
    ) AS p (tariff_code, valid_from, currency, from_at, to_at, net_minor_per_1000_m3, vat_rate_bp)
),
-- Measuring notes both ends of a period; what is not measured and not noted lacks one inside. A
-- finding that is held since the gas was measured holds the bill too.
chosen AS MATERIALIZED (
    SELECT a.*
    FROM unnest(:account_ids::text[]) AS k (account_id)
    CROSS JOIN LATERAL (
        SELECT a.account_id, a.tariff_code, a.currency, lacking.meter_id AS lacking_meter_id,
               lacking.reason
        FROM account a
        LEFT JOIN LATERAL (
            SELECT i.meter_id, CASE
                       WHEN w.waits THEN 'held_finding'
                       ELSE coalesce(g.reason, 'no_register_at_price_change')
                   END AS reason
            FROM installation i
            CROSS JOIN LATERAL (
                SELECT EXISTS (
                    SELECT FROM held_period h
                    WHERE h.meter_id = i.meter_id AND h.installed_at = i.installed_at
                      AND h.period_start = :period_start::date
                ) OR EXISTS (
                    SELECT FROM held_reading h
                    WHERE h.meter_id = i.meter_id
                      AND h.read_at >= greatest(i.installed_at, :start_at::timestamptz)
                      AND h.read_at < least(i.removed_at, :end_at::timestamptz)
                ) AS waits
            ) AS w
            LEFT JOIN usage_gap g ON g.meter_id = i.meter_id AND g.installed_at = i.installed_at
                AND g.period_start = :period_start::date
            WHERE i.account_id = a.account_id AND i.installed_at < :end_at::timestamptz
              AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
              AND (w.waits OR NOT EXISTS (
                  SELECT FROM usage u
                  WHERE u.meter_id = i.meter_id
                    AND u.from_at = greatest(i.installed_at, :start_at::timestamptz)
              ))
            ORDER BY i.meter_id, i.installed_at
            LIMIT 1
        ) AS lacking ON true
        WHERE a.account_id = k.account_id
          AND NOT EXISTS (
              SELECT FROM bill b
              WHERE b.account_id = a.account_id AND b.period_start = :period_start::date
                AND b.revision = 1
          )
        LIMIT 1
    ) AS a
),
priced AS (
    SELECT c.*, u.meter_id, u.supply_point_id, u.from_at, u.to_at, u.opening_register_dm3,
           u.opening_read_at, u.closing_register_dm3, u.closing_read_at, u.volume_dm3,
           p.valid_from, p.net_minor_per_1000_m3, p.vat_rate_bp,
           u.volume_dm3 / 1000000 * p.net_minor_per_1000_m3
               + (u.volume_dm3 % 1000000 * p.net_minor_per_1000_m3 + 500000) / 1000000 AS net_minor
    FROM chosen c
    CROSS JOIN LATERAL (
        SELECT u.* FROM usage u
        WHERE u.account_id = c.account_id AND u.period_start = :period_start::date
        OFFSET 0
    ) AS u
    LEFT JOIN LATERAL (
        SELECT p.* FROM price p
        WHERE p.tariff_code = c.tariff_code AND p.currency = c.currency
          AND p.from_at <= u.from_at AND p.to_at >= u.to_at
        LIMIT 1
    ) AS p ON true
),
line AS MATERIALIZED (
    SELECT p.*, p.net_minor / 10000 * p.vat_rate_bp
               + (p.net_minor % 10000 * p.vat_rate_bp + 5000) / 10000 AS vat_minor,
           row_number() OVER (
               PARTITION BY p.account_id ORDER BY p.supply_point_id, p.from_at, p.meter_id
           ) AS line_no,
           p.reason IS NULL
               AND bool_and(p.valid_from IS NOT NULL) OVER (PARTITION BY p.account_id) AS ready
    FROM priced p
),
-- Prices that cover the whole stretch but change inside it want a register there; else one lacks.
problem AS MATERIALIZED (
    SELECT c.account_id, c.lacking_meter_id AS meter_id, c.reason
    FROM chosen c
    WHERE c.reason IS NOT NULL
    UNION ALL
    SELECT DISTINCT ON (l.account_id) l.account_id, l.meter_id, CASE
        WHEN (
            SELECT sum(least(p.to_at, l.to_at) - greatest(p.from_at, l.from_at))
            FROM price p
            WHERE p.tariff_code = l.tariff_code AND p.currency = l.currency
              AND p.from_at < l.to_at AND p.to_at > l.from_at
        ) = l.to_at - l.from_at THEN 'no_register_at_price_change'
        ELSE 'no_price'
    END
    FROM line l
    WHERE l.reason IS NULL AND l.valid_from IS NULL
    ORDER BY account_id, meter_id
),
issued AS (
    INSERT INTO bill (
        account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
        total_minor, currency, issued_at, due_on
    )
    SELECT l.account_id, :bill_no::text, :period_start::date, :period_end::date, 1,
           sum(l.volume_dm3)::bigint, sum(l.net_minor)::bigint, sum(l.vat_minor)::bigint,
           (sum(l.net_minor) + sum(l.vat_minor))::bigint, l.currency, :at::timestamptz, :due_on::date
    FROM line l
    WHERE l.ready
    GROUP BY l.account_id, l.currency
    ORDER BY l.account_id
    RETURNING account_id, volume_dm3, net_minor, vat_minor, currency
),
lined AS (
    INSERT INTO bill_line (
        account_id, bill_no, line_no, meter_id, supply_point_id, from_at, to_at,
        opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at, volume_dm3,
        tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor
    )
    SELECT l.account_id, :bill_no::text, l.line_no, l.meter_id, l.supply_point_id, l.from_at,
           l.to_at, l.opening_register_dm3, l.opening_read_at, l.closing_register_dm3,
           l.closing_read_at, l.volume_dm3, l.tariff_code, l.valid_from, l.net_minor_per_1000_m3,
           l.vat_rate_bp, l.net_minor, l.vat_minor
    FROM line l
    WHERE l.ready
    RETURNING 1
),
moved AS (
    INSERT INTO transfer (
        account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
        posted_at
    )
    SELECT i.account_id, 'bill/' || :bill_no::text || '/' || part.name, 'posted', 'receivable',
           part.credit_code, part.amount_minor, i.currency, :bill_no::text, :at::timestamptz
    FROM issued i
    CROSS JOIN LATERAL (
        VALUES ('net', 'revenue', i.net_minor), ('vat', 'vat', i.vat_minor)
    ) AS part (name, credit_code, amount_minor)
    WHERE part.amount_minor > 0
),
held AS (
    INSERT INTO bill_hold (account_id, period_start, reason, meter_id, noted_at)
    SELECT account_id, :period_start::date, reason, meter_id, :at::timestamptz
    FROM problem
    ORDER BY account_id
    ON CONFLICT (account_id, period_start) DO UPDATE
        SET reason = excluded.reason, noted_at = excluded.noted_at
        WHERE bill_hold.meter_id = excluded.meter_id AND bill_hold.reason <> excluded.reason
)
SELECT count(*) AS billed,
       coalesce(sum(volume_dm3), 0)::bigint AS volume_dm3,
       coalesce(sum(net_minor + vat_minor), 0)::bigint AS total_minor,
       (SELECT count(*) FROM lined) AS lines,
       (SELECT count(*) FROM problem) AS held
FROM issued;

-- name: release_holds(account_ids, period_start)!
-- Take away the holds of accounts that have their bill now.
DELETE FROM bill_hold h
WHERE h.account_id = ANY (:account_ids::text[]) AND h.period_start = :period_start::date
  AND EXISTS (
      SELECT FROM bill b WHERE b.account_id = h.account_id AND b.period_start = h.period_start
  );

-- name: drop_answered_holds(period_start, start_at, end_at)!
-- Forget the holds of accounts that were billed, of meters measured or decided on since, and of
-- nothing to bill.
DELETE FROM bill_hold h
WHERE h.period_start = :period_start::date
  AND (
      EXISTS (
          SELECT FROM bill b
          WHERE b.account_id = h.account_id AND b.period_start = h.period_start
      )
      OR h.reason IN ('no_opening_register', 'no_closing_register') AND EXISTS (
          SELECT FROM usage u
          WHERE u.account_id = h.account_id AND u.period_start = h.period_start
            AND u.meter_id = h.meter_id
      )
      OR h.reason = 'held_finding' AND NOT EXISTS (
          SELECT FROM installation i
          WHERE i.account_id = h.account_id AND i.meter_id = h.meter_id
            AND i.installed_at < :end_at::timestamptz
            AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
            AND (EXISTS (
                SELECT FROM held_period w
                WHERE w.meter_id = i.meter_id AND w.installed_at = i.installed_at
                  AND w.period_start = h.period_start
            ) OR EXISTS (
                SELECT FROM held_reading w
                WHERE w.meter_id = i.meter_id
                  AND w.read_at >= greatest(i.installed_at, :start_at::timestamptz)
                  AND w.read_at < least(i.removed_at, :end_at::timestamptz)
            ))
      )
      OR NOT EXISTS (
          SELECT FROM installation i
          WHERE i.account_id = h.account_id AND i.installed_at < :end_at::timestamptz
            AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
      )
  );

-- name: first_installed_at()$
-- Say when the first meter was hung up: no period before it can have a bill.
SELECT min(installed_at) FROM installation;

-- name: periods_with_questions()
-- List the starts of periods that wait for a register, a price or a person.
SELECT period_start FROM bill_hold UNION SELECT period_start FROM usage_gap;

-- name: periods_without_bills(period_starts)
-- List which of these periods have no bill at all.
SELECT p.period_start
FROM unnest(:period_starts::date[]) AS p (period_start)
WHERE NOT EXISTS (SELECT FROM bill b WHERE b.period_start = p.period_start);

-- name: list_tariffs()
-- List every version of every tariff.
SELECT tariff_code, valid_from, valid_to, net_minor_per_1000_m3, currency, approved_by
FROM tariff
ORDER BY tariff_code, valid_from;

-- name: list_vat_rates()
-- List the VAT rates in the order they came into force.
SELECT valid_from, rate_bp FROM vat_rate ORDER BY valid_from;

-- name: add_tariff(tariff_code, valid_from, valid_to, net_minor_per_1000_m3, currency, approved_by)!
-- Add one version of a tariff; the schema refuses two prices for one day.
INSERT INTO tariff (
    tariff_code, valid_from, valid_to, net_minor_per_1000_m3, currency, approved_by
)
VALUES (
    :tariff_code, :valid_from, :valid_to, :net_minor_per_1000_m3, :currency, :approved_by
);

-- name: tariff_billed_after(tariff_code, valid_to, ends_at)$
-- Say whether any line was billed with this tariff for time after the given instant.
SELECT EXISTS (
    SELECT
    FROM bill b
    JOIN bill_line l USING (account_id, bill_no)
    WHERE b.period_end > :valid_to::date
      AND l.tariff_code = :tariff_code AND l.to_at > :ends_at::timestamptz
);

-- name: end_tariff(tariff_code, valid_to)$
-- Close the open version of a tariff and return the day it began.
UPDATE tariff SET valid_to = :valid_to::date
WHERE tariff_code = :tariff_code AND valid_to IS NULL AND valid_from < :valid_to::date
RETURNING valid_from;

-- name: find_bills(account_id, bill_nos)
-- Read bills of one account by their numbers.
SELECT account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
       total_minor, currency, issued_at, due_on
FROM bill
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY period_start DESC, revision DESC;

-- name: list_bills(account_id, before, chunk)
-- List bills of one account, newest first, older than the bill named.
SELECT account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
       total_minor, currency, issued_at, due_on
FROM bill
WHERE account_id = :account_id
  AND (
      :before::text IS NULL
      OR (period_start, revision) < (
          SELECT b.period_start, b.revision FROM bill b
          WHERE b.account_id = :account_id AND b.bill_no = :before::text
      )
  )
ORDER BY period_start DESC, revision DESC
LIMIT :chunk::bigint;

-- name: list_bill_lines(account_id, bill_nos)
-- Read the lines of some bills of one account.
SELECT bill_no, line_no, meter_id, supply_point_id, from_at, to_at, opening_register_dm3,
       opening_read_at, closing_register_dm3, closing_read_at, volume_dm3, tariff_code,
       tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor
FROM bill_line
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY bill_no, line_no;

-- name: list_holds(period_start, after, chunk)
-- List what holds the bills of a period, in order of account.
SELECT account_id, period_start, reason, meter_id, noted_at
FROM bill_hold
WHERE period_start = :period_start::date AND account_id > :after::text
ORDER BY account_id
LIMIT :chunk::bigint;

-- name: owed_of_bills(account_id, bill_nos)
-- Sum up what posted transfers leave to pay on each of these bills.
SELECT bill_no,
       sum(CASE WHEN debit_code = 'receivable' THEN amount_minor ELSE -amount_minor END)::bigint
           AS owed_minor
FROM transfer
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[]) AND phase = 'posted'
  AND 'receivable' IN (debit_code, credit_code)
GROUP BY bill_no;

-- name: owed_of_account(account_id)$
-- Sum up what an account owes by its posted transfers.
SELECT coalesce(
    sum(CASE WHEN debit_code = 'receivable' THEN amount_minor ELSE -amount_minor END), 0
)::bigint
FROM transfer
WHERE account_id = :account_id AND phase = 'posted' AND 'receivable' IN (debit_code, credit_code);

-- name: insert_transfers(account_ids, transfer_ids, phases, debit_codes, credit_codes, amounts, currencies, bill_nos, posted_ats)!
-- Write transfers; one that exists already is refused by its key.
INSERT INTO transfer (
    account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
    posted_at
)
SELECT *
FROM unnest(
    :account_ids::text[], :transfer_ids::text[], :phases::text[], :debit_codes::text[],
    :credit_codes::text[], :amounts::bigint[], :currencies::text[], :bill_nos::text[],
    :posted_ats::timestamptz[]
);
