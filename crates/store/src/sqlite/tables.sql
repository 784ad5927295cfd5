-- The tables beside those of `transactions.sql`.

-- Tells the storage key that contents are sealed with from others.
CREATE TABLE storage_key (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    check_value BLOB NOT NULL
) STRICT;

-- How many transactions are in each state, so that nobody has to count them.
CREATE TABLE transaction_counts (
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL CHECK (count >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO transaction_counts (state, count) VALUES
    ('reserved', 0), ('committed', 0), ('settled', 0), ('reorged', 0), ('failing', 0),
    ('failed', 0), ('released', 0);

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
