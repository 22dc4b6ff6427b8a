-- Changes of prices: proposed by one person, decided by another, and what an approval writes.

-- name: lock_proposals()!
-- Let one person after the other propose and decide.
SELECT pg_advisory_xact_lock(hashtextextended('billing.proposals', 0));

-- name: add_proposal(kind, tariff_code, first_day, content, source, set_up, proposed_by, proposed_at)$
-- Write a proposal down under the next number.
INSERT INTO price_proposal (
    proposal_no, kind, tariff_code, first_day, content, source, set_up, proposed_by, proposed_at
)
SELECT coalesce(max(proposal_no), 0) + 1, :kind, :tariff_code, :first_day, :content, :source,
       :set_up, :proposed_by, :proposed_at
FROM price_proposal
RETURNING proposal_no;

-- name: add_decision(proposal_no, proposed_by, outcome, because, decided_by, decided_at)!
-- Write down what became of a proposal.
INSERT INTO price_decision (
    proposal_no, proposed_by, outcome, because, decided_by, decided_at
)
VALUES (:proposal_no, :proposed_by, :outcome, :because, :decided_by, :decided_at);

-- name: find_proposal(proposal_no)^
-- Find a proposal and what became of it.
SELECT p.proposal_no, p.kind, p.content, p.source, p.set_up, p.proposed_by, p.proposed_at,
       d.outcome, d.because, d.decided_by, d.decided_at
FROM price_proposal p
LEFT JOIN price_decision d USING (proposal_no)
WHERE p.proposal_no = :proposal_no;

-- name: list_proposals(before, waiting, page)
-- List proposals, newest first, all or those that wait for a second person.
SELECT p.proposal_no, p.kind, p.content, p.source, p.set_up, p.proposed_by, p.proposed_at,
       d.outcome, d.because, d.decided_by, d.decided_at
FROM price_proposal p
LEFT JOIN price_decision d USING (proposal_no)
WHERE p.proposal_no < :before AND (NOT :waiting::boolean OR d.proposal_no IS NULL)
ORDER BY p.proposal_no DESC
LIMIT :page;

-- name: add_vat_rate(valid_from, rate_bp, source)!
-- Add the VAT from a local day on; the schema refuses two rates of one day.
INSERT INTO vat_rate (valid_from, rate_bp, source) VALUES (:valid_from, :rate_bp, :source);

-- name: vat_billed_after(valid_from, from_at)$
-- Say whether anything was billed for time after the given instant.
SELECT EXISTS (
    SELECT
    FROM bill b
    JOIN bill_line l USING (account_id, bill_no)
    WHERE b.period_end > :valid_from::date AND l.to_at > :from_at::timestamptz
) OR EXISTS (
    SELECT
    FROM bill b
    JOIN bill_charge c USING (account_id, bill_no)
    WHERE b.period_end > :valid_from::date AND c.kind = 'standing'
      AND c.to_day > :valid_from::date
);

-- name: list_proposers()
-- List who proposed each version of a tariff that was approved.
SELECT p.tariff_code, p.first_day AS valid_from, p.proposed_by
FROM price_proposal p
JOIN price_decision d USING (proposal_no)
WHERE p.kind = 'tariff' AND d.outcome = 'approved';
