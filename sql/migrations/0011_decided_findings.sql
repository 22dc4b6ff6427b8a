-- migrate:up

-- A person's word on a finding: it has been looked at and may stand. The finding, and the reading or
-- period it is about, stay as they were. A digest names one finding of its meter.
CREATE TABLE finding_decision (
    meter_id   text        NOT NULL REFERENCES meter,
    digest     bytea       NOT NULL CHECK (length(digest) = 32),
    decided_by text        NOT NULL CHECK (length(decided_by) BETWEEN 1 AND 100),
    because    text        NOT NULL CHECK (length(because) BETWEEN 1 AND 500),
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (meter_id, digest)
);
-- Findings as operators read them, the newest first.
CREATE INDEX reading_finding_newest ON reading_finding (found_at DESC, meter_id DESC, digest DESC);
CREATE INDEX period_finding_newest ON period_finding (found_at DESC, meter_id DESC, digest DESC);

GRANT SELECT, INSERT ON finding_decision TO aqkol_service;
