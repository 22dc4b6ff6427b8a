-- name: keep_token(token_digest, role, account_id, label, created_at, expires_at)!
-- Keep the digest of a new token; the token itself is never stored.
INSERT INTO access_token (token_digest, role, account_id, label, created_at, expires_at)
VALUES (:token_digest, :role, :account_id, :label, :created_at, :expires_at);

-- name: find_token(token_digest)^
-- Find what a token may do, what it is for, until when, and whether it was taken back.
SELECT token_digest, role, account_id, label, expires_at, revoked_at
FROM access_token
WHERE token_digest = :token_digest;

-- name: revoke_token(token_digest, at)!
-- Take one token back; an earlier revocation stays as it was.
UPDATE access_token SET revoked_at = :at
WHERE token_digest = :token_digest AND revoked_at IS NULL;

-- name: revoke_account_tokens(account_id, at)!
-- Take back every token of one account that still works.
UPDATE access_token SET revoked_at = :at
WHERE account_id = :account_id AND revoked_at IS NULL AND expires_at > :at;
