-- Makes a version 5 of a version 6: its table of transactions, with what is committed of them.
DROP TRIGGER transactions_counted_in;
DROP TRIGGER transactions_counted_over;
DROP TRIGGER transactions_committed;
DROP TRIGGER transactions_settled;
DROP TRIGGER transactions_refunded;
DROP TRIGGER transactions_erased;
DROP INDEX transactions_to_erase;
DROP INDEX transactions_by_payment;
DROP INDEX transactions_open;
DROP INDEX transactions_queued;
DROP INDEX transactions_by_location;
PRAGMA foreign_keys = OFF;
PRAGMA legacy_alter_table = ON;
ALTER TABLE transactions RENAME TO later;

CREATE TABLE transactions (
    id                TEXT PRIMARY KEY,
    state             TEXT NOT NULL
                      CHECK (state IN
                          ('reserved', 'committed', 'settled', 'reorged', 'failing', 'failed',
                           'released')),
    network           TEXT NOT NULL,
    asset             TEXT NOT NULL,
    payer             TEXT NOT NULL,
    nonce             TEXT NOT NULL,
    payload           BLOB NOT NULL,
    -- An HMAC under the storage key, so that nobody tries guesses of the request on it.
    binding           BLOB NOT NULL,
    access_token_hash BLOB NOT NULL,
    secret            BLOB NOT NULL,
    -- The job: its queue, which is its method or one of those with several items, and what is run, until
    -- it is committed or released.
    method            TEXT NOT NULL,
    request           BLOB,
    echo              BLOB,
    location          BLOB,
    is_resumable      INTEGER NOT NULL CHECK (is_resumable IN (0, 1)),
    deadline          INTEGER NOT NULL,
    not_before        INTEGER NOT NULL,
    attempts          INTEGER NOT NULL,
    -- Who works on it: the number of the claim, and when that ends; none while it is queued.
    lease             INTEGER NOT NULL,
    leased_until      INTEGER,
    -- Why it was released.
    failure           TEXT,
    receipt           BLOB,
    receipt_digest    BLOB,
    key_manifest      BLOB REFERENCES key_manifests (digest),
    items             BLOB,
    intent            BLOB,
    response          BLOB,
    reserved_at       INTEGER NOT NULL,
    committed_at      INTEGER,
    settled_at        INTEGER,
    -- When the contents were replaced by empty values: what is sealed is never empty. The intent follows
    -- when no reorganisation that is looked for can need it.
    erased_at         INTEGER,
    -- What is committed has everything that a settlement and a bundle need.
    CHECK (state IN ('reserved', 'released')
           OR (receipt IS NOT NULL AND receipt_digest IS NOT NULL AND key_manifest IS NOT NULL
               AND items IS NOT NULL AND intent IS NOT NULL AND committed_at IS NOT NULL))
) STRICT;

INSERT INTO transactions
SELECT id, state, network, asset, payer, nonce, payload, binding, access_token_hash, secret, method, request, echo,
    location, is_resumable, deadline, not_before, attempts, lease, leased_until, failure, receipt, receipt_digest,
    later.key_manifest, items, intent, response, reserved_at, at, settled_at, erased_at
FROM later LEFT JOIN commitments ON transaction_id = id;
DROP TABLE commitments;
DROP TABLE later;

-- What has ended and still has contents, by when it ended. Nobody knows when a payment was released,
-- so its time is its beginning.
CREATE INDEX transactions_to_erase ON transactions (coalesce(settled_at, reserved_at))
    WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released');

-- What was erased but for its intent.
CREATE INDEX transactions_with_intent ON transactions (id)
    WHERE erased_at IS NOT NULL AND state IN ('settled', 'failed') AND intent <> x'';

-- One payment, one transaction. A released payment is free for another try.
CREATE UNIQUE INDEX transactions_by_payment
    ON transactions (network, asset, payer, nonce) WHERE state <> 'released';

CREATE INDEX transactions_open ON transactions (id)
    WHERE state IN ('reserved', 'committed', 'failing', 'reorged');

CREATE INDEX transactions_queued ON transactions (method, id) WHERE state = 'reserved';

CREATE UNIQUE INDEX transactions_by_location ON transactions (location)
    WHERE location IS NOT NULL;

CREATE TRIGGER transactions_counted_in AFTER INSERT ON transactions BEGIN
    UPDATE transaction_counts SET count = count + 1 WHERE state = NEW.state;
END;

CREATE TRIGGER transactions_counted_over AFTER UPDATE OF state ON transactions
WHEN OLD.state <> NEW.state BEGIN
    UPDATE transaction_counts SET count = count - 1 WHERE state = OLD.state;
    UPDATE transaction_counts SET count = count + 1 WHERE state = NEW.state;
END;

CREATE TRIGGER transactions_committed AFTER UPDATE OF state ON transactions
WHEN OLD.state = 'reserved' AND NEW.state = 'committed' BEGIN
    INSERT INTO outbox (kind, transaction_id, digest, at)
    VALUES ('receipt', NEW.id, NEW.receipt_digest, NEW.committed_at);
END;

CREATE TRIGGER transactions_settled AFTER INSERT ON settlement_records
WHEN NEW.state <> 'refunded' BEGIN
    UPDATE transactions
    SET state = NEW.state, key_manifest = NEW.key_manifest, response = NEW.response,
        settled_at = NEW.at
    WHERE id = NEW.transaction_id;
    INSERT INTO outbox (kind, transaction_id, digest, at)
    VALUES ('settlement', NEW.transaction_id, NEW.digest, NEW.at);
END;

CREATE TRIGGER transactions_refunded AFTER INSERT ON settlement_records
WHEN NEW.state = 'refunded' BEGIN
    UPDATE transactions SET key_manifest = NEW.key_manifest WHERE id = NEW.transaction_id;
    INSERT INTO outbox (kind, transaction_id, digest, at)
    VALUES ('settlement', NEW.transaction_id, NEW.digest, NEW.at);
END;

PRAGMA user_version = 5;
