-- Version 5.

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

-- Tells the storage key that contents are sealed with from others.
CREATE TABLE storage_key (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    check_value BLOB NOT NULL
) STRICT;

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

-- How many transactions are in each state, so that nobody has to count them.
CREATE TABLE transaction_counts (
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO transaction_counts (state, count) VALUES
    ('reserved', 0), ('committed', 0), ('settled', 0), ('reorged', 0), ('failing', 0),
    ('failed', 0), ('released', 0);

CREATE TRIGGER transactions_counted_in AFTER INSERT ON transactions BEGIN
    UPDATE transaction_counts SET count = count + 1 WHERE state = NEW.state;
END;

CREATE TRIGGER transactions_counted_over AFTER UPDATE OF state ON transactions
WHEN OLD.state <> NEW.state BEGIN
    UPDATE transaction_counts SET count = count - 1 WHERE state = OLD.state;
    UPDATE transaction_counts SET count = count + 1 WHERE state = NEW.state;
END;

CREATE TABLE key_manifests (
    digest   BLOB PRIMARY KEY,
    envelope BLOB NOT NULL
) STRICT;

-- What became of a settlement, with the envelope that says so, and what the payer is told.
CREATE TABLE settlement_records (
    sequence       INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    state          TEXT NOT NULL CHECK (state IN ('settled', 'reorged', 'failed', 'refunded')),
    envelope       BLOB NOT NULL,
    digest         BLOB NOT NULL,
    key_manifest   BLOB NOT NULL REFERENCES key_manifests (digest),
    response       BLOB,
    block_number   INTEGER,
    block_hash     TEXT,
    -- The chain's transaction that gave money back.
    refund         TEXT,
    at             INTEGER NOT NULL,
    CHECK ((state = 'refunded') = (refund IS NOT NULL)),
    CHECK ((state = 'refunded') = (response IS NULL))
) STRICT;

-- What gave money back once is no refund of another receipt.
CREATE UNIQUE INDEX settlement_records_by_refund ON settlement_records (refund)
    WHERE refund IS NOT NULL;

CREATE INDEX settlement_records_by_transaction ON settlement_records (transaction_id);

CREATE INDEX settlement_records_by_block ON settlement_records (block_number, block_hash)
    WHERE block_number IS NOT NULL;

-- The transactions of one's own accounts, before they are broadcast. A nonce has further versions
-- where fees were raised.
CREATE TABLE outgoing_transactions (
    sequence INTEGER PRIMARY KEY,
    account  TEXT NOT NULL,
    nonce    INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    content  BLOB NOT NULL,
    is_open  INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    UNIQUE (account, nonce, version)
) STRICT;

CREATE INDEX outgoing_transactions_open ON outgoing_transactions (account, nonce, version)
    WHERE is_open = 1;

CREATE TABLE outbox (
    sequence       INTEGER PRIMARY KEY,
    kind           TEXT NOT NULL CHECK (kind IN ('receipt', 'settlement')),
    transaction_id TEXT NOT NULL,
    digest         BLOB NOT NULL,
    at             INTEGER NOT NULL
) STRICT;

-- A receipt and a settlement record are in the outbox as soon as they are anywhere, and a settlement
-- record is its transaction's state: each step of a transaction is one statement.
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

-- What was refunded stays settled.
CREATE TRIGGER transactions_refunded AFTER INSERT ON settlement_records
WHEN NEW.state = 'refunded' BEGIN
    UPDATE transactions SET key_manifest = NEW.key_manifest WHERE id = NEW.transaction_id;
    INSERT INTO outbox (kind, transaction_id, digest, at)
    VALUES ('settlement', NEW.transaction_id, NEW.digest, NEW.at);
END;
