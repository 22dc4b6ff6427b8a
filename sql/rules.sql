-- The town's own words on the rules of belief, and how cold its days were.

-- name: read_overrides()
-- Read every word of the town on the rules, however old.
SELECT code, meter_type, valid_from, from_at, outcome, figures::text AS figures, approved_by
FROM rule_override
ORDER BY code, meter_type, valid_from;

-- name: add_override(code, meter_type, valid_from, from_at, outcome, figures, approved_by, at)!
-- Enter a town's word on a rule; the same day is written once.
INSERT INTO rule_override (
    code, meter_type, valid_from, from_at, outcome, figures, approved_by, entered_at
)
VALUES (:code::text, :meter_type::text, :valid_from::date, :from_at::timestamptz, :outcome::text,
        :figures::text::jsonb, :approved_by::text, :at::timestamptz);

-- name: list_degree_days(from_day, to_day)
-- Read the newest note of each day from one day up to, but without, another.
SELECT DISTINCT ON (day) day, revision, degree_days_tenths, source, noted_at
FROM degree_day
WHERE day >= :from_day::date AND day < :to_day::date
ORDER BY day, revision DESC;

-- name: lock_degree_days()!
-- Keep others from noting temperatures until the commit, so that revisions follow each other.
SELECT pg_advisory_xact_lock(hashtextextended('metering.degree_days', 0));

-- name: add_degree_days(days, degree_days_tenths, source, at)!
-- Note how cold days were, as another revision of each.
INSERT INTO degree_day (day, revision, degree_days_tenths, source, noted_at)
SELECT news.day,
       (SELECT coalesce(max(d.revision), 0) + 1 FROM degree_day d WHERE d.day = news.day),
       news.tenths, :source::text, :at::timestamptz
FROM unnest(:days::date[], :degree_days_tenths::integer[]) AS news (day, tenths);
