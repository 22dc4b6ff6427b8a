-- name: lock_sources()^
-- Let nobody else enter a source until the transaction ends, so that two cannot claim one device.
SELECT pg_advisory_xact_lock(hashtext('aqkol source')) IS NULL AS held;

-- name: list_live_sources()
-- List the sources that are listened to, in the order of their topics.
SELECT
    meter_id, source_id, family, topic, device, dm3_numerator, dm3_denominator, offset_dm3, unit,
    zone, every_s, entered_by, entered_at, removed_by, removed_at
FROM source
WHERE removed_at IS NULL
ORDER BY topic, device;

-- name: list_sources(after, page)
-- List every source there is or was, in the order of their ids.
SELECT
    meter_id, source_id, family, topic, device, dm3_numerator, dm3_denominator, offset_dm3, unit,
    zone, every_s, entered_by, entered_at, removed_by, removed_at
FROM source
WHERE source_id > :after::uuid
ORDER BY source_id
LIMIT :page;

-- name: find_source(source_id)^
-- Find one source, removed or not.
SELECT
    meter_id, source_id, family, topic, device, dm3_numerator, dm3_denominator, offset_dm3, unit,
    zone, every_s, entered_by, entered_at, removed_by, removed_at
FROM source
WHERE source_id = :source_id;

-- name: add_source(meter_id, family, topic, device, dm3_numerator, dm3_denominator, offset_dm3, unit, zone, every_s, entered_by, entered_at)^
-- Listen to a device for a registered meter; nothing comes back when there is no such meter.
INSERT INTO source (
    meter_id, family, topic, device, dm3_numerator, dm3_denominator, offset_dm3, unit, zone,
    every_s, entered_by, entered_at
)
SELECT
    m.meter_id, :family, :topic, :device, :dm3_numerator, :dm3_denominator, :offset_dm3, :unit,
    :zone, :every_s, :entered_by, :entered_at
FROM meter m
WHERE m.meter_id = :meter_id
RETURNING
    meter_id, source_id, family, topic, device, dm3_numerator, dm3_denominator, offset_dm3, unit,
    zone, every_s, entered_by, entered_at, removed_by, removed_at;

-- name: remove_source(source_id, removed_by, removed_at)!
-- Listen to a source no more; who said so first stays.
UPDATE source SET removed_by = :removed_by, removed_at = :removed_at
WHERE source_id = :source_id AND removed_at IS NULL;

-- name: sources_version()^
-- Say in two numbers whether anything was entered or removed since somebody looked.
SELECT count(*) AS entered, count(removed_at) AS removed FROM source;

-- name: list_dropped_topics(since)
-- List the topics that nobody listens to any more and that a broker may still hold for us.
SELECT DISTINCT s.topic
FROM source s
WHERE s.removed_at >= :since AND NOT EXISTS (
    SELECT FROM source live WHERE live.topic = s.topic AND live.removed_at IS NULL
)
ORDER BY s.topic;
