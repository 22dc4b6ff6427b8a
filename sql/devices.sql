-- name: add_device(meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at)$
-- Register a meter that is not believed yet; nothing comes back when its id is taken.
INSERT INTO meter (meter_id, dial_dm3, step_dm3, qmax_dm3_h, compensated, registered_at, state)
VALUES (
    :meter_id, :dial_dm3, :step_dm3, :qmax_dm3_h, :compensated, :registered_at, 'pending'
)
ON CONFLICT (meter_id) DO NOTHING
RETURNING meter_id;

-- name: find_device(meter_id)^
-- Find a meter's state and the smallest step of its dial.
SELECT state, step_dm3 FROM meter WHERE meter_id = :meter_id;

-- name: move_device(meter_id, state)!
-- Put a meter into another state.
UPDATE meter SET state = :state WHERE meter_id = :meter_id;

-- name: lock_kid(kid)^
-- Let nobody else bring a key of this name until the transaction ends.
SELECT pg_advisory_xact_lock(('x' || encode(:kid::bytea, 'hex'))::bit(64)::bigint) IS NULL AS held;

-- name: has_kid(kid)$
-- Say whether any meter has, or ever had, a key of this name.
SELECT EXISTS (SELECT FROM device_key WHERE kid = :kid);

-- name: add_key(meter_id, key_epoch, algorithm, public_key, kid, origin, added_at)!
-- Give a meter a key.
INSERT INTO device_key (meter_id, key_epoch, algorithm, public_key, kid, origin, added_at)
VALUES (:meter_id, :key_epoch, :algorithm, :public_key, :kid, :origin, :added_at);

-- name: list_keys(meter_id)
-- List the keys of a meter, the newest first.
SELECT key_epoch, algorithm, public_key, kid, origin, added_at, valid_until, frozen_at, revoked_at
FROM device_key
WHERE meter_id = :meter_id
ORDER BY key_epoch DESC;

-- name: end_key(meter_id, key_epoch, valid_until)!
-- Let a key that was replaced run out.
UPDATE device_key SET valid_until = :valid_until
WHERE meter_id = :meter_id AND key_epoch = :key_epoch;

-- name: revoke_key(meter_id, key_epoch, at)$
-- Believe a key never again; when it was first said stays, and then nothing comes back.
UPDATE device_key SET revoked_at = :at
WHERE meter_id = :meter_id AND key_epoch = :key_epoch AND revoked_at IS NULL
RETURNING key_epoch;

-- name: thaw_keys(meter_id)!
-- Believe the frozen keys of a meter again.
UPDATE device_key SET frozen_at = NULL WHERE meter_id = :meter_id AND frozen_at IS NOT NULL;

-- name: add_claim(meter_id, claim_digest, tries, issued_at)!
-- Keep the digest of the code on a meter's label.
INSERT INTO meter_claim (meter_id, claim_digest, tries_left, issued_at)
VALUES (:meter_id, :claim_digest, :tries, :issued_at);

-- name: find_claim(meter_id)^
-- Say how a meter's claim stands.
SELECT tries_left, claimed_at FROM meter_claim WHERE meter_id = :meter_id;

-- name: try_claim(meter_id)$
-- Use up one try and return what it is held against; nothing when no try is left.
UPDATE meter_claim SET tries_left = tries_left - 1
WHERE meter_id = :meter_id AND tries_left > 0 AND claimed_at IS NULL
RETURNING claim_digest;

-- name: finish_claim(meter_id, at)!
-- The code was right; it is good no more.
UPDATE meter_claim SET claimed_at = :at WHERE meter_id = :meter_id;

-- name: renew_claim(meter_id, claim_digest, tries, issued_at)$
-- Void the code of a meter that nobody has claimed, and keep another; nothing comes back otherwise.
UPDATE meter_claim SET claim_digest = :claim_digest, tries_left = :tries, issued_at = :issued_at
WHERE meter_id = :meter_id AND claimed_at IS NULL
RETURNING meter_id;

-- name: note_event(meter_id, event, detail, done_by, happened_at)!
-- Write down what was done to a device.
INSERT INTO device_event (meter_id, event, detail, done_by, happened_at)
VALUES (:meter_id, :event, :detail, :done_by, :happened_at);

-- name: list_events(meter_id, page)
-- List what was done to a device, the newest first.
SELECT event, happened_at AS at, done_by AS by, detail
FROM device_event
WHERE meter_id = :meter_id
ORDER BY event_no DESC
LIMIT :page;

-- name: find_stay(meter_id)^
-- Find where a meter hangs now.
SELECT installed_at, opening_dm3 FROM installation
WHERE meter_id = :meter_id AND removed_at IS NULL
ORDER BY installed_at DESC
LIMIT 1;

-- name: list_witnesses(meter_id, installed_at)
-- List who saw which start register.
SELECT witness, register_dm3, photo_digest FROM start_register
WHERE meter_id = :meter_id AND installed_at = :installed_at;

-- name: add_witness(meter_id, installed_at, witness, register_dm3, photo_digest, at)!
-- Write down who saw which start register.
INSERT INTO start_register (
    meter_id, installed_at, witness, register_dm3, photo_digest, confirmed_at
)
VALUES (:meter_id, :installed_at, :witness, :register_dm3, :photo_digest, :at);

-- name: ask_person(meter_id, kind, detail, at)!
-- Put a question about a meter to a person, unless the same one is open.
INSERT INTO meter_case (meter_id, kind, detail, opened_at)
VALUES (:meter_id, :kind, :detail, :at)
ON CONFLICT (meter_id, kind) WHERE closed_at IS NULL DO NOTHING;

-- name: answer_case(meter_id, kinds, case_id, closed_by, outcome, at)$
-- Close an open case of these kinds with what came of it; nothing comes back when there is none.
UPDATE meter_case SET closed_at = :at, closed_by = :closed_by, outcome = :outcome
WHERE meter_id = :meter_id AND case_id = :case_id AND kind = ANY (:kinds::text[])
    AND closed_at IS NULL
RETURNING kind;

-- name: find_open_case(meter_id, kinds)$
-- Find the oldest open case of these kinds.
SELECT case_id FROM meter_case
WHERE meter_id = :meter_id AND kind = ANY (:kinds::text[]) AND closed_at IS NULL
ORDER BY opened_at
LIMIT 1;
