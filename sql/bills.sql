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

-- name: issue_bills(account_ids, period_start, period_end, start_at, end_at, bill_no, due_on, at, days, day_ats, prices, bands, penalties, outsorting)^
-- Issue, with lines, charges and transfers, the first bills of locked accounts, or note what holds them.
-- "prices" and "bands" are the tariffs' versions in this month as JSON, "days" its local days and the
-- first of the next month, "day_ats" when they begin. billing/rating.py says the same for one account.
-- "penalties" are charges for paying earlier bills late, as JSON; billing/penalty.py worked them out.
WITH day AS MATERIALIZED (
    SELECT * FROM unnest(:days::date[], :day_ats::timestamptz[]) AS d (day, day_at)
),
price AS MATERIALIZED (
    SELECT *
    FROM jsonb_to_recordset(:prices::jsonb) AS p (
        price_no integer, tariff_code text, valid_from date, currency text, from_day date,
        to_day date, from_at timestamptz, to_at timestamptz, tariff_to_day date,
        per_energy boolean, norm_per text, rounding text, standing_per_1000_days numeric,
        standing_per_month numeric, discount_bp numeric, discount_norm numeric,
        vat_rate_bp integer
    )
),
band AS MATERIALIZED (
    SELECT *
    FROM jsonb_to_recordset(:bands::jsonb) AS b (
        price_no integer, band_no integer, norm_from numeric, norm_to numeric, net_minor bigint,
        multiplier_bp integer
    )
),
-- Measuring notes both ends of a period. A finding that is held since the gas was measured holds the
-- bill too. "words" says that somebody spoke about the account's terms.
chosen AS MATERIALIZED (
    SELECT a.*
    FROM unnest(:account_ids::text[]) AS k (account_id)
    CROSS JOIN LATERAL (
        SELECT a.account_id, a.tariff_code, a.currency, lacking.meter_id AS lacking_meter_id,
               lacking.reason, EXISTS (
                   SELECT FROM account_terms t
                   WHERE t.account_id = a.account_id AND t.valid_from < :period_end::date
                     AND t.said_at <= :at::timestamptz
               ) AS words
        FROM account a
        LEFT JOIN LATERAL (
            SELECT i.meter_id, CASE
                       WHEN w.waits THEN 'held_finding'
                       ELSE coalesce(g.reason, 'not_measured')
                   END AS reason
            FROM installation i
            CROSS JOIN LATERAL (
                SELECT EXISTS (
                    SELECT FROM held_period h
                    WHERE h.meter_id = i.meter_id AND h.installed_at = i.installed_at
                      AND h.period_start = :period_start::date
                    OFFSET 0
                ) OR EXISTS (
                    SELECT FROM held_reading h
                    WHERE h.meter_id = i.meter_id
                      AND h.read_at >= greatest(i.installed_at, :start_at::timestamptz)
                      AND h.read_at < least(i.removed_at, :end_at::timestamptz)
                    OFFSET 0
                ) AS waits
            ) AS w
            LEFT JOIN usage_gap g ON g.meter_id = i.meter_id AND g.installed_at = i.installed_at
                AND g.period_start = :period_start::date
            WHERE i.account_id = a.account_id AND i.installed_at < :end_at::timestamptz
              AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
              -- By the account, as its usage is read below: the same pages, and no others.
              AND (w.waits OR NOT EXISTS (
                  SELECT FROM (
                      SELECT u.meter_id, u.from_at FROM usage u
                      WHERE u.account_id = i.account_id AND u.period_start = :period_start::date
                      OFFSET 0
                  ) AS u
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
-- Days of the month with the same terms: the newest word on each day counts, and a word that changes
-- nothing cuts nothing.
term AS MATERIALIZED (
    SELECT c.account_id, c.currency, c.tariff_code, 1 AS persons, false AS social,
           :period_start::date AS from_day, :period_end::date AS to_day,
           :start_at::timestamptz AS from_at, :end_at::timestamptz AS to_at
    FROM chosen c
    WHERE c.reason IS NULL AND NOT c.words
    UNION ALL
    SELECT c.account_id, c.currency, t.tariff_code, t.persons, t.social, t.from_day, t.to_day,
           (SELECT d.day_at FROM day d WHERE d.day = t.from_day),
           (SELECT d.day_at FROM day d WHERE d.day = t.to_day)
    FROM chosen c
    CROSS JOIN LATERAL (
        SELECT s.tariff_code, s.persons, s.social,
               greatest(s.valid_from, :period_start::date) AS from_day,
               coalesce(lead(s.valid_from) OVER (ORDER BY s.valid_from), :period_end::date)
                   AS to_day
        FROM (
            SELECT w.*, lag((w.tariff_code, w.persons, w.social)) OVER (ORDER BY w.valid_from)
                       IS DISTINCT FROM (w.tariff_code, w.persons, w.social) AS changes
            FROM (
                SELECT c.tariff_code, 1 AS persons, false AS social,
                       '-infinity'::date AS valid_from
                UNION ALL (
                    SELECT DISTINCT ON (t.valid_from) t.tariff_code, t.persons, t.social,
                           t.valid_from
                    FROM account_terms t
                    WHERE t.account_id = c.account_id AND t.valid_from < :period_end::date
                      AND t.said_at <= :at::timestamptz
                    ORDER BY t.valid_from, t.revision DESC
                )
            ) AS w
        ) AS s
        WHERE s.changes
    ) AS t
    WHERE c.reason IS NULL AND c.words AND t.to_day > :period_start::date
),
-- What of a stretch has one set of terms, one price and one VAT rate.
part AS MATERIALIZED (
    SELECT t.account_id, t.persons, t.social, t.from_day AS term_from_day,
           t.to_day AS term_to_day, u.meter_id, u.supply_point_id, u.from_at AS stretch_from_at,
           u.to_at AS stretch_to_at, u.opening_register_dm3, u.opening_read_at,
           u.opening_quality, u.closing_register_dm3, u.closing_read_at, u.closing_quality,
           u.volume_dm3 AS stretch_dm3, CASE WHEN p.per_energy THEN (
               SELECT n.energy_wh FROM usage_now n
               WHERE n.meter_id = u.meter_id AND n.from_at = u.from_at
           ) END AS stretch_wh, p.*,
           greatest(u.from_at, t.from_at, p.from_at) AS part_from_at,
           least(u.to_at, t.to_at, p.to_at) AS part_to_at
    FROM term t
    CROSS JOIN LATERAL (
        SELECT u.meter_id, u.supply_point_id, u.from_at, u.to_at, u.opening_register_dm3,
               u.opening_read_at, u.opening_quality, u.closing_register_dm3, u.closing_read_at,
               u.closing_quality, u.volume_dm3
        FROM usage_now u
        WHERE u.account_id = t.account_id AND u.period_start = :period_start::date
        OFFSET 0
    ) AS u
    LEFT JOIN price p ON p.tariff_code = t.tariff_code AND p.currency = t.currency
        AND p.from_at < least(u.to_at, t.to_at) AND p.to_at > greatest(u.from_at, t.from_at)
    WHERE u.from_at < t.to_at AND u.to_at > t.from_at
),
-- A day counts where a part touches it.
dated AS (
    SELECT p.*, CASE
               WHEN p.part_from_at = :start_at::timestamptz THEN :period_start::date
               ELSE (SELECT max(d.day) FROM day d WHERE d.day_at <= p.part_from_at)
           END AS part_from_day, CASE
               WHEN p.part_to_at = :end_at::timestamptz THEN :period_end::date
               ELSE (SELECT min(d.day) FROM day d WHERE d.day_at >= p.part_to_at)
           END AS part_to_day
    FROM part p
    WHERE p.price_no IS NOT NULL
),
supplied AS MATERIALIZED (
    SELECT d.*, d.part_to_day - d.part_from_day AS days,
           sum(d.part_to_day - d.part_from_day) OVER stretch AS days_of,
           sum(d.part_to_day - d.part_from_day) OVER (stretch ORDER BY d.part_from_at) AS days_done,
           min(d.part_from_day) OVER account AS supply_from_day,
           max(d.part_to_day) OVER account AS supply_to_day,
           sum(d.part_to_at - d.part_from_at) OVER stretch AS priced_time
    FROM dated d
    WINDOW account AS (PARTITION BY d.account_id),
           stretch AS (PARTITION BY d.account_id, d.meter_id, d.stretch_from_at)
),
-- Why an account cannot be priced: no price for some time, or no energy where that is charged.
problem AS MATERIALIZED (
    SELECT c.account_id, c.lacking_meter_id AS meter_id, c.reason
    FROM chosen c
    WHERE c.reason IS NOT NULL
    UNION ALL (
    SELECT DISTINCT ON (p.account_id) p.account_id, p.meter_id, p.reason
    FROM (
        SELECT s.account_id, s.meter_id, s.stretch_from_at, CASE
                   WHEN s.priced_time <> s.stretch_to_at - s.stretch_from_at THEN 'no_price'
                   WHEN s.per_energy AND s.stretch_wh IS NULL THEN 'no_energy'
               END AS reason
        FROM supplied s
        UNION ALL
        SELECT p.account_id, p.meter_id, p.stretch_from_at, 'no_price'
        FROM part p
        WHERE p.price_no IS NULL
        UNION ALL
        SELECT p.account_id, p.meter_id, p.stretch_from_at, 'disputed'
        FROM part p
        WHERE EXISTS (
            SELECT FROM open_question d
            WHERE d.account_id = p.account_id AND d.period_start = :period_start::date
        )
    ) AS p
    WHERE p.reason IS NOT NULL
    ORDER BY p.account_id, p.reason = 'disputed', p.meter_id
    )
),
-- The share of a stretch by days, so that parts always add up to it.
shared AS (
    SELECT s.*, CASE WHEN s.days = s.days_of THEN s.stretch_dm3 ELSE
               rounded(s.stretch_dm3 * s.days_done::numeric, s.days_of, 'half_up')
               - rounded(s.stretch_dm3 * (s.days_done - s.days)::numeric, s.days_of, 'half_up')
           END AS part_dm3, CASE WHEN s.per_energy THEN
               rounded(s.stretch_wh * s.days_done::numeric, s.days_of, 'half_up')
               - rounded(s.stretch_wh * (s.days_done - s.days)::numeric, s.days_of, 'half_up')
           END AS part_wh,
           -- A month's norm counts for the days on which these terms and this tariff hold.
           CASE WHEN s.norm_per = 'person' THEN s.persons ELSE 1 END * (
               least(s.term_to_day, s.tariff_to_day, s.supply_to_day)
               - greatest(s.term_from_day, s.valid_from, s.supply_from_day)
           )::numeric AS norm_days
    FROM supplied s
    WHERE s.account_id NOT IN (SELECT p.account_id FROM problem p)
),
-- Gas fills the bands in the order in which it was used.
used AS MATERIALIZED (
    SELECT s.*, coalesce(s.part_wh, s.part_dm3) AS quantity,
           sum(coalesce(s.part_wh, s.part_dm3)) OVER (
               PARTITION BY s.account_id, s.term_from_day, s.valid_from
               ORDER BY s.part_from_at, s.supply_point_id, s.meter_id
           )::bigint AS used_after
    FROM shared s
),
banded AS (
    SELECT u.*, b.band_no, b.net_minor AS price_minor, b.multiplier_bp,
           greatest(u.used_after - u.quantity, b.low) AS low,
           least(u.used_after, b.high) AS high
    FROM used u
    CROSS JOIN LATERAL (
        SELECT b.band_no, b.net_minor, b.multiplier_bp, CASE
                   WHEN b.norm_from = 0 THEN 0
                   ELSE rounded(
                       b.norm_from * u.norm_days, :period_end::date - :period_start::date, 'half_up'
                   )
               END AS low, CASE
                   WHEN b.norm_to IS NOT NULL THEN rounded(
                       b.norm_to * u.norm_days, :period_end::date - :period_start::date, 'half_up'
                   )
               END AS high
        FROM band b
        WHERE b.price_no = u.price_no
    ) AS b
    WHERE greatest(u.used_after - u.quantity, b.low) < least(u.used_after, b.high)
       OR u.quantity = 0 AND b.low <= u.used_after AND (b.high IS NULL OR u.used_after < b.high)
),
priced AS (
    SELECT b.*, CASE
               WHEN b.per_energy AND b.quantity > 0 THEN
                   rounded(b.part_dm3 * (b.high - b.used_after + b.quantity)::numeric, b.quantity,
                           'half_up')
                   - rounded(b.part_dm3 * (b.low - b.used_after + b.quantity)::numeric, b.quantity,
                             'half_up')
               WHEN b.quantity = 0 THEN b.part_dm3
               ELSE b.high - b.low
           END AS volume_dm3, CASE
               WHEN b.rounding = 'half_up' AND b.multiplier_bp = 10000 AND NOT b.per_energy THEN
                   (b.high - b.low) / 1000000 * b.price_minor
                   + ((b.high - b.low) % 1000000 * b.price_minor + 500000) / 1000000
               ELSE rounded(
                   (b.high - b.low)::numeric * b.price_minor * b.multiplier_bp,
                   CASE WHEN b.per_energy THEN 10000000000000 ELSE 10000000000 END, b.rounding
               )
           END AS net_minor
    FROM banded b
),
line AS MATERIALIZED (
    SELECT p.*, CASE
               WHEN p.rounding = 'half_up' THEN
                   p.net_minor / 10000 * p.vat_rate_bp
                   + (p.net_minor % 10000 * p.vat_rate_bp + 5000) / 10000
               ELSE rounded(p.net_minor::numeric * p.vat_rate_bp, 10000, p.rounding)
           END AS vat_minor,
           row_number() OVER (
               PARTITION BY p.account_id
               ORDER BY p.supply_point_id, p.part_from_at, p.meter_id, p.band_no
           ) AS line_no
    FROM priced p
),
discount AS (
    SELECT l.account_id, l.line_no, l.part_from_day AS from_day, l.part_to_day AS to_day,
           l.tariff_code, l.valid_from, l.rounding, l.vat_rate_bp,
           (least(l.high, d.norm) - l.low)::bigint AS quantity, rounded(
               (least(l.high, d.norm) - l.low)::numeric * l.price_minor * l.multiplier_bp
                   * l.discount_bp,
               CASE WHEN l.per_energy THEN 100000000000000000 ELSE 100000000000000 END, l.rounding
           ) AS amount_minor
    FROM line l
    CROSS JOIN LATERAL (
        SELECT rounded(
            l.discount_norm * l.norm_days, :period_end::date - :period_start::date, 'half_up'
        ) AS norm
    ) AS d
    WHERE l.social AND l.discount_bp > 0 AND l.low < least(l.high, d.norm)
),
standing AS (
    SELECT s.account_id, d.from_day, d.to_day, p.tariff_code, p.valid_from, p.rounding,
           p.vat_rate_bp, d.to_day - d.from_day AS quantity, rounded(
               (d.to_day - d.from_day) * (
                   p.standing_per_1000_days * (:period_end::date - :period_start::date)
                   + p.standing_per_month * 1000
               ), 1000 * (:period_end::date - :period_start::date), p.rounding
           ) AS amount_minor
    FROM (
        SELECT DISTINCT u.account_id, u.currency, u.supply_from_day, u.supply_to_day FROM used u
        WHERE EXISTS (
            SELECT FROM price p WHERE p.standing_per_1000_days > 0 OR p.standing_per_month > 0
        )
    ) AS s
    CROSS JOIN LATERAL (
        SELECT t.* FROM term t WHERE t.account_id = s.account_id OFFSET 0
    ) AS t
    JOIN price p ON p.tariff_code = t.tariff_code AND p.currency = s.currency
        AND (p.standing_per_1000_days > 0 OR p.standing_per_month > 0)
    CROSS JOIN LATERAL (
        SELECT greatest(t.from_day, p.from_day, s.supply_from_day) AS from_day,
               least(t.to_day, p.to_day, s.supply_to_day) AS to_day
    ) AS d
    WHERE d.from_day < d.to_day
),
fined AS MATERIALIZED (
    SELECT p.*
    FROM jsonb_to_recordset(:penalties::jsonb) AS p (
        account_id text, place integer, from_day date, to_day date, quantity bigint, detail jsonb,
        net_minor bigint
    )
    WHERE p.account_id IN (SELECT u.account_id FROM used u)
),
-- What earlier bills of the account should have asked for and no bill has taken up.
adjusted AS MATERIALIZED (
    SELECT a.*
    FROM (SELECT DISTINCT u.account_id FROM used u) AS k
    CROSS JOIN LATERAL (
        SELECT a.*, c.corrects_bill_no, c.period_end
        FROM (
            SELECT a.* FROM adjustment a
            WHERE a.account_id = k.account_id AND NOT EXISTS (
                SELECT FROM adjustment_taken t
                WHERE t.account_id = a.account_id AND t.period_start = a.period_start
                  AND t.correction_no = a.correction_no AND t.vat_rate_bp = a.vat_rate_bp
            )
            OFFSET 0
        ) AS a
        CROSS JOIN LATERAL (
            SELECT c.corrects_bill_no, b.period_end
            FROM bill_correction c
            JOIN bill b ON b.account_id = c.account_id AND b.bill_no = c.corrects_bill_no
            WHERE c.account_id = a.account_id AND c.period_start = a.period_start
              AND c.correction_no = a.correction_no
            OFFSET 0
        ) AS c
    ) AS a
),
charge AS MATERIALIZED (
    SELECT c.kind, c.account_id, c.line_no, c.from_day, c.to_day, c.tariff_code, c.valid_from,
           c.vat_rate_bp, c.quantity, '{}'::jsonb AS detail, c.sign * c.amount_minor AS net_minor,
           c.sign * rounded(c.amount_minor::numeric * c.vat_rate_bp, 10000, c.rounding)
               AS vat_minor,
           c.sign AS place, 0 AS correction_no
    FROM (
        SELECT 'discount' AS kind, -1 AS sign, d.account_id, d.line_no, d.from_day, d.to_day,
               d.tariff_code, d.valid_from, d.rounding, d.vat_rate_bp, d.quantity, d.amount_minor
        FROM discount d
        UNION ALL
        SELECT 'standing', 1, s.account_id, NULL, s.from_day, s.to_day, s.tariff_code,
               s.valid_from, s.rounding, s.vat_rate_bp, s.quantity, s.amount_minor
        FROM standing s
    ) AS c
    UNION ALL
    SELECT 'adjustment', a.account_id, NULL, a.period_start, a.period_end, NULL, NULL,
           a.vat_rate_bp, a.volume_dm3, jsonb_build_object(
               'corrects_bill_no', a.corrects_bill_no, 'correction_no', a.correction_no
           ), a.net_minor, a.vat_minor, 2, a.correction_no
    FROM adjusted a
    UNION ALL
    SELECT 'penalty', f.account_id, NULL, f.from_day, f.to_day, NULL, NULL, 0, f.quantity, f.detail,
           f.net_minor, 0, 3, f.place
    FROM fined f
),
total AS MATERIALIZED (
    SELECT i.account_id, min(i.meter_id) AS meter_id, sum(i.volume_dm3)::bigint AS volume_dm3,
           sum(i.net_minor)::bigint AS net_minor, sum(i.vat_minor)::bigint AS vat_minor,
           sum(i.penalty_minor)::bigint AS penalty_minor, max(i.currency) AS currency
    FROM (
        SELECT account_id, meter_id, volume_dm3, net_minor, vat_minor, 0 AS penalty_minor, currency
        FROM line
        UNION ALL
        SELECT account_id, NULL, 0, net_minor, vat_minor,
               CASE WHEN kind = 'penalty' THEN net_minor ELSE 0 END, NULL
        FROM charge
    ) AS i
    GROUP BY i.account_id
),
-- Bills that a person looks at first: far above the account's habit, which is the same month last year
-- or the mean of the last months, whichever is more. billing/outsorting.py explains the figures.
unusual AS MATERIALIZED (
    SELECT t.account_id, t.meter_id, jsonb_build_object(
               'total_minor', t.net_minor + t.vat_minor, 'habit_minor', h.habit_minor
           ) || :outsorting::jsonb AS detail
    FROM total t
    CROSS JOIN jsonb_to_record(:outsorting::jsonb) AS o (
        high_percent numeric, floor_minor numeric, first_minor numeric, year_ago date,
        recent_from date
    )
    CROSS JOIN LATERAL (
        SELECT greatest(
                   max(b.total_minor) FILTER (WHERE b.period_start = o.year_ago),
                   div(
                       sum(b.total_minor) FILTER (WHERE b.period_start >= o.recent_from),
                       nullif(count(*) FILTER (WHERE b.period_start >= o.recent_from), 0)
                   ), CASE WHEN count(*) > 0 THEN 0 END
               ) AS habit_minor
        FROM (
            SELECT DISTINCT ON (b.period_start) b.period_start, b.total_minor, b.kind
            FROM bill b
            WHERE b.account_id = t.account_id AND b.period_start >= o.year_ago
              AND b.period_start < :period_start::date AND b.currency = t.currency
              AND (b.period_start = o.year_ago OR b.period_start >= o.recent_from)
            ORDER BY b.period_start, b.revision DESC
        ) AS b
        WHERE b.kind <> 'cancellation'
    ) AS h
    WHERE t.net_minor + t.vat_minor > least(o.floor_minor, o.first_minor)
      AND CASE
              WHEN h.habit_minor IS NULL THEN t.net_minor + t.vat_minor > o.first_minor
              ELSE (t.net_minor + t.vat_minor) * 100 > h.habit_minor * o.high_percent
                  AND t.net_minor + t.vat_minor - h.habit_minor > o.floor_minor
          END
      AND NOT EXISTS (
          SELECT FROM bill_release r
          WHERE r.account_id = t.account_id AND r.period_start = :period_start::date
            AND r.total_minor >= t.net_minor + t.vat_minor
      )
),
issued AS (
    INSERT INTO bill (
        account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
        total_minor, currency, issued_at, due_on
    )
    SELECT t.account_id, :bill_no::text, :period_start::date, :period_end::date, 1, t.volume_dm3,
           t.net_minor, t.vat_minor, t.net_minor + t.vat_minor, t.currency, :at::timestamptz,
           :due_on::date
    FROM total t
    WHERE t.account_id NOT IN (SELECT u.account_id FROM unusual u)
    ORDER BY t.account_id
    RETURNING account_id, volume_dm3, net_minor, vat_minor, currency
),
lined AS (
    INSERT INTO bill_line (
        account_id, bill_no, line_no, meter_id, supply_point_id, from_at, to_at,
        opening_register_dm3, opening_read_at, closing_register_dm3, closing_read_at, volume_dm3,
        tariff_code, tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor,
        band_no, multiplier_bp, energy_wh, net_minor_per_gwh, days, days_of, opening_quality,
        closing_quality
    )
    SELECT l.account_id, :bill_no::text, l.line_no, l.meter_id, l.supply_point_id, l.part_from_at,
           l.part_to_at, l.opening_register_dm3, l.opening_read_at, l.closing_register_dm3,
           l.closing_read_at, l.volume_dm3, l.tariff_code, l.valid_from,
           CASE WHEN NOT l.per_energy THEN l.price_minor END, l.vat_rate_bp, l.net_minor,
           l.vat_minor, l.band_no, l.multiplier_bp, CASE WHEN l.per_energy THEN l.high - l.low END,
           CASE WHEN l.per_energy THEN l.price_minor END, l.days, l.days_of, l.opening_quality,
           l.closing_quality
    FROM line l
    WHERE l.account_id NOT IN (SELECT u.account_id FROM unusual u)
    RETURNING 1
),
charged AS (
    INSERT INTO bill_charge (
        account_id, bill_no, charge_no, kind, from_day, to_day, tariff_code, tariff_valid_from,
        line_no, quantity, detail, vat_rate_bp, net_minor, vat_minor
    )
    SELECT c.account_id, :bill_no::text, row_number() OVER (
               PARTITION BY c.account_id
               ORDER BY c.place, c.line_no, c.from_day, c.correction_no, c.vat_rate_bp
           ), c.kind, c.from_day, c.to_day, c.tariff_code, c.valid_from, c.line_no, c.quantity,
           c.detail, c.vat_rate_bp, c.net_minor, c.vat_minor
    FROM charge c
    WHERE c.account_id NOT IN (SELECT u.account_id FROM unusual u)
),
taken AS (
    INSERT INTO adjustment_taken (account_id, period_start, correction_no, vat_rate_bp, bill_no)
    SELECT a.account_id, a.period_start, a.correction_no, a.vat_rate_bp, :bill_no::text
    FROM adjusted a
    WHERE a.account_id NOT IN (SELECT u.account_id FROM unusual u)
),
moved AS (
    INSERT INTO transfer (
        account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
        posted_at
    )
    SELECT t.account_id, 'bill/' || :bill_no::text || '/' || part.name, 'posted',
           CASE WHEN part.amount_minor > 0 THEN 'receivable' ELSE part.code END,
           CASE WHEN part.amount_minor > 0 THEN part.code ELSE 'receivable' END,
           abs(part.amount_minor), t.currency, :bill_no::text, :at::timestamptz
    FROM total t
    CROSS JOIN LATERAL (
        VALUES ('net', 'revenue', t.net_minor - t.penalty_minor), ('vat', 'vat', t.vat_minor),
               ('penalty', 'penalty', t.penalty_minor)
    ) AS part (name, code, amount_minor)
    WHERE part.amount_minor <> 0
      AND t.account_id NOT IN (SELECT u.account_id FROM unusual u)
),
held AS (
    INSERT INTO bill_hold (account_id, period_start, reason, meter_id, noted_at, detail)
    SELECT p.account_id, :period_start::date, p.reason, p.meter_id, :at::timestamptz, p.detail
    FROM (
        SELECT account_id, reason, meter_id, '{}'::jsonb AS detail FROM problem
        UNION ALL
        SELECT account_id, 'anomalous', meter_id, detail FROM unusual
    ) AS p
    ORDER BY p.account_id
    ON CONFLICT (account_id, period_start) DO UPDATE
        SET reason = excluded.reason, meter_id = excluded.meter_id, detail = excluded.detail,
            noted_at = excluded.noted_at
        WHERE (bill_hold.reason, bill_hold.meter_id, bill_hold.detail)
            IS DISTINCT FROM (excluded.reason, excluded.meter_id, excluded.detail)
)
SELECT count(*) AS billed,
       coalesce(sum(volume_dm3), 0)::bigint AS volume_dm3,
       coalesce(sum(net_minor + vat_minor), 0)::bigint AS total_minor,
       (SELECT count(*) FROM lined) AS lines,
       (SELECT count(*) FROM problem) + (SELECT count(*) FROM unusual) AS held
FROM issued;

-- name: carry_small_bills(account_ids, bill_no, at, currencies, minimums)$
-- Move to the new bills of locked accounts what earlier bills owe below the smallest sum that is asked
-- for, if nobody is asking for it or disputes it; say how much that was.
WITH small AS MATERIALIZED (
    SELECT n.account_id, b.bill_no, n.currency, owed.minor
    FROM unnest(:account_ids::text[]) AS k (account_id)
    JOIN bill n ON n.account_id = k.account_id AND n.bill_no = :bill_no::text
    JOIN unnest(:currencies::text[], :minimums::bigint[]) AS m (currency, minimum_minor)
        ON m.currency = n.currency
    CROSS JOIN LATERAL (
        SELECT b.bill_no
        FROM bill b
        WHERE b.account_id = n.account_id AND b.period_start < n.period_start
          AND NOT EXISTS (
              SELECT FROM debit d
              WHERE d.account_id = b.account_id AND d.bill_no = b.bill_no
                AND d.state NOT IN (
                    'settled', 'reconciled', 'failed', 'retry_due', 'cancelled', 'charged_back',
                    'exhausted'
                )
          )
          AND NOT EXISTS (
              SELECT FROM open_dispute q WHERE q.account_id = b.account_id AND q.bill_no = b.bill_no
          )
          AND NOT EXISTS (
              SELECT FROM transfer c
              WHERE c.account_id = b.account_id
                AND c.transfer_id = 'carry/' || b.bill_no || '/' || :bill_no::text || '/out'
          )
        OFFSET 0
    ) AS b
    CROSS JOIN LATERAL (
        SELECT sum(
            CASE WHEN t.debit_code = 'receivable' THEN t.amount_minor ELSE -t.amount_minor END
        )::bigint AS minor
        FROM transfer t
        WHERE t.account_id = n.account_id AND t.bill_no = b.bill_no AND t.phase = 'posted'
          AND 'receivable' IN (t.debit_code, t.credit_code)
    ) AS owed
    WHERE owed.minor > 0 AND owed.minor < m.minimum_minor
),
moved AS (
    INSERT INTO transfer (
        account_id, transfer_id, phase, debit_code, credit_code, amount_minor, currency, bill_no,
        posted_at
    )
    SELECT s.account_id, 'carry/' || s.bill_no || '/' || :bill_no::text || '/' || part.name, 'posted',
           part.debit_code, part.credit_code, s.minor, s.currency, part.bill_no, :at::timestamptz
    FROM small s
    CROSS JOIN LATERAL (
        VALUES ('out', 'carried', 'receivable', s.bill_no),
               ('in', 'receivable', 'carried', :bill_no::text)
    ) AS part (name, debit_code, credit_code, bill_no)
    ORDER BY s.account_id, s.bill_no
)
SELECT coalesce(sum(minor), 0)::bigint FROM small;

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
      OR h.reason IN (
          'no_opening_register', 'no_closing_register', 'estimated_beyond_cap'
      ) AND EXISTS (
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
-- List every version of every tariff, with its bands as JSON.
SELECT t.tariff_code, t.valid_from, t.valid_to, t.net_minor_per_1000_m3, t.currency, t.approved_by,
       t.net_minor_per_gwh, t.rounding, t.norm_per, t.heating_months,
       t.standing_net_minor_per_1000_days, t.standing_net_minor_per_month, t.discount_bp,
       t.discount_norm, t.discount_norm_heating, (
           SELECT json_agg(json_build_object(
               'up_to', b.up_to, 'up_to_heating', b.up_to_heating,
               'multiplier_bp', b.multiplier_bp, 'net_minor', b.net_minor
           ) ORDER BY b.band_no)::text
           FROM tariff_band b
           WHERE b.tariff_code = t.tariff_code AND b.valid_from = t.valid_from
       ) AS bands
FROM tariff t
ORDER BY t.tariff_code, t.valid_from;

-- name: list_vat_rates()
-- List the VAT rates in the order they came into force.
SELECT valid_from, rate_bp FROM vat_rate ORDER BY valid_from;

-- name: add_tariff(tariff_code, valid_from, valid_to, net_minor_per_1000_m3, currency, approved_by, net_minor_per_gwh, rounding, norm_per, heating_months, standing_net_minor_per_1000_days, standing_net_minor_per_month, discount_bp, discount_norm, discount_norm_heating, band_nos, up_tos, up_to_heatings, multipliers, band_prices)!
-- Add one version of a tariff with its bands; the schema refuses two prices for one day.
WITH added AS (
    INSERT INTO tariff (
        tariff_code, valid_from, valid_to, net_minor_per_1000_m3, currency, approved_by,
        net_minor_per_gwh, rounding, norm_per, heating_months, standing_net_minor_per_1000_days,
        standing_net_minor_per_month, discount_bp, discount_norm, discount_norm_heating
    )
    VALUES (
        :tariff_code, :valid_from, :valid_to, :net_minor_per_1000_m3, :currency, :approved_by,
        :net_minor_per_gwh, :rounding, :norm_per, :heating_months,
        :standing_net_minor_per_1000_days, :standing_net_minor_per_month, :discount_bp,
        :discount_norm, :discount_norm_heating
    )
    RETURNING tariff_code, valid_from
)
INSERT INTO tariff_band (
    tariff_code, valid_from, band_no, up_to, up_to_heating, multiplier_bp, net_minor
)
SELECT added.*, band.*
FROM added
CROSS JOIN unnest(
    :band_nos::integer[], :up_tos::bigint[], :up_to_heatings::bigint[], :multipliers::integer[],
    :band_prices::bigint[]
) AS band;

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
       total_minor, currency, issued_at, due_on, kind, corrects_bill_no
FROM bill
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY period_start DESC, revision DESC;

-- name: list_bills(account_id, before, chunk)
-- List bills of one account, newest first, older than the bill named.
SELECT account_id, bill_no, period_start, period_end, revision, volume_dm3, net_minor, vat_minor,
       total_minor, currency, issued_at, due_on, kind, corrects_bill_no
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
       tariff_valid_from, net_minor_per_1000_m3, vat_rate_bp, net_minor, vat_minor, band_no,
       multiplier_bp, energy_wh, net_minor_per_gwh, days, days_of, opening_quality, closing_quality
FROM bill_line
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY bill_no, line_no;

-- name: list_bill_charges(account_id, bill_nos)
-- Read the charges of some bills of one account.
SELECT bill_no, charge_no, kind, from_day, to_day, tariff_code, tariff_valid_from, line_no, quantity,
       detail::text AS detail, vat_rate_bp, net_minor, vat_minor
FROM bill_charge
WHERE account_id = :account_id AND bill_no = ANY (:bill_nos::text[])
ORDER BY bill_no, charge_no;

-- name: list_holds(period_start, after, chunk)
-- List what holds the bills of a period, in order of account.
SELECT account_id, period_start, reason, meter_id, noted_at, detail::text AS detail
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
