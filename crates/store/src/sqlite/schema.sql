-- Version 1.

CREATE TABLE transactions (
    id                TEXT PRIMARY KEY,
    state             TEXT NOT NULL
                      CHECK (state IN
                          ('reserved', 'committed', 'settled', 'failing', 'failed', 'released')),
    network           TEXT NOT NULL,
    asset             TEXT NOT NULL,
    payer             TEXT NOT NULL,
    nonce             TEXT NOT NULL,
    payload           BLOB NOT NULL,
    binding           BLOB NOT NULL,
    access_token_hash BLOB NOT NULL,
    secret            BLOB NOT NULL,
    receipt           BLOB,
    receipt_digest    BLOB,
    key_manifest      BLOB REFERENCES key_manifests (digest),
    items             BLOB,
    intent            BLOB,
    response          BLOB,
    reserved_at       INTEGER NOT NULL,
    committed_at      INTEGER,
    settled_at        INTEGER
) STRICT;

-- One payment, one transaction. A released payment is free for another try.
CREATE UNIQUE INDEX transactions_by_payment
    ON transactions (network, asset, payer, nonce) WHERE state <> 'released';

CREATE INDEX transactions_open ON transactions (id) 
    WHERE state IN ('reserved', 'committed', 'failing');

CREATE TABLE key_manifests (
    digest   BLOB PRIMARY KEY,
    envelope BLOB NOT NULL
) STRICT;

CREATE TABLE settlement_records (
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    envelope       BLOB NOT NULL
) STRICT;

CREATE INDEX settlement_records_by_transaction ON settlement_records (transaction_id);

CREATE TABLE outbox (
    sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind           TEXT NOT NULL CHECK (kind IN ('receipt', 'settlement')),
    transaction_id TEXT NOT NULL,
    digest         BLOB NOT NULL,
    at             INTEGER NOT NULL
) STRICT;
