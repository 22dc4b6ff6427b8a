-- Where residents are written to. Asked only on behalf of the resident, and to send him what he is told.

-- name: contact_now(account_id)^
-- What holds for a resident now.
SELECT account_id, revision, address, language, quiet_from_minor, quiet_to_minor, said_at
FROM contact
WHERE account_id = :account_id AND replaced_at IS NULL;

-- name: contact(account_id, revision)^
-- What a resident said once.
SELECT account_id, revision, address, language, quiet_from_minor, quiet_to_minor, said_at
FROM contact
WHERE account_id = :account_id AND revision = :revision;

-- name: replace_contact(account_id, at)!
-- Let the word that holds be replaced.
UPDATE contact SET replaced_at = greatest(:at, said_at)
WHERE account_id = :account_id AND replaced_at IS NULL;

-- name: add_contact(account_id, revision, address, language, quiet_from_minor, quiet_to_minor, at)!
-- Keep a new word.
INSERT INTO contact (
    account_id, revision, address, language, quiet_from_minor, quiet_to_minor, said_at
)
VALUES (
    :account_id, :revision, :address, :language, :quiet_from_minor, :quiet_to_minor, :at
);

-- name: contacts_that_hear(account_id, since)
-- The contacts that must hear of a change: what holds, and what was replaced not long ago.
SELECT account_id, revision, address, language, quiet_from_minor, quiet_to_minor, said_at
FROM contact
WHERE account_id = :account_id AND address IS NOT NULL
    AND (replaced_at IS NULL OR replaced_at > :since)
ORDER BY revision;

-- name: forget_contacts(before, batch)
-- Forget addresses that were replaced long ago and to which nothing is on its way.
UPDATE contact c SET address = NULL
FROM (
    SELECT o.account_id, o.revision
    FROM contact o
    WHERE o.address IS NOT NULL AND o.replaced_at < :before
        AND NOT EXISTS (
            SELECT FROM message m
            WHERE m.account_id = o.account_id AND m.to_revision = o.revision
                AND m.state IN ('queued', 'sending')
        )
    ORDER BY o.replaced_at
    LIMIT :batch::int
) AS old
WHERE c.account_id = old.account_id AND c.revision = old.revision
RETURNING c.account_id;
