-- migrate:up

-- What waits for a person, the newest first; the believed ones need no place in it.
CREATE INDEX reading_held ON reading (read_at DESC, meter_id DESC) WHERE verdict = 'suspect';

-- A key that some meter has or had is nobody else's.
CREATE INDEX device_key_kid ON device_key (kid);
