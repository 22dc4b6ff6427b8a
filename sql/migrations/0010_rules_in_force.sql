-- migrate:up

-- The midnight with which an override's day began: ingest knows instants, and a zone may change its
-- mind. No command has written an override before this one, so there is no row to fill.
ALTER TABLE rule_override
    ADD COLUMN from_at timestamptz NOT NULL,
    ADD CONSTRAINT override_day_is_local CHECK (
        abs(extract(epoch FROM from_at) - extract(epoch FROM valid_from)) <= 14 * 3600
    );
