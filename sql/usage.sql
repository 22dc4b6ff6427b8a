-- The first half of the billing run: from readings to gas used, one installation at a time.
-- Integers only. A register at an instant is, in this order: the installation's own opening or
-- closing; the register with which a neighbouring usage already ends or begins there, so that no gas
-- is lost or counted twice; the latest trusted reading of the 24 hours up to the instant; the one that
-- was estimated for it. Where a price
-- or an account's terms change inside the month and no register is known, the stretch stays whole.

-- name: plan_for_a_run()!
-- Let every join of a chunk be a probe of an index, by a plan that serves every chunk, until the commit.
-- A run fills empty tables: a plan that looks cheap on an empty table reads all of a full one. Planned
-- anew each time, the look-ups of foreign keys would be too, row by row.
SELECT set_config(setting, value, true)
FROM (VALUES
    ('jit', 'off'), ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'),
    ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'),
    ('enable_material', 'off')
) AS chosen (setting, value);

-- name: claim_installations(start_at, end_at, after_meter_id, after_installed_at, chunk)^
-- Lock, in order of key, the next installations of a period that have not been measured in it.
WITH claimed AS (
    SELECT i.meter_id, i.installed_at
    FROM installation i
    WHERE (i.meter_id, i.installed_at) > (:after_meter_id::text, :after_installed_at::timestamptz)
      AND i.installed_at < :end_at::timestamptz
      AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
      AND NOT EXISTS (
          SELECT FROM usage u
          WHERE u.meter_id = i.meter_id
            AND u.from_at = greatest(i.installed_at, :start_at::timestamptz)
      )
    ORDER BY i.meter_id, i.installed_at
    LIMIT :chunk::bigint
    FOR NO KEY UPDATE OF i
)
SELECT array_agg(meter_id ORDER BY meter_id, installed_at) AS meter_ids,
       array_agg(installed_at ORDER BY meter_id, installed_at) AS installed_ats
FROM claimed;

-- name: claim_stays(account_id, start_at, end_at)^
-- Lock, in order of key, the stays at one account that have not been measured in a period.
WITH claimed AS (
    SELECT i.meter_id, i.installed_at
    FROM installation i
    WHERE i.account_id = :account_id AND i.installed_at < :end_at::timestamptz
      AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
      AND NOT EXISTS (
          SELECT FROM usage u
          WHERE u.meter_id = i.meter_id
            AND u.from_at = greatest(i.installed_at, :start_at::timestamptz)
      )
    ORDER BY i.meter_id, i.installed_at
    FOR NO KEY UPDATE OF i
)
SELECT array_agg(meter_id ORDER BY meter_id, installed_at) AS meter_ids,
       array_agg(installed_at ORDER BY meter_id, installed_at) AS installed_ats
FROM claimed;

