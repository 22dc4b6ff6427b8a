-- migrate:up

ALTER TABLE meter
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (
        state IN ('pending', 'active', 'frozen', 'removed')
    ),
    ADD COLUMN meter_type text NOT NULL DEFAULT 'diaphragm' CHECK (
        meter_type ~ '^[a-z0-9_]{1,32}$'
    );

ALTER TABLE telegram
    DROP CONSTRAINT telegram_pkey,
    DROP CONSTRAINT telegram_trust_check,
    ADD CONSTRAINT telegram_trust_check CHECK (
        trust IN ('unsigned', 'signed', 'adapted', 'uploaded')
    ),
    ADD COLUMN key_epoch integer NOT NULL DEFAULT 0,
    ADD COLUMN evidence bytea CHECK (length(evidence) <= 65536),
    ADD PRIMARY KEY (meter_id, key_epoch, counter),
    ADD CONSTRAINT trust_has_its_epoch CHECK (
        key_epoch = CASE trust
            WHEN 'unsigned' THEN 0 WHEN 'adapted' THEN -1 WHEN 'uploaded' THEN -2
            ELSE greatest(key_epoch, 1)
        END
    ),
    ADD CONSTRAINT signed_has_evidence CHECK ((trust = 'signed') = (evidence IS NOT NULL));

ALTER TABLE reading ADD COLUMN key_epoch integer NOT NULL DEFAULT 0;

-- A key of a meter, by epoch. Only the newest may sign; the one before it stays good until
-- valid_until, so that a rotation costs no telegram. A frozen or revoked key signs nothing.
CREATE TABLE device_key (
    meter_id    text        NOT NULL REFERENCES meter,
    key_epoch   integer     NOT NULL CHECK (key_epoch > 0),
    algorithm   text        NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256')),
    public_key  bytea       NOT NULL CHECK (
        length(public_key) = CASE algorithm WHEN 'EdDSA' THEN 32 ELSE 65 END
    ),
    kid         bytea       NOT NULL CHECK (length(kid) = 8),
    origin      text        NOT NULL CHECK (origin IN ('device', 'imported', 'rotation')),
    added_at    timestamptz NOT NULL,
    valid_until timestamptz,
    frozen_at   timestamptz,
    revoked_at  timestamptz,
    PRIMARY KEY (meter_id, key_epoch),
    -- The same key under two epochs would make an old telegram look new.
    CONSTRAINT device_key_once UNIQUE (meter_id, kid)
);

-- The code on a meter's label, kept as a digest: good once, for five tries.
CREATE TABLE meter_claim (
    meter_id     text        PRIMARY KEY REFERENCES meter,
    claim_digest bytea       NOT NULL CHECK (length(claim_digest) = 32),
    tries_left   integer     NOT NULL CHECK (tries_left BETWEEN 0 AND 5),
    issued_at    timestamptz NOT NULL,
    claimed_at   timestamptz
);

-- Who saw which start register. Installer and resident both say it, each with a digest of a photo.
CREATE TABLE start_register (
    meter_id     text        NOT NULL,
    installed_at timestamptz NOT NULL,
    witness      text        NOT NULL CHECK (witness IN ('installer', 'resident')),
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    photo_digest bytea       NOT NULL CHECK (length(photo_digest) = 32),
    confirmed_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, installed_at, witness),
    FOREIGN KEY (meter_id, installed_at) REFERENCES installation
);

-- Something about a meter that a person must look at. It never changes a bill by itself.
CREATE TABLE meter_case (
    meter_id  text        NOT NULL REFERENCES meter,
    case_id   uuid        NOT NULL DEFAULT gen_random_uuid(),
    kind      text        NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    detail    text        NOT NULL CHECK (length(detail) <= 500),
    evidence  bytea       CHECK (length(evidence) <= 65536),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_by text        CHECK (length(closed_by) BETWEEN 1 AND 100),
    outcome   text        CHECK (length(outcome) BETWEEN 1 AND 500),
    PRIMARY KEY (meter_id, case_id),
    CONSTRAINT closing_is_whole CHECK (num_nonnulls(closed_at, closed_by, outcome) IN (0, 3))
);
-- One open case of a kind: a meter that goes on lying is one question, not a thousand.
CREATE UNIQUE INDEX meter_case_open ON meter_case (meter_id, kind) WHERE closed_at IS NULL;
CREATE INDEX meter_case_newest ON meter_case (opened_at DESC);

