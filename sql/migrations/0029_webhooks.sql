-- migrate:up

-- A body that the bank signed, whole, as it came: under which of our secrets (1 the newest), and how often.
-- Kept for some weeks after it was opened.
CREATE TABLE webhook_delivery (
    delivery_id      bytea       PRIMARY KEY,
    body             bytea       NOT NULL CHECK (length(body) <= 1048576),
    signed_by        smallint    NOT NULL CHECK (signed_by IN (1, 2)),
    times            integer     NOT NULL DEFAULT 1 CHECK (times > 0),
    received_at      timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL CHECK (last_received_at >= received_at),
    handled_at       timestamptz,
    trouble          text        CHECK (trouble ~ '^[a-z_]{1,40}$'),
    -- A body cannot stand under another one's name.
    CONSTRAINT delivery_is_its_body CHECK (delivery_id = sha256(body)),
    CONSTRAINT trouble_is_seen_by_opening CHECK (trouble IS NULL OR handled_at IS NOT NULL)
);
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (received_at) WHERE handled_at IS NULL;
CREATE INDEX webhook_delivery_handled ON webhook_delivery (handled_at);

-- An event of the bank that has to be looked at, or looked at again: it came in a delivery, it names what
-- we do not know (yet), or it broke our own code. In the end a person answers. What was dealt with stands
-- in bank_event for ever; the row here goes after some weeks.
CREATE TABLE bank_hint (
    event_id    text        PRIMARY KEY CHECK (event_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    told        jsonb       NOT NULL CHECK (jsonb_typeof(told) = 'object'),
    heard_at    timestamptz NOT NULL,
    look_at     timestamptz NOT NULL,
    looks       integer     NOT NULL DEFAULT 0 CHECK (looks >= 0),
    state       text        NOT NULL CHECK (state IN ('waiting', 'asked', 'done')),
    trouble     text        CHECK (trouble ~ '^[a-z_]{1,40}$'),
    answered_by text        CHECK (length(answered_by) BETWEEN 1 AND 100),
    because     text        CHECK (length(because) BETWEEN 1 AND 500),
    settled_at  timestamptz,
    CONSTRAINT done_is_settled CHECK ((state = 'done') = (settled_at IS NOT NULL)),
    CONSTRAINT asked_about_something CHECK (state <> 'asked' OR trouble IS NOT NULL),
    CONSTRAINT answer_is_whole CHECK ((answered_by IS NULL) = (because IS NULL))
);
CREATE INDEX bank_hint_due ON bank_hint (look_at) WHERE state = 'waiting';
CREATE INDEX bank_hint_open ON bank_hint (event_id) WHERE state <> 'done';

GRANT SELECT, INSERT ON webhook_delivery, bank_hint TO aqkol_service;
GRANT UPDATE (times, last_received_at, handled_at, trouble), DELETE ON webhook_delivery TO aqkol_service;
GRANT UPDATE (
    look_at, looks, state, trouble, heard_at, answered_by, because, settled_at
), DELETE ON bank_hint TO aqkol_service;
