-- name: create_schema#
-- Open the books: every commit is on disk before it is answered, and one bank owns the file.
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS resource (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    resource_id TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    removed     INTEGER NOT NULL DEFAULT 0,
    body        TEXT NOT NULL,
    -- What the body was before the instant of its last change, for a reader who lags.
    changed_at  TEXT NOT NULL,
    previous    TEXT,
    status        TEXT GENERATED ALWAYS AS (json_extract(body, '$.status')) STORED,
    currency      TEXT GENERATED ALWAYS AS (json_extract(body, '$.currency')) STORED,
    scheme        TEXT GENERATED ALWAYS AS (json_extract(body, '$.scheme')) STORED,
    reference     TEXT GENERATED ALWAYS AS (json_extract(body, '$.reference')) STORED,
    charge_date   TEXT GENERATED ALWAYS AS (json_extract(body, '$.charge_date')) STORED,
    amount        INTEGER GENERATED ALWAYS AS (json_extract(body, '$.amount')) STORED,
    enabled       INTEGER GENERATED ALWAYS AS (json_extract(body, '$.enabled')) STORED,
    action        TEXT GENERATED ALWAYS AS (json_extract(body, '$.action')) STORED,
    resource_type TEXT GENERATED ALWAYS AS (json_extract(body, '$.resource_type')) STORED,
    creditor      TEXT GENERATED ALWAYS AS (json_extract(body, '$.links.creditor')) STORED,
    customer      TEXT GENERATED ALWAYS AS (
        coalesce(json_extract(body, '$.links.customer'), json_extract(body, '$.hidden.customer'))
    ) STORED,
    account       TEXT
        GENERATED ALWAYS AS (json_extract(body, '$.links.customer_bank_account')) STORED,
    mandate       TEXT GENERATED ALWAYS AS (json_extract(body, '$.links.mandate')) STORED,
    payment       TEXT GENERATED ALWAYS AS (json_extract(body, '$.links.payment')) STORED,
    billing_request TEXT
        GENERATED ALWAYS AS (json_extract(body, '$.links.billing_request')) STORED,
    parent_event  TEXT GENERATED ALWAYS AS (json_extract(body, '$.links.parent_event')) STORED,
    successful    INTEGER GENERATED ALWAYS AS (json_extract(body, '$.successful')) STORED,
    fingerprint   TEXT GENERATED ALWAYS AS (json_extract(body, '$.hidden.fingerprint')) STORED,
    payout        TEXT GENERATED ALWAYS AS (
        coalesce(json_extract(body, '$.links.payout'), json_extract(body, '$.hidden.settled_by'))
    ) STORED,
    refund        TEXT GENERATED ALWAYS AS (json_extract(body, '$.links.refund')) STORED,
    payout_type   TEXT GENERATED ALWAYS AS (json_extract(body, '$.payout_type')) STORED,
    creditor_bank_account TEXT
        GENERATED ALWAYS AS (json_extract(body, '$.links.creditor_bank_account')) STORED
);
CREATE INDEX IF NOT EXISTS resource_kind ON resource (kind, seq);
CREATE INDEX IF NOT EXISTS resource_customer ON resource (customer, kind);
CREATE INDEX IF NOT EXISTS resource_account ON resource (account, kind);
CREATE INDEX IF NOT EXISTS resource_mandate ON resource (mandate, kind);
CREATE INDEX IF NOT EXISTS resource_payment ON resource (payment, kind);
CREATE INDEX IF NOT EXISTS resource_payout ON resource (payout, kind) WHERE payout IS NOT NULL;
CREATE INDEX IF NOT EXISTS resource_unsettled ON resource (seq)
    WHERE kind = 'payout_items' AND payout IS NULL;
CREATE INDEX IF NOT EXISTS resource_request ON resource (billing_request, kind);
CREATE INDEX IF NOT EXISTS resource_fingerprint ON resource (fingerprint)
    WHERE fingerprint IS NOT NULL;