-- name: measure(meter_ids, installed_ats, period_start, start_at, end_at, end_day, cut_codes, cut_ats, days, day_ats, at)^
-- Write the usage of locked installations, or note which register is missing or what waits. "OFFSET 0"
-- asks for each row, never for a whole table once; "spoken" says that a person spoke about a register.
WITH chosen AS MATERIALIZED (
    SELECT i.*, EXISTS (
               SELECT FROM held_period h
               WHERE h.meter_id = i.meter_id AND h.installed_at = i.installed_at
                 AND h.period_start = :period_start::date
               OFFSET 0
           ) OR EXISTS (
               SELECT FROM held_reading h
               WHERE h.meter_id = i.meter_id AND h.read_at >= i.begins_at AND h.read_at < i.ends_at
               OFFSET 0
           ) AS waits, EXISTS (
               SELECT FROM reading_decision d
               WHERE d.meter_id = i.meter_id
                 AND d.read_at > :start_at::timestamptz - interval '24 hours'
                 AND d.read_at <= :end_at::timestamptz
               OFFSET 0
           ) OR EXISTS (
               SELECT FROM reading_correction c
               WHERE c.meter_id = i.meter_id
                 AND c.read_at > :start_at::timestamptz - interval '24 hours'
                 AND c.read_at <= :end_at::timestamptz
               OFFSET 0
           ) AS spoken
    FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
    CROSS JOIN LATERAL (
        SELECT i.*, m.dial_dm3,
               greatest(i.installed_at, :start_at::timestamptz) AS begins_at,
               least(i.removed_at, :end_at::timestamptz) AS ends_at
        FROM installation i
        JOIN meter m USING (meter_id)
        WHERE i.meter_id = k.meter_id AND i.installed_at = k.installed_at
          AND NOT EXISTS (
              SELECT FROM usage u
              WHERE u.meter_id = i.meter_id
                AND u.from_at = greatest(i.installed_at, :start_at::timestamptz)
          )
        LIMIT 1
    ) AS i
),
boundary AS (
    SELECT c.*, c.begins_at AS boundary_at FROM chosen c
    UNION ALL
    SELECT c.*, c.ends_at FROM chosen c
    UNION ALL
    SELECT c.*, cut.at
    FROM chosen c
    CROSS JOIN LATERAL (
        SELECT cut.at
        FROM unnest(:cut_codes::text[], :cut_ats::timestamptz[]) AS cut (tariff_code, at)
        WHERE cut.tariff_code IS NULL
           OR cut.tariff_code = (
               SELECT a.tariff_code FROM account a WHERE a.account_id = c.account_id
           )
           OR cut.tariff_code IN (
               SELECT t.tariff_code FROM account_terms t
               WHERE t.account_id = c.account_id AND t.valid_from < :end_day::date
           )
        UNION
        SELECT d.at
        FROM account_terms t
        JOIN unnest(:days::date[], :day_ats::timestamptz[]) AS d (day, at) ON d.day = t.valid_from
        WHERE t.account_id = c.account_id
    ) AS cut
    WHERE cut.at > c.begins_at AND cut.at < c.ends_at
),
chained AS (
    SELECT b.*, chain.register_dm3 AS chain_register_dm3, chain.turns AS chain_turns,
           chain.read_at AS chain_read_at, chain.quality AS chain_quality
    FROM boundary b
    LEFT JOIN LATERAL (
        SELECT b.opening_dm3 AS register_dm3, 0 AS turns, b.installed_at AS read_at,
               'read' AS quality
        WHERE b.boundary_at = b.installed_at
        UNION ALL
        SELECT b.closing_dm3, b.closing_turns, b.removed_at, 'read'
        WHERE b.boundary_at = b.removed_at
        UNION ALL
        SELECT coalesce(anew.closing_register_dm3, earlier.closing_register_dm3),
               coalesce(anew.closing_turns, earlier.closing_turns),
               coalesce(anew.closing_read_at, earlier.closing_read_at),
               coalesce(anew.closing_quality, earlier.closing_quality)
        FROM (
            SELECT u.* FROM usage u
            WHERE b.boundary_at = b.begins_at
              AND u.meter_id = b.meter_id AND u.from_at < b.boundary_at
            ORDER BY u.from_at DESC
            LIMIT 1
        ) AS earlier
        LEFT JOIN LATERAL (
            SELECT r.closing_register_dm3, r.closing_turns, r.closing_read_at, r.closing_quality
            FROM usage_revision r
            WHERE r.meter_id = earlier.meter_id AND r.from_at = earlier.from_at
            ORDER BY r.revision DESC
            LIMIT 1
        ) AS anew ON true
        WHERE earlier.to_at = b.boundary_at AND earlier.installed_at = b.installed_at
          AND b.boundary_at > b.installed_at AND b.boundary_at IS DISTINCT FROM b.removed_at
        UNION ALL
        SELECT later.opening_register_dm3, later.opening_turns, later.opening_read_at,
               later.opening_quality
        FROM (
            SELECT u.* FROM usage u
            WHERE b.boundary_at = b.ends_at
              AND u.meter_id = b.meter_id AND u.from_at = b.boundary_at
              AND u.installed_at = b.installed_at
            OFFSET 0
        ) AS first_told
        CROSS JOIN LATERAL (
            SELECT n.* FROM usage_now n
            WHERE n.meter_id = first_told.meter_id AND n.from_at = first_told.from_at
            OFFSET 0
        ) AS later
        WHERE b.boundary_at > b.installed_at AND b.boundary_at IS DISTINCT FROM b.removed_at
        LIMIT 1
    ) AS chain ON true
),
point AS (
    SELECT c.*,
           coalesce(c.chain_register_dm3, r.register_dm3, e.register_dm3) AS register_dm3,
           coalesce(c.chain_turns, r.turns, e.turns) AS turns,
           coalesce(c.chain_read_at, r.read_at, e.read_at) AS read_at,
           coalesce(c.chain_quality, CASE WHEN e.read_at IS NULL THEN 'read' ELSE 'estimated' END)
               AS quality
    FROM chained c
    LEFT JOIN LATERAL (
        (
            SELECT r.register_dm3, r.turns, r.read_at
            FROM reading r
            WHERE c.chain_read_at IS NULL AND NOT c.spoken
              AND r.meter_id = c.meter_id AND r.verdict = 'billable'
              AND r.read_at > c.boundary_at - interval '24 hours'
              AND r.read_at >= c.installed_at
              AND r.read_at <= c.boundary_at
              AND r.read_at > :start_at::timestamptz - interval '24 hours'
              AND r.read_at <= :end_at::timestamptz
            ORDER BY r.read_at DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT r.register_dm3, r.turns, r.read_at
            FROM trusted_reading r
            WHERE c.chain_read_at IS NULL AND c.spoken
              AND r.meter_id = c.meter_id
              AND r.read_at > c.boundary_at - interval '24 hours'
              AND r.read_at >= c.installed_at
              AND r.read_at <= c.boundary_at
              AND r.read_at > :start_at::timestamptz - interval '24 hours'
              AND r.read_at <= :end_at::timestamptz
            ORDER BY r.read_at DESC
            LIMIT 1
        )
    ) AS r ON true
    LEFT JOIN LATERAL (
        SELECT e.register_dm3, e.turns, e.read_at
        FROM estimated_register e
        WHERE c.chain_read_at IS NULL AND r.read_at IS NULL
          AND e.meter_id = c.meter_id AND e.installed_at = c.installed_at
          AND e.read_at = c.boundary_at
        LIMIT 1
    ) AS e ON true
),
part AS MATERIALIZED (
    SELECT p.meter_id, p.installed_at, p.account_id, p.supply_point_id, p.dial_dm3, p.waits,
           p.boundary_at AS from_at, p.begins_at, p.ends_at,
           p.register_dm3 AS opening_register_dm3, p.turns AS opening_turns,
           p.read_at AS opening_read_at, p.quality AS opening_quality,
           lead(p.boundary_at) OVER line AS to_at,
           lead(p.register_dm3) OVER line AS closing_register_dm3,
           lead(p.turns) OVER line AS closing_turns,
           lead(p.read_at) OVER line AS closing_read_at,
           lead(p.quality) OVER line AS closing_quality
    FROM point p
    WHERE p.register_dm3 IS NOT NULL OR p.boundary_at IN (p.begins_at, p.ends_at)
    WINDOW line AS (PARTITION BY p.meter_id, p.installed_at ORDER BY p.boundary_at)
),
-- What a rule holds waits for a person before anything is measured, so that the person may still say
-- which register is right. A register below the one before it, or more turns than 64 bits can count,
-- is none to bill from.
checked AS (
    SELECT p.*, CASE
        WHEN p.waits THEN 'held_finding'
        WHEN p.opening_register_dm3 IS NULL AND p.from_at = p.begins_at THEN 'no_opening_register'
        WHEN p.closing_register_dm3 IS NULL AND p.to_at = p.ends_at THEN 'no_closing_register'
        WHEN (p.closing_turns, p.closing_register_dm3) < (p.opening_turns, p.opening_register_dm3)
            OR p.closing_turns - p.opening_turns > 9000000000000000 / p.dial_dm3 - 1
            THEN 'no_closing_register'
    END AS reason
    FROM part p
    WHERE p.to_at IS NOT NULL
),
judged AS MATERIALIZED (
    SELECT c.*, min(c.reason) OVER (PARTITION BY c.meter_id, c.installed_at) AS any_reason
    FROM checked c
),
-- One row for each installation that is measured whole: its first stretch.
whole AS (
    SELECT meter_id, installed_at FROM judged WHERE any_reason IS NULL AND from_at = begins_at
),
lacking AS MATERIALIZED (
    SELECT DISTINCT ON (meter_id, installed_at) meter_id, installed_at, account_id, reason
    FROM judged
    WHERE reason IS NOT NULL
    ORDER BY meter_id, installed_at, from_at
),
written AS (
    INSERT INTO usage (
        meter_id, from_at, to_at, period_start, installed_at, account_id, supply_point_id,
        opening_register_dm3, opening_turns, opening_read_at,
        closing_register_dm3, closing_turns, closing_read_at, volume_dm3, opening_quality,
        closing_quality
    )
    SELECT meter_id, from_at, to_at, :period_start::date, installed_at, account_id,
           supply_point_id, opening_register_dm3, opening_turns, opening_read_at,
           closing_register_dm3, closing_turns, closing_read_at,
           (closing_turns - opening_turns) * dial_dm3
               + closing_register_dm3 - opening_register_dm3, opening_quality, closing_quality
    FROM judged
    WHERE any_reason IS NULL
    ORDER BY meter_id, from_at
),
filled AS (
    DELETE FROM usage_gap g
    USING whole AS w
    WHERE g.meter_id = w.meter_id AND g.installed_at = w.installed_at
      AND g.period_start = :period_start::date
),
noted AS (
    INSERT INTO usage_gap (meter_id, installed_at, period_start, account_id, reason, noted_at)
    SELECT meter_id, installed_at, :period_start::date, account_id, reason, :at::timestamptz
    FROM lacking
    ORDER BY meter_id, installed_at
    ON CONFLICT (meter_id, installed_at, period_start)
        DO UPDATE SET reason = excluded.reason, noted_at = excluded.noted_at
        WHERE usage_gap.reason <> excluded.reason
)
SELECT (SELECT count(*) FROM whole) AS measured,
       (SELECT count(*) FROM lacking) AS lacking;

