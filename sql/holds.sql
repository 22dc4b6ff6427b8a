-- What keeps a bill from being issued, as people see and answer it.

-- name: list_outsorting()
-- List what was said about which bills a person looks at first.
SELECT valid_from, revision, high_percent, floor_minor, months_back, first_minor, approved_by,
       entered_at
FROM outsorting
ORDER BY valid_from, revision;

-- name: lock_outsorting()!
-- Keep others from saying figures until the commit, so that revisions follow each other.
SELECT pg_advisory_xact_lock(hashtextextended('billing.outsorting', 0));

-- name: add_outsorting(valid_from, high_percent, floor_minor, months_back, first_minor, approved_by, at)$
-- Enter a town's word, as the next revision of its day.
INSERT INTO outsorting (
    valid_from, revision, high_percent, floor_minor, months_back, first_minor, approved_by,
    entered_at
)
SELECT :valid_from::date, coalesce(max(o.revision), 0) + 1, :high_percent, :floor_minor,
       :months_back, :first_minor::bigint, :approved_by, :at
FROM outsorting o
WHERE o.valid_from = :valid_from::date
RETURNING revision;

-- name: lock_account(account_id)$
-- Hold an account still, against a run that bills it.
SELECT account_id FROM account WHERE account_id = :account_id FOR NO KEY UPDATE;

-- name: find_hold(account_id, period_start)^
-- Say what holds the bill of an account for a period.
SELECT account_id, period_start, reason, meter_id, noted_at, detail::text AS detail
FROM bill_hold
WHERE account_id = :account_id AND period_start = :period_start::date;

-- name: has_bill(account_id, period_start)$
-- Say whether an account has a bill for a period.
SELECT EXISTS (
    SELECT FROM bill WHERE account_id = :account_id AND period_start = :period_start::date
);

-- name: list_releases(account_id, period_start)
-- List the words by which an unusual bill may go out.
SELECT release_no, total_minor, because, released_by, released_at
FROM bill_release
WHERE account_id = :account_id AND period_start = :period_start::date
ORDER BY release_no;

-- name: add_release(account_id, period_start, total_minor, because, released_by, at)$
-- Let an unusual bill of a locked account go out, up to a total.
INSERT INTO bill_release (
    account_id, period_start, release_no, total_minor, because, released_by, released_at
)
SELECT :account_id, :period_start::date, coalesce(max(r.release_no), 0) + 1, :total_minor, :because,
       :released_by, :at
FROM bill_release r
WHERE r.account_id = :account_id AND r.period_start = :period_start::date
RETURNING release_no;

-- name: list_questions(account_id)
-- List the questions about an account's months, the newest month first.
SELECT d.period_start, d.question_no, d.because, d.asked_by, d.asked_at, e.because AS answer,
       e.answered_by, e.answered_at
FROM month_question d
LEFT JOIN month_answer e USING (account_id, period_start, question_no)
WHERE d.account_id = :account_id
ORDER BY d.period_start DESC, d.question_no;

-- name: ask_question(account_id, period_start, because, asked_by, at)$
-- Note a question about a month of a locked account.
INSERT INTO month_question (account_id, period_start, question_no, because, asked_by, asked_at)
SELECT :account_id, :period_start::date, coalesce(max(d.question_no), 0) + 1, :because, :asked_by,
       :at
FROM month_question d
WHERE d.account_id = :account_id AND d.period_start = :period_start::date
RETURNING question_no;

-- name: answer_question(account_id, period_start, question_no, because, answered_by, at)!
-- Note the answer to a question.
INSERT INTO month_answer (
    account_id, period_start, question_no, because, answered_by, answered_at
)
VALUES (:account_id, :period_start, :question_no, :because, :answered_by, :at);
