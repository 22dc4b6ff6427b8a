-- name: add_meter(meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)$
-- Register a meter; nothing comes back when its id is taken.
INSERT INTO meter (meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)
VALUES (:meter_id, :dial_dm3, :step_dm3, :qmax_dm3_h, :compensated, :registered_at)
ON CONFLICT (meter_id) DO NOTHING
RETURNING meter_id;

-- name: find_meter(meter_id)^
-- Find one meter.
SELECT meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated
FROM meter
WHERE meter_id = :meter_id;

-- name: find_meter_type(meter_id)$
-- Say of what make a meter is.
SELECT meter_type FROM meter WHERE meter_id = :meter_id;

-- name: list_meters(after, page)
-- List meters in the order of their ids.
SELECT meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated
FROM meter
WHERE meter_id > :after
ORDER BY meter_id
LIMIT :page;

-- name: list_installations(meter_id)
-- List where a meter has hung, oldest first.
SELECT
    meter_id, installed_at, account_id, supply_point_id, opening_dm3,
    removed_at, closing_dm3, closing_turns
FROM installation
WHERE meter_id = :meter_id
ORDER BY installed_at;

-- name: list_account_installations(account_id)
-- List the meters that hang or hung at one account, oldest first.
SELECT
    i.meter_id, i.installed_at, i.account_id, i.supply_point_id, i.opening_dm3,
    i.removed_at, i.closing_dm3, i.closing_turns, m.dial_dm3, m.compensated
FROM installation i
JOIN meter m ON m.meter_id = i.meter_id
WHERE i.account_id = :account_id
ORDER BY i.installed_at, i.meter_id;

-- name: add_installation(meter_id, installed_at, account_id, supply_point_id, opening_dm3)$
-- Hang a meter up; nothing comes back when it was hung up at that very instant before.
INSERT INTO installation (meter_id, installed_at, account_id, supply_point_id, opening_dm3)
VALUES (:meter_id, :installed_at, :account_id, :supply_point_id, :opening_dm3)
ON CONFLICT (meter_id, installed_at) DO NOTHING
RETURNING meter_id;

-- name: close_installation(meter_id, installed_at, removed_at, closing_dm3, closing_turns)!
-- Take a meter down, once.
UPDATE installation
SET removed_at = :removed_at, closing_dm3 = :closing_dm3, closing_turns = :closing_turns
WHERE meter_id = :meter_id AND installed_at = :installed_at AND removed_at IS NULL;

-- name: mark_before(meter_id, installed_at, instant)^
-- Find the last trusted reading of an installation at or before an instant.
SELECT read_at, register_dm3, turns
FROM trusted_reading
WHERE meter_id = :meter_id AND read_at >= :installed_at AND read_at <= :instant
ORDER BY read_at DESC
LIMIT 1;

-- name: mark_after(meter_id, instant)^
-- Find the first trusted reading of a meter after an instant.
SELECT read_at, register_dm3, turns
FROM trusted_reading
WHERE meter_id = :meter_id AND read_at > :instant
ORDER BY read_at
LIMIT 1;

-- name: measured_until(meter_id, installed_at)$
-- Say up to which instant gas of an installation has been measured for bills.
SELECT max(to_at) FROM usage WHERE meter_id = :meter_id AND installed_at = :installed_at;

-- name: list_readings(meter_id, after, until, page)
-- List the readings of a meter between two instants, oldest first.
SELECT read_at, register_dm3, turns, verdict, reason, counter, received_at
FROM reading
WHERE meter_id = :meter_id AND read_at > :after AND read_at < :until
ORDER BY read_at
LIMIT :page;

-- name: list_account_readings(account_id, meter_id, after, until, page)
-- List the readings that a meter sent while it hung at this account, oldest first.
SELECT r.read_at, r.register_dm3, r.turns, r.verdict, r.reason, r.counter, r.received_at
FROM reading r
WHERE r.meter_id = :meter_id AND r.read_at > :after AND r.read_at < :until
    AND EXISTS (
        SELECT FROM installation i
        WHERE i.meter_id = :meter_id AND i.account_id = :account_id
            AND r.read_at >= i.installed_at
            AND (i.removed_at IS NULL OR r.read_at < i.removed_at)
    )
ORDER BY r.read_at
LIMIT :page;

-- name: list_refused(before_at, before_sender, before_digest, before_reason, page)
-- List refused telegrams, the latest first.
SELECT
    sender, digest, reason, detail, topic, payload, size_bytes, times,
    first_received_at, last_received_at
FROM refused_telegram
WHERE (last_received_at, sender, digest, reason)
    < (:before_at::timestamptz, :before_sender::text, :before_digest::bytea, :before_reason::text)
ORDER BY last_received_at DESC, sender DESC, digest DESC, reason DESC
LIMIT :page;
