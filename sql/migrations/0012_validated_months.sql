-- migrate:up

-- When the rules went over a month, and what they found; a month may be gone over many times.
CREATE TABLE validation (
    period_start  date        NOT NULL,
    validated_at  timestamptz NOT NULL,
    installations bigint      NOT NULL CHECK (installations >= 0),
    flagged       bigint      NOT NULL CHECK (flagged >= 0),
    held          bigint      NOT NULL CHECK (held >= 0),
    refused       bigint      NOT NULL CHECK (refused >= 0),
    written       bigint      NOT NULL CHECK (written >= 0),
    PRIMARY KEY (period_start, validated_at)
);

GRANT SELECT, INSERT ON validation TO aqkol_service;
