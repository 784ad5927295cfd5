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
    -- What receipt and records verify under, once it is committed.
    key_manifest      BLOB REFERENCES key_manifests (digest),
    response          BLOB,
    reserved_at       INTEGER NOT NULL,
    settled_at        INTEGER,
    -- When the contents were replaced by empty values: what is sealed is never empty. The intent follows
    -- when no reorganisation that is looked for can need it.
    erased_at         INTEGER,
    CHECK (state IN ('reserved', 'released') OR key_manifest IS NOT NULL)
) STRICT;

-- Everything that a settlement and a bundle need. It may be long, and a row that changes its length is written anew:
-- so it is none of the row that goes from state to state.
CREATE TABLE commitments (
    transaction_id TEXT NOT NULL PRIMARY KEY REFERENCES transactions (id),
    receipt        BLOB NOT NULL,
    receipt_digest BLOB NOT NULL,
    -- For the transaction, which keeps the one of its latest record; of a row of version 5 it is that one here, too.
    key_manifest   BLOB NOT NULL REFERENCES key_manifests (digest),
    items          BLOB NOT NULL,
    intent         BLOB NOT NULL,
    at             INTEGER NOT NULL
) STRICT;

-- What has ended and still has contents, by when it ended. Nobody knows when a payment was released,
-- so its time is its beginning.
CREATE INDEX transactions_to_erase ON transactions (coalesce(settled_at, reserved_at))
    WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released');

-- What was erased but for its intent.
CREATE INDEX commitments_with_intent ON commitments (transaction_id)
    WHERE items = x'' AND intent <> x'';

-- One payment, one transaction. A released payment is free for another try.
CREATE UNIQUE INDEX transactions_by_payment
    ON transactions (network, asset, payer, nonce) WHERE state <> 'released';

CREATE INDEX transactions_open ON transactions (id)
    WHERE state IN ('reserved', 'committed', 'failing', 'reorged');

CREATE INDEX transactions_queued ON transactions (method, id) WHERE state = 'reserved';

CREATE UNIQUE INDEX transactions_by_location ON transactions (location)
    WHERE location IS NOT NULL;
