-- migrate:up

-- A gap is named by itself, so that its days can be declared again after it was withdrawn, and has one
-- of a few reasons beside its text.
ALTER TABLE declared_gap
    ADD COLUMN gap_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN reason text NOT NULL DEFAULT 'other' CHECK (
        reason IN ('workshop', 'shut_off', 'no_network', 'no_power', 'other')
    ),
    DROP CONSTRAINT declared_gap_pkey,
    ADD PRIMARY KEY (meter_id, gap_id);
CREATE INDEX declared_gap_days ON declared_gap (meter_id, from_day);

-- A gap that was declared by mistake, or ended otherwise: it explains no day any more, and stays.
CREATE TABLE gap_withdrawal (
    meter_id     text        NOT NULL,
    gap_id       uuid        NOT NULL,
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    withdrawn_by text        NOT NULL CHECK (length(withdrawn_by) BETWEEN 1 AND 100),
    withdrawn_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, gap_id),
    FOREIGN KEY (meter_id, gap_id) REFERENCES declared_gap
);

-- What of one meter waits for a person.
CREATE INDEX reading_held_meter ON reading (meter_id, read_at) WHERE verdict = 'suspect';

-- A key that an operator vouches for, since the one before was revoked and may sign none.
ALTER TABLE device_key DROP CONSTRAINT device_key_origin_check;
ALTER TABLE device_key ADD CONSTRAINT device_key_origin_check CHECK (
    origin IN ('device', 'imported', 'rotation', 'vouched')
);

-- What was done to a device, by whom and why; two things can happen at one instant, so the order is
-- that of writing. NULL is nobody at a desk.
CREATE TABLE device_event (
    meter_id    text        NOT NULL REFERENCES meter,
    event_no    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    event       text        NOT NULL CHECK (event IN (
        'provisioned', 'claimed', 'claim_refused', 'code_reissued', 'activated', 'frozen', 'thawed',
        'removed', 'key_rotated', 'key_revoked', 'key_vouched'
    )),
    detail      text        NOT NULL CHECK (length(detail) <= 500),
    done_by     text        CHECK (length(done_by) BETWEEN 1 AND 100),
    happened_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, event_no)
);

-- The town's word on one firmware (its SHA-256) of one type of meter: approved, or not any more. A later
-- word is another revision, so that every old case can be explained.
CREATE TABLE firmware_word (
    meter_type      text        NOT NULL CHECK (meter_type ~ '^[a-z0-9_]{1,32}$'),
    firmware_digest bytea       NOT NULL CHECK (length(firmware_digest) = 32),
    revision        integer     NOT NULL CHECK (revision > 0),
    approved        boolean     NOT NULL,
    because         text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    said_by         text        NOT NULL CHECK (length(said_by) BETWEEN 1 AND 100),
    said_at         timestamptz NOT NULL,
    PRIMARY KEY (meter_type, firmware_digest, revision)
);

GRANT SELECT, INSERT ON gap_withdrawal, device_event, firmware_word TO aqkol_service;