-- name: drop_idle_gaps(period_start, start_at, end_at)!
-- Forget the gaps of installations that turn out not to have hung in the period at all.
DELETE FROM usage_gap g
WHERE g.period_start = :period_start::date
  AND NOT EXISTS (
      SELECT FROM installation i
      WHERE i.meter_id = g.meter_id AND i.installed_at = g.installed_at
        AND i.installed_at < :end_at::timestamptz
        AND (i.removed_at IS NULL OR i.removed_at > :start_at::timestamptz)
  );

-- name: energy_wanted(account_after, period_start, end_day, codes, chunk)
-- List measured gas whose energy is not known yet, of the next accounts with a tariff per energy.
SELECT a.account_id, u.meter_id, u.from_at, u.to_at, u.volume_dm3, u.installed_at,
       i.supply_point_id, i.opening_dm3, i.removed_at, i.closing_dm3, i.closing_turns
FROM (
    SELECT a.account_id
    FROM account a
    WHERE a.account_id > :account_after::text
      AND (a.tariff_code = ANY (:codes::text[]) OR EXISTS (
          SELECT FROM account_terms t
          WHERE t.account_id = a.account_id AND t.valid_from < :end_day::date
            AND t.tariff_code = ANY (:codes::text[])
      ))
    ORDER BY a.account_id
    LIMIT :chunk::bigint
) AS a
LEFT JOIN LATERAL (
    SELECT u.* FROM usage u
    WHERE u.account_id = a.account_id AND u.period_start = :period_start::date
      AND NOT EXISTS (
          SELECT FROM usage_energy e WHERE e.meter_id = u.meter_id AND e.from_at = u.from_at
      )
) AS u ON true
LEFT JOIN installation i ON i.meter_id = u.meter_id AND i.installed_at = u.installed_at
ORDER BY a.account_id, u.meter_id, u.from_at;

