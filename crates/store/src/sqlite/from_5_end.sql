-- From version 5: after `transactions.sql`, and before there are triggers that would count and tell anew what was
-- counted and told.
INSERT INTO transactions (id, state, network, asset, payer, nonce, payload, binding, access_token_hash, secret,
    method, request, echo, location, is_resumable, deadline, not_before, attempts, lease, leased_until, failure,
    key_manifest, response, reserved_at, settled_at, erased_at)
SELECT id, state, network, asset, payer, nonce, payload, binding, access_token_hash, secret,
    method, request, echo, location, is_resumable, deadline, not_before, attempts, lease, leased_until, failure,
    key_manifest, response, reserved_at, settled_at, erased_at FROM transactions_before;

INSERT INTO commitments (transaction_id, receipt, receipt_digest, key_manifest, items, intent, at)
SELECT id, receipt, receipt_digest, key_manifest, items, intent, committed_at FROM transactions_before
WHERE receipt IS NOT NULL;

DROP TABLE transactions_before;