-- What a signing meter may forget: its highest stored counter and, bit by bit, the 1024 up to it.
-- Derived from telegram, kept because a receipt needs it at once.
CREATE TABLE replay_window (
    meter_id   text        NOT NULL REFERENCES meter,
    key_epoch  integer     NOT NULL CHECK (key_epoch > 0),
    high_water bigint      NOT NULL CHECK (high_water >= 0),
    seen       bytea       NOT NULL CHECK (length(seen) = 128),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, key_epoch)
);

-- A person's word on a suspect reading: take it as it is, or take this register instead. The
-- reading itself stays as it came.
CREATE TABLE reading_decision (
    meter_id     text        NOT NULL REFERENCES meter,
    read_at      timestamptz NOT NULL,
    decision     text        NOT NULL CHECK (decision IN ('accept', 'replace')),
    register_dm3 bigint      NOT NULL CHECK (register_dm3 >= 0),
    turns        integer     NOT NULL CHECK (turns >= 0),
    decided_by   text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because      text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at   timestamptz NOT NULL,
    PRIMARY KEY (meter_id, read_at)
);

-- The registers gas may be measured from: billable readings, and what a person decided.
CREATE VIEW trusted_reading AS
SELECT meter_id, read_at, register_dm3, turns FROM reading WHERE verdict = 'billable'
UNION ALL
SELECT meter_id, read_at, register_dm3, turns FROM reading_decision;

-- Days for which a meter is known to be silent (taken to the workshop, a house shut down), so that
-- nobody looks for their readings.
CREATE TABLE declared_gap (
    meter_id    text        NOT NULL REFERENCES meter,
    from_day    date        NOT NULL,
    to_day      date        NOT NULL CHECK (to_day > from_day),
    because     text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    declared_by text        NOT NULL CHECK (length(declared_by) BETWEEN 1 AND 100),
    declared_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, from_day)
);

-- What guards the judging of a sixty-fourth of all meters: whoever judges or moves one of them holds
-- this row, and raises the version, so that what another process remembers is known to be old.
CREATE TABLE bucket (
    bucket  integer PRIMARY KEY CHECK (bucket BETWEEN 0 AND 63),
    version bigint  NOT NULL DEFAULT 0 CHECK (version >= 0)
);

INSERT INTO bucket (bucket) SELECT generate_series(0, 63);

-- Which process reads which bucket at which broker. A lease that ran out belongs to nobody.
CREATE TABLE bucket_lease (
    broker      text        NOT NULL CHECK (length(broker) BETWEEN 1 AND 200),
    bucket      integer     NOT NULL CHECK (bucket BETWEEN 0 AND 63),
    holder      text        NOT NULL CHECK (length(holder) BETWEEN 1 AND 100),
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (broker, bucket)
);

GRANT SELECT, INSERT ON
    bucket_lease, device_key, meter_claim, start_register, meter_case, replay_window, reading_decision, declared_gap
TO aqkol_service;
GRANT SELECT ON trusted_reading, bucket TO aqkol_service;
GRANT UPDATE (state) ON meter TO aqkol_service;
GRANT UPDATE (version) ON bucket TO aqkol_service;
GRANT UPDATE (holder, lease_until), DELETE ON bucket_lease TO aqkol_service;
GRANT UPDATE (valid_until, frozen_at, revoked_at) ON device_key TO aqkol_service;
GRANT UPDATE (claim_digest, tries_left, issued_at, claimed_at) ON meter_claim TO aqkol_service;
GRANT UPDATE (closed_at, closed_by, outcome) ON meter_case TO aqkol_service;
GRANT UPDATE (high_water, seen, updated_at) ON replay_window TO aqkol_service;
