-- What a town says about gas at standard conditions and about its heat: tables, places, zones, values.

-- name: lock_standard()!
-- Keep others from saying something until the commit, so that revisions follow each other.
SELECT pg_advisory_xact_lock(hashtextextended('metering.standard', 0));

-- name: list_tables(page)
-- Read the tables of coefficients, the newest first.
SELECT version, valid_from, revision, denominator, unheated, outdoor, approved_by, entered_at
FROM coefficient_table
ORDER BY valid_from DESC, revision DESC
LIMIT :page::integer;

-- name: find_table(version)^
-- Find a table of coefficients by its version.
SELECT version, valid_from, revision, denominator, unheated, outdoor, approved_by, entered_at
FROM coefficient_table
WHERE version = :version::text;

-- name: table_on(day)^
-- Read the table of coefficients in force on a local day: the newest word of the newest that has begun.
SELECT version, valid_from, revision, denominator, unheated, outdoor, approved_by, entered_at
FROM coefficient_table
WHERE valid_from <= :day::date
ORDER BY valid_from DESC, revision DESC
LIMIT 1;

-- name: add_table(version, valid_from, denominator, unheated, outdoor, approved_by, at)$
-- Enter a table of coefficients and return its revision among those of its day.
INSERT INTO coefficient_table (
    valid_from, revision, version, denominator, unheated, outdoor, approved_by, entered_at
)
SELECT :valid_from::date, coalesce(max(revision), 0) + 1, :version::text, :denominator::integer,
       :unheated::integer[], :outdoor::integer[], :approved_by::text, :at::timestamptz
FROM coefficient_table
WHERE valid_from = :valid_from::date
RETURNING revision;

-- name: list_places(meter_id, page)
-- Read where a meter hung, stay by stay, the newest first, with what was said before.
SELECT installed_at, valid_from, revision, place, zone, said_by, said_at
FROM stay_place
WHERE meter_id = :meter_id::text
ORDER BY installed_at DESC, valid_from DESC, revision DESC
LIMIT :page::integer;

-- name: find_place(meter_id, installed_at, valid_from)^
-- Read the newest word on a stay from exactly this local day on.
SELECT installed_at, valid_from, revision, place, zone, said_by, said_at
FROM stay_place
WHERE meter_id = :meter_id::text AND installed_at = :installed_at::timestamptz
  AND valid_from = :valid_from::date
ORDER BY revision DESC
LIMIT 1;

-- name: places_of(meter_id, installed_at, to_day)
-- Read the newest words on a stay that begin before a local day, the oldest first.
SELECT DISTINCT ON (valid_from)
    installed_at, valid_from, revision, place, zone, said_by, said_at
FROM stay_place
WHERE meter_id = :meter_id::text AND installed_at = :installed_at::timestamptz
  AND valid_from < :to_day::date
ORDER BY valid_from, revision DESC;

-- name: add_place(meter_id, installed_at, valid_from, place, zone, said_by, at)$
-- Say where a meter hangs from a local day on, and return the revision.
INSERT INTO stay_place (
    meter_id, installed_at, valid_from, revision, place, zone, said_by, said_at
)
SELECT :meter_id::text, :installed_at::timestamptz, :valid_from::date,
       coalesce(max(revision), 0) + 1, :place::text, :zone::text, :said_by::text,
       :at::timestamptz
FROM stay_place
WHERE meter_id = :meter_id::text AND installed_at = :installed_at::timestamptz
  AND valid_from = :valid_from::date
RETURNING revision;

-- name: list_zone_figures(page)
-- Read what is known about zones, the newest first.
SELECT zone, rule, valid_from, revision, figures::text AS figures, approved_by, entered_at
FROM zone_figures
ORDER BY valid_from DESC, zone, rule, revision DESC
LIMIT :page::integer;

-- name: zone_on(zone, rule, day)^
-- Read what a rule knows about a zone on a local day: the newest word of the newest that has begun.
SELECT zone, rule, valid_from, revision, figures::text AS figures, approved_by, entered_at
FROM zone_figures
WHERE zone = :zone::text AND rule = :rule::text AND valid_from <= :day::date
ORDER BY valid_from DESC, revision DESC
LIMIT 1;

-- name: add_zone_figures(zone, rule, valid_from, figures, approved_by, at)$
-- Enter what a rule must know about a zone, and return the revision.
INSERT INTO zone_figures (zone, rule, valid_from, revision, figures, approved_by, entered_at)
SELECT :zone::text, :rule::text, :valid_from::date, coalesce(max(revision), 0) + 1,
       :figures::text::jsonb, :approved_by::text, :at::timestamptz
FROM zone_figures
WHERE zone = :zone::text AND rule = :rule::text AND valid_from = :valid_from::date
RETURNING revision;

-- name: list_calorific_values(zone, unit, from_day, to_day)
-- Read the newest value of each day and month that begins in a stretch of local days.
SELECT DISTINCT ON (start_on, span)
    zone, unit, span, start_on, revision, hundred_thousandths, source, noted_at
FROM calorific_value
WHERE zone = :zone::text AND unit = :unit::text
  AND start_on >= :from_day::date AND start_on < :to_day::date
ORDER BY start_on, span, revision DESC;

-- name: add_calorific_values(zone, unit, span, starts, hundred_thousandths, source, at)!
-- Note how much heat the gas of days or months gave, as another revision of each.
INSERT INTO calorific_value (
    zone, unit, span, start_on, revision, hundred_thousandths, source, noted_at
)
SELECT :zone::text, :unit::text, :span::text, news.start_on,
       (
           SELECT coalesce(max(v.revision), 0) + 1
           FROM calorific_value v
           WHERE v.zone = :zone::text AND v.unit = :unit::text AND v.span = :span::text
             AND v.start_on = news.start_on
       ),
       news.hundred_thousandths, :source::text, :at::timestamptz
FROM unnest(:starts::date[], :hundred_thousandths::integer[])
    AS news (start_on, hundred_thousandths);