CREATE TABLE IF NOT EXISTS agenda (
    agenda_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    step        TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS agenda_due ON agenda (due_at, agenda_id);
CREATE INDEX IF NOT EXISTS agenda_resource ON agenda (resource_id);
CREATE TABLE IF NOT EXISTS idempotency (
    operation       TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    resource_id     TEXT NOT NULL,
    spent_at        TEXT NOT NULL,
    PRIMARY KEY (operation, idempotency_key)
) WITHOUT ROWID;
-- Events that stand in no webhook yet: each leaves with the webhook it is put into.
CREATE TABLE IF NOT EXISTS outbox (
    place    INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE
);
-- Webhooks that have not arrived yet, and when to try again.
CREATE TABLE IF NOT EXISTS delivery (
    webhook_id TEXT PRIMARY KEY,
    due_at     TEXT NOT NULL,
    tries      INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (due_at);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- name: insert_resource(resource_id, kind, created_at, body)!
-- Write down a new resource; its place in the sequence is its place in every list.
INSERT INTO resource (resource_id, kind, created_at, changed_at, body)
VALUES (:resource_id, :kind, :created_at, :created_at, :body);

-- name: update_resource(resource_id, body, changed_at)!
-- Write down what a resource has become, keeping what it was before this instant.
UPDATE resource
SET previous = CASE WHEN changed_at = :changed_at THEN previous ELSE body END,
    changed_at = :changed_at, body = :body
WHERE resource_id = :resource_id;

-- name: remove_resource(resource_id)!
-- Take a resource out of every answer; the books keep it.
UPDATE resource SET removed = 1 WHERE resource_id = :resource_id;

-- name: resource_body(kind, resource_id, seen_until)$
-- Read one resource by its kind and id, as it was at an instant or a little before.
SELECT CASE WHEN changed_at <= :seen_until THEN body ELSE previous END FROM resource
WHERE resource_id = :resource_id AND kind = :kind AND NOT removed AND created_at <= :seen_until;

-- name: resource_seq(kind, resource_id)$
-- Read the place of a cursor, which stays good when its resource is removed.
SELECT seq FROM resource WHERE resource_id = :resource_id AND kind = :kind;

-- name: page_older(kind, edge_seq, rows, status, currency, scheme, reference, enabled, action, resource_type, creditor, customer, customer_bank_account, mandate, payment, billing_request, parent_event, payout, refund, payout_type, creditor_bank_account, successful, created_from, created_to, charged_from, charged_to, seen_until)
-- Read the page just older than the edge, newest first.
SELECT CASE WHEN changed_at <= :seen_until THEN body ELSE previous END FROM resource
WHERE kind = :kind AND NOT removed AND created_at <= :seen_until AND seq < :edge_seq
  AND (:status IS NULL OR instr(:status, ',' || status || ',') > 0)
  AND (:currency IS NULL OR currency = :currency)
  AND (:scheme IS NULL OR scheme = :scheme)
  AND (:reference IS NULL OR reference = :reference)
  AND (:enabled IS NULL OR enabled = :enabled)
  AND (:action IS NULL OR action = :action)
  AND (:resource_type IS NULL OR resource_type = :resource_type)
  AND (:creditor IS NULL OR creditor = :creditor)
  AND (:customer IS NULL OR customer = :customer)
  AND (:customer_bank_account IS NULL OR account = :customer_bank_account)
  AND (:mandate IS NULL OR mandate = :mandate)
  AND (:payment IS NULL OR payment = :payment)
  AND (:billing_request IS NULL OR billing_request = :billing_request)
  AND (:parent_event IS NULL OR parent_event = :parent_event)
  AND (:payout IS NULL OR payout = :payout)
  AND (:refund IS NULL OR refund = :refund)
  AND (:payout_type IS NULL OR payout_type = :payout_type)
  AND (:creditor_bank_account IS NULL OR creditor_bank_account = :creditor_bank_account)
  AND (:successful IS NULL OR successful = :successful)
  AND created_at >= :created_from AND created_at < :created_to
  AND (charge_date IS NULL OR (charge_date >= :charged_from AND charge_date < :charged_to))
ORDER BY seq DESC LIMIT :rows;

-- name: page_newer(kind, edge_seq, rows, status, currency, scheme, reference, enabled, action, resource_type, creditor, customer, customer_bank_account, mandate, payment, billing_request, parent_event, payout, refund, payout_type, creditor_bank_account, successful, created_from, created_to, charged_from, charged_to, seen_until)
-- Read the page just newer than the edge, oldest first.
SELECT CASE WHEN changed_at <= :seen_until THEN body ELSE previous END FROM resource
WHERE kind = :kind AND NOT removed AND created_at <= :seen_until AND seq > :edge_seq
  AND (:status IS NULL OR instr(:status, ',' || status || ',') > 0)
  AND (:currency IS NULL OR currency = :currency)
  AND (:scheme IS NULL OR scheme = :scheme)
  AND (:reference IS NULL OR reference = :reference)
  AND (:enabled IS NULL OR enabled = :enabled)
  AND (:action IS NULL OR action = :action)
  AND (:resource_type IS NULL OR resource_type = :resource_type)
  AND (:creditor IS NULL OR creditor = :creditor)
  AND (:customer IS NULL OR customer = :customer)
  AND (:customer_bank_account IS NULL OR account = :customer_bank_account)
  AND (:mandate IS NULL OR mandate = :mandate)
  AND (:payment IS NULL OR payment = :payment)
  AND (:billing_request IS NULL OR billing_request = :billing_request)
  AND (:parent_event IS NULL OR parent_event = :parent_event)
  AND (:payout IS NULL OR payout = :payout)
  AND (:refund IS NULL OR refund = :refund)
  AND (:payout_type IS NULL OR payout_type = :payout_type)
  AND (:creditor_bank_account IS NULL OR creditor_bank_account = :creditor_bank_account)
  AND (:successful IS NULL OR successful = :successful)
  AND created_at >= :created_from AND created_at < :created_to
  AND (charge_date IS NULL OR (charge_date >= :charged_from AND charge_date < :charged_to))
ORDER BY seq LIMIT :rows;

-- name: whole_older(kind, edge_seq, rows, seen_until)
-- Read the page of a whole list just older than the edge, newest first.
SELECT CASE WHEN changed_at <= :seen_until THEN body ELSE previous END FROM resource
WHERE kind = :kind AND NOT removed AND created_at <= :seen_until AND seq < :edge_seq
ORDER BY seq DESC LIMIT :rows;

-- name: whole_newer(kind, edge_seq, rows, seen_until)
-- Read the page of a whole list just newer than the edge, oldest first.
SELECT CASE WHEN changed_at <= :seen_until THEN body ELSE previous END FROM resource
WHERE kind = :kind AND NOT removed AND created_at <= :seen_until AND seq > :edge_seq
ORDER BY seq LIMIT :rows;

-- name: accounts_of_customer(customer)
-- Read the bank accounts of a customer that is being removed.
SELECT body FROM resource
WHERE customer = :customer AND kind = 'customer_bank_accounts' AND NOT removed ORDER BY seq;

-- name: open_requests_of_customer(customer)
-- Read the requests that nobody has answered to a customer that is being removed.
SELECT body FROM resource
WHERE customer = :customer AND kind = 'billing_requests'
  AND status IN ('pending', 'ready_to_fulfil') ORDER BY seq;

-- name: mandates_of_account(account)
-- Read the mandates on a bank account that is being disabled.
SELECT body FROM resource WHERE account = :account AND kind = 'mandates' ORDER BY seq;

-- name: payments_of_mandate(mandate)
-- Read the payments of a mandate that ends.
SELECT body FROM resource WHERE mandate = :mandate AND kind = 'payments' ORDER BY seq;

-- name: account_by_fingerprint(customer, fingerprint)$
-- Find the enabled bank account with this number that the customer already has.
SELECT resource_id FROM resource
WHERE fingerprint = :fingerprint AND customer = :customer AND enabled AND NOT removed;

-- name: charged_between(mandate, day_from, day_to)^
-- Count and add up what a mandate's living payments take on days from ... until before ...
SELECT count(*), coalesce(sum(amount), 0) FROM resource
WHERE mandate = :mandate AND kind = 'payments'
  AND status NOT IN ('cancelled', 'failed', 'charged_back')
  AND charge_date >= :day_from AND charge_date < :day_to;

-- name: last_payment_at(mandate)$
-- Find when a mandate was last used.
SELECT max(created_at) FROM resource WHERE mandate = :mandate AND kind = 'payments';

-- name: refunds_of_payment(payment)
-- Read the refunds of a payment, oldest first.
SELECT body FROM resource WHERE payment = :payment AND kind = 'refunds' ORDER BY seq;

-- name: items_about_payment(payment)
-- Read the payout items that tell of a payment, settled or not.
SELECT body FROM resource
WHERE payment = :payment AND kind = 'payout_items' AND NOT removed ORDER BY seq;

-- name: items_of(payout)
-- Read everything that a payout is made of.
SELECT body FROM resource
WHERE payout = :payout AND kind = 'payout_items' AND NOT removed ORDER BY seq;

-- name: unsettled(before)
-- Read the items that no payout has taken yet and that are older than an instant.
SELECT body FROM resource
WHERE kind = 'payout_items' AND payout IS NULL AND NOT removed AND created_at < :before
ORDER BY seq;

-- name: amount_of(kind, status)$
-- Add up the amounts of a kind in one state.
SELECT coalesce(sum(amount), 0) FROM resource WHERE kind = :kind AND status = :status;

-- name: everything(kind)
-- Read one whole kind, oldest first, removed ones too, for the checkers.
SELECT body FROM resource WHERE kind = :kind ORDER BY seq;

-- name: count_of(kind)$
-- Count one whole kind, for the checkers.
SELECT count(*) FROM resource WHERE kind = :kind;

-- name: plan_step(due_at, kind, resource_id, step)!
-- Put a step on the agenda.
INSERT INTO agenda (due_at, kind, resource_id, step)
VALUES (:due_at, :kind, :resource_id, :step);

-- name: planned_step(resource_id, step, due_at)$
-- Find a step that is on the agenda for an instant.
SELECT agenda_id FROM agenda
WHERE resource_id = :resource_id AND step = :step AND due_at = :due_at;

-- name: next_step()^
-- Read the earliest step; steps of one instant keep the order of their planning.
SELECT agenda_id, due_at, kind, resource_id, step FROM agenda
ORDER BY due_at, agenda_id LIMIT 1;

-- name: strike_step(agenda_id)!
-- Take a step off the agenda in the transaction that carries it out.
DELETE FROM agenda WHERE agenda_id = :agenda_id;

-- name: strike_all(resource_id, but)!
-- Forget what was planned for a resource whose life took another turn.
DELETE FROM agenda WHERE resource_id = :resource_id AND step <> :but;

-- name: newest(kind, other_than)$
-- Find the newest resource of a kind beside one.
SELECT resource_id FROM resource
WHERE kind = :kind AND resource_id <> :other_than ORDER BY seq DESC LIMIT 1;

-- name: remember_key(operation, idempotency_key, resource_id, spent_at)!
-- Spend an idempotency key, again if it had been forgotten, with the resource it makes.
INSERT INTO idempotency (operation, idempotency_key, resource_id, spent_at)
VALUES (:operation, :idempotency_key, :resource_id, :spent_at)
ON CONFLICT (operation, idempotency_key)
DO UPDATE SET resource_id = excluded.resource_id, spent_at = excluded.spent_at;

-- name: recall_key(operation, idempotency_key, since)$
-- Find what an idempotency key has made, unless that is too long ago to be known.
SELECT resource_id FROM idempotency
WHERE operation = :operation AND idempotency_key = :idempotency_key AND spent_at > :since;

-- name: forget_key(operation, idempotency_key)!
-- Forget an idempotency key before its time.
DELETE FROM idempotency WHERE operation = :operation AND idempotency_key = :idempotency_key;

-- name: write_setting(name, value)!
-- Keep one fact about the bank itself.
INSERT INTO setting (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: read_setting(name)$
-- Read one fact about the bank itself.
SELECT value FROM setting WHERE name = :name;

-- name: post_event(event_id)!
-- Put an event into the outbox, in the transaction that writes it down.
INSERT INTO outbox (event_id) VALUES (:event_id);

-- name: posted_events(rows)
-- Read the events that stand in no webhook yet, oldest first.
SELECT resource.body FROM outbox
JOIN resource ON resource.resource_id = outbox.event_id
ORDER BY outbox.place LIMIT :rows;

-- name: unpost_event(event_id)!
-- Take an event out of the outbox, in the transaction that puts it into a webhook.
DELETE FROM outbox WHERE event_id = :event_id;

-- name: plan_delivery(webhook_id, due_at, tries)!
-- Say when a webhook is to be delivered next.
INSERT INTO delivery (webhook_id, due_at, tries) VALUES (:webhook_id, :due_at, :tries)
ON CONFLICT (webhook_id) DO UPDATE SET due_at = excluded.due_at, tries = excluded.tries;

-- name: end_delivery(webhook_id)!
-- Forget a delivery that arrived or was given up.
DELETE FROM delivery WHERE webhook_id = :webhook_id;

-- name: due_deliveries(until)
-- Read the webhooks that are to be delivered by now, in the order of their making.
SELECT delivery.webhook_id, delivery.tries FROM delivery
JOIN resource ON resource.resource_id = delivery.webhook_id
WHERE delivery.due_at <= :until ORDER BY resource.seq;

-- name: count_deliveries()^
-- Count the events and the webhooks that are still on their way.
SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM delivery);

-- name: oldest(kind)$
-- Read the oldest resource of a kind.
SELECT body FROM resource WHERE kind = :kind ORDER BY seq LIMIT 1;

-- name: debited(account)
-- Read what was moved to or from an account of the creditor outside of a payout, and when.
SELECT body, changed_at FROM resource
WHERE kind = 'payout_items' AND NOT removed
  AND json_extract(body, '$.hidden.settled_by') = :account
ORDER BY changed_at, seq;