-- name: write_energy(meter_ids, from_ats, standards, energies, rules, steps, at)!
-- Write the energy of measured gas, once.
INSERT INTO usage_energy (meter_id, from_at, standard_dm3, energy_wh, rule, steps, made_at)
SELECT e.*, :at::timestamptz
FROM unnest(
    :meter_ids::text[], :from_ats::timestamptz[], :standards::bigint[], :energies::bigint[],
    :rules::text[], :steps::jsonb[]
) AS e
ORDER BY 1, 2
ON CONFLICT DO NOTHING;

-- name: gaps_to_estimate(period_start, start_at, end_at, after_meter_id, after_installed_at, chunk)
-- List installations that lack only the register at the end of a month in which they hung to its end,
-- with the register at which their gas of the month begins.
SELECT i.meter_id, i.installed_at, i.account_id, i.supply_point_id, i.opening_dm3, i.removed_at,
       i.closing_dm3, i.closing_turns, m.dial_dm3, f.from_at, o.register_dm3 AS from_dm3,
       o.turns AS from_turns
FROM (
    SELECT g.meter_id, g.installed_at FROM usage_gap g
    WHERE g.period_start = :period_start::date
      AND g.reason IN ('no_closing_register', 'estimated_beyond_cap')
      AND (g.meter_id, g.installed_at)
          > (:after_meter_id::text, :after_installed_at::timestamptz)
    ORDER BY g.meter_id, g.installed_at
    LIMIT :chunk::bigint
) AS g
JOIN installation i USING (meter_id, installed_at)
JOIN meter m USING (meter_id)
CROSS JOIN LATERAL (SELECT greatest(i.installed_at, :start_at::timestamptz) AS from_at) AS f
CROSS JOIN LATERAL (
    SELECT i.opening_dm3 AS register_dm3, 0 AS turns
    WHERE f.from_at = i.installed_at
    UNION ALL
    SELECT u.closing_register_dm3, u.closing_turns
    FROM usage_now u
    WHERE u.meter_id = i.meter_id AND u.installed_at = i.installed_at AND u.to_at = f.from_at
      AND f.from_at > i.installed_at
    UNION ALL (
        SELECT r.register_dm3, r.turns
        FROM trusted_reading r
        WHERE r.meter_id = i.meter_id AND r.read_at > f.from_at - interval '24 hours'
          AND r.read_at <= f.from_at AND r.read_at >= i.installed_at
        ORDER BY r.read_at DESC
        LIMIT 1
    )
    LIMIT 1
) AS o
WHERE i.removed_at IS NULL OR i.removed_at > :end_at::timestamptz
ORDER BY i.meter_id, i.installed_at;

-- name: write_estimates(meter_ids, installed_ats, registers, turns, qualities, methods, whys, read_at, at)!
-- Write estimated registers for one instant, once.
INSERT INTO estimated_register (
    meter_id, installed_at, register_dm3, turns, quality, method, why, read_at, made_at
)
SELECT e.*, :read_at::timestamptz, :at::timestamptz
FROM unnest(
    :meter_ids::text[], :installed_ats::timestamptz[], :registers::bigint[], :turns::integer[],
    :qualities::text[], :methods::text[], :whys::text[]
) AS e
ORDER BY 1
ON CONFLICT DO NOTHING;

-- name: note_cap(meter_ids, installed_ats, period_start, at)!
-- Note that so many months in a row were made up that somebody must go and look.
UPDATE usage_gap g SET reason = 'estimated_beyond_cap', noted_at = :at::timestamptz
FROM unnest(:meter_ids::text[], :installed_ats::timestamptz[]) AS k (meter_id, installed_at)
WHERE g.meter_id = k.meter_id AND g.installed_at = k.installed_at
  AND g.period_start = :period_start::date AND g.reason <> 'estimated_beyond_cap';
