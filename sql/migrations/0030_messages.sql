-- migrate:up

-- Where a resident is written to: one word, until the next one replaces it. Personal data, apart from the
-- rest like the person; everything else knows the account_id and the revision only.
CREATE TABLE contact (
    account_id       text        NOT NULL REFERENCES account,
    revision         integer     NOT NULL CHECK (revision > 0),
    -- NULL: no mail is wanted, or the address was forgotten after a later one replaced it.
    address          text        CHECK (length(address) <= 254 AND address ~ '^[!-?A-~]{1,64}@[A-Za-z0-9.-]{3,189}$'),
    language         text        NOT NULL CHECK (language IN ('kk', 'ru', 'en')),
    quiet_from_minor bigint      CHECK (quiet_from_minor >= 0),
    quiet_to_minor   bigint      CHECK (quiet_to_minor >= quiet_from_minor),
    said_at          timestamptz NOT NULL,
    -- When a later word took its place.
    replaced_at      timestamptz CHECK (replaced_at >= said_at),
    PRIMARY KEY (account_id, revision),
    CONSTRAINT quiet_has_two_ends CHECK ((quiet_from_minor IS NULL) = (quiet_to_minor IS NULL))
);
-- One word holds.
CREATE UNIQUE INDEX contact_now ON contact (account_id) WHERE replaced_at IS NULL;
-- Addresses that are to be forgotten.
CREATE INDEX contact_old ON contact (replaced_at) WHERE address IS NOT NULL AND replaced_at IS NOT NULL;

-- What a resident is told. A row is born with the step that causes it and named after it, so that one
-- cause is one message; it is sent later, and marked, never counted past. "about" holds the facts of the
-- letter and nothing about the person. The states are drawn in billing/message.py.
CREATE TABLE message (
    account_id   text        NOT NULL REFERENCES account,
    message_id   text        NOT NULL CHECK (message_id ~ '^[a-z_]{1,20}(/[0-9A-Za-z-]{1,64}){1,4}$'),
    kind         text        NOT NULL CHECK (kind IN (
        'notice', 'receipt', 'correction', 'hold', 'retry', 'failed', 'refund', 'account_change',
        'contact_change'
    )),
    about        jsonb       NOT NULL CHECK (jsonb_typeof(about) = 'object' AND length(about::text) <= 2000),
    -- The contact it is for; NULL is the one that holds when it is sent.
    to_revision  integer     CHECK (to_revision > 0),
    channel      text        NOT NULL CHECK (channel IN ('api', 'mail')),
    state        text        NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'failed', 'given_up')),
    tries        integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    -- While it is being sent: until when it is somebody's.
    next_try_at  timestamptz NOT NULL,
    queued_at    timestamptz NOT NULL,
    delivered_at timestamptz,
    trouble      text        CHECK (trouble ~ '^[a-z0-9_]{1,40}$'),
    PRIMARY KEY (account_id, message_id),
    FOREIGN KEY (account_id, to_revision) REFERENCES contact,
    -- Delivered is what a relay has taken, or what stands in the API, which is at once.
    CONSTRAINT sent_is_delivered CHECK ((state = 'sent') = (delivered_at IS NOT NULL)),
    CONSTRAINT api_is_at_once CHECK (channel <> 'api' OR state = 'sent')
);
CREATE INDEX message_waiting ON message (next_try_at) WHERE state IN ('queued', 'sending');
CREATE INDEX message_stuck ON message (queued_at, account_id, message_id) WHERE state IN ('failed', 'given_up');

GRANT SELECT, INSERT ON contact, message TO aqkol_service;
GRANT UPDATE (address, replaced_at) ON contact TO aqkol_service;
GRANT UPDATE (channel, state, tries, next_try_at, delivered_at, trouble) ON message TO aqkol_service;
