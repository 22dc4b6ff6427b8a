-- What the bank tells us by itself: deliveries as they came, the events in them, and how far its list of
-- events is read. An event that was dealt with is remembered for ever, by its name.

-- name: bank_cursor()$
-- How far we have read the bank's events.
SELECT event_id FROM bank_cursor;

-- name: move_bank_cursor(event_id)!
-- Note how far we have read the bank's events.
INSERT INTO bank_cursor (event_id) VALUES (:event_id)
ON CONFLICT (one) DO UPDATE SET event_id = excluded.event_id;

-- name: seen_events(event_ids)
-- Those of the given events of the bank that we have dealt with, or that wait to be looked at again.
SELECT event_id FROM bank_event WHERE event_id = ANY (:event_ids::text[])
UNION ALL
SELECT event_id FROM bank_hint WHERE event_id = ANY (:event_ids::text[]) AND state <> 'done';

-- name: add_bank_event(event_id, resource, action, at)$
-- Keep an event of the bank as dealt with, and say whether this is the first time.
INSERT INTO bank_event (event_id, resource, action, handled_at)
VALUES (:event_id, :resource, :action, :at)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: keep_delivery(delivery_id, body, signed_by, at)$
-- Keep a signed body as it came, and say whether it is the first time; a repeat is only counted.
INSERT INTO webhook_delivery (delivery_id, body, signed_by, received_at, last_received_at)
VALUES (:delivery_id, :body, :signed_by, :at, :at)
ON CONFLICT (delivery_id) DO UPDATE
SET times = webhook_delivery.times + 1,
    last_received_at = greatest(webhook_delivery.last_received_at, excluded.last_received_at)
RETURNING times = 1;

-- name: lock_delivery()^
-- Lock the oldest delivery that nobody has opened, passing over those in other hands.
SELECT delivery_id, body FROM webhook_delivery
WHERE handled_at IS NULL
ORDER BY received_at, delivery_id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: note_opened(delivery_id, trouble, at)!
-- Note that a delivery was opened, and what was wrong with it if anything was.
UPDATE webhook_delivery SET handled_at = :at, trouble = :trouble WHERE delivery_id = :delivery_id;

-- name: add_hints(event_ids, told, at)!
-- Put events that nobody has dealt with where they are looked at; those that wait there wait on.
INSERT INTO bank_hint (event_id, told, heard_at, look_at, state)
SELECT one.event_id, one.told::jsonb, :at, :at, 'waiting'
FROM unnest(:event_ids::text[], :told::text[]) AS one (event_id, told)
WHERE NOT EXISTS (SELECT FROM bank_event e WHERE e.event_id = one.event_id)
ON CONFLICT DO NOTHING;

-- name: set_aside(event_id, told, trouble, look_at, at)!
-- Put one event where it is looked at again; one that waits there only gets its trouble.
INSERT INTO bank_hint (event_id, told, heard_at, look_at, state, trouble)
VALUES (:event_id, :told::text::jsonb, :at, :look_at, 'waiting', :trouble)
ON CONFLICT (event_id) DO UPDATE SET trouble = excluded.trouble WHERE bank_hint.state = 'waiting';

-- name: claim_hints(at, lease_until, batch)
-- Take events whose time to be looked at has come, and say which were dealt with meanwhile.
UPDATE bank_hint h SET look_at = :lease_until, looks = h.looks + 1
WHERE h.event_id IN (
    SELECT due.event_id FROM bank_hint due
    WHERE due.state = 'waiting' AND due.look_at <= :at
    ORDER BY due.look_at, due.event_id
    LIMIT :batch::int
    FOR UPDATE SKIP LOCKED
)
RETURNING h.event_id, h.told::text AS told, h.heard_at, h.looks,
    EXISTS (SELECT FROM bank_event e WHERE e.event_id = h.event_id) AS known;

-- name: end_hints(event_ids, at)!
-- Note that events were dealt with.
UPDATE bank_hint SET state = 'done', settled_at = :at, trouble = NULL
WHERE event_id = ANY (:event_ids::text[]) AND state = 'waiting';

-- name: postpone_hint(event_id, state, look_at, trouble)!
-- Look at an event again later, or leave it to a person; without a new trouble it keeps the one it has.
UPDATE bank_hint
SET state = :state, look_at = :look_at, trouble = coalesce(:trouble, trouble, 'unknown_id')
WHERE event_id = :event_id AND state = 'waiting';

-- name: asked_hints(after, batch)
-- Events that a person has to look at, by name.
SELECT event_id, told::text AS told, heard_at, looks, trouble
FROM bank_hint
WHERE state = 'asked' AND event_id > :after
ORDER BY event_id
LIMIT :batch::int;

-- name: answer_hint(event_id, state, answered_by, because, at)$
-- Keep what a person says of an event that waits for one: done with, or to be looked at again.
UPDATE bank_hint
SET state = :state, answered_by = :answered_by, because = :because,
    settled_at = CASE WHEN :state = 'done' THEN :at::timestamptz END,
    heard_at = CASE WHEN :state = 'done' THEN heard_at ELSE :at END,
    look_at = :at, looks = 0
WHERE event_id = :event_id AND state = 'asked'
RETURNING true;

-- name: forget_deliveries(before)!
-- Remove the bodies that were opened long ago.
DELETE FROM webhook_delivery WHERE handled_at < :before AND last_received_at < :before;

-- name: forget_hints(before)!
-- Remove what has long been dealt with; the names of its events stay in bank_event.
DELETE FROM bank_hint WHERE state = 'done' AND settled_at < :before;

-- name: waiting_news()^
-- How many deliveries and events wait, for a person too, and since when.
SELECT deliveries.waiting AS deliveries, hints.waiting AS events, hints.asked,
    least(deliveries.oldest, hints.oldest) AS oldest_at
FROM (
    SELECT count(*) AS waiting, min(received_at) AS oldest
    FROM webhook_delivery WHERE handled_at IS NULL
) AS deliveries
CROSS JOIN (
    SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
        count(*) FILTER (WHERE state = 'asked') AS asked,
        min(heard_at) FILTER (WHERE state = 'waiting') AS oldest
    FROM bank_hint WHERE state <> 'done'
) AS hints;
