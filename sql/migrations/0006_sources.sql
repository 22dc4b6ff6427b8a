-- migrate:up

-- What other makers' hardware says on a topic about a device is what this meter's dial shows. Who
-- changes a source removes it and enters another, so that every reading can be explained.
CREATE TABLE source (
    meter_id        text        NOT NULL REFERENCES meter,
    source_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    family          text        NOT NULL CHECK (family ~ '^[a-z0-9_]{1,32}$'),
    topic           text        NOT NULL CHECK (length(topic) BETWEEN 1 AND 256),
    device          text        NOT NULL CHECK (length(device) <= 128),
    dm3_numerator   bigint      NOT NULL CHECK (dm3_numerator BETWEEN 1 AND 1000000000000),
    dm3_denominator bigint      NOT NULL CHECK (dm3_denominator BETWEEN 1 AND 1000000),
    offset_dm3      bigint      NOT NULL
        CHECK (offset_dm3 BETWEEN -1000000000000000 AND 1000000000000000),
    unit            text        NOT NULL CHECK (unit ~ '^[a-z0-9]{1,16}$'),
    zone            text        NOT NULL CHECK (length(zone) BETWEEN 1 AND 64),
    every_s         integer     NOT NULL CHECK (every_s BETWEEN 1 AND 2678400),
    entered_by      text        NOT NULL CHECK (length(entered_by) BETWEEN 1 AND 100),
    entered_at      timestamptz NOT NULL,
    removed_by      text        CHECK (length(removed_by) BETWEEN 1 AND 100),
    removed_at     timestamptz,
    PRIMARY KEY (meter_id, source_id),
    CONSTRAINT topic_is_a_filter CHECK (
        topic ~ '^(\+|#|[^+#/]*)(/(\+|[^+#/]*))*(/#)?$' AND topic !~ '^#.' AND topic !~ '[[:cntrl:]]'
    ),
    -- Our own meters, the doctor's corner and the broker itself are never a stranger's.
    CONSTRAINT topic_is_not_ours CHECK (
        topic !~ '^(\$|#|(\+|gas)/(#|(\+|v1)(/|$))|(\+|aqkol)/(#|(\+|doctor)(/|$)))'
    ),
    -- Otherwise whatever any device says there would be this one meter's.
    CONSTRAINT wildcard_names_a_device CHECK (device <> '' OR topic !~ '[+#]'),
    CONSTRAINT removal_is_whole CHECK (num_nonnulls(removed_at, removed_by) IN (0, 2))
);
-- One device is one meter's; across meters whoever enters one looks, holding a lock.
CREATE UNIQUE INDEX source_live ON source (meter_id, topic, device) WHERE removed_at IS NULL;

GRANT SELECT, INSERT ON source TO aqkol_service;
GRANT UPDATE (removed_at, removed_by) ON source TO aqkol_service;

-- Counters of adapted telegrams are made by us and carry bits of the digest (metering/adapter.py);
-- JSON holds whole numbers below 2^53 exactly.
ALTER TABLE telegram
    DROP CONSTRAINT telegram_counter_check,
    ADD CONSTRAINT counter_fits CHECK (
        counter BETWEEN 0 AND CASE key_epoch WHEN -1 THEN 9007199254740991 ELSE 4294967295 END
    );
