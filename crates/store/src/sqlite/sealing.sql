-- Version 2: contents are sealed, and can be erased.

-- Tells the storage key that contents are sealed with from others.
CREATE TABLE storage_key (
    only        INTEGER PRIMARY KEY CHECK (only = 1),
    check_value BLOB NOT NULL
) STRICT;

-- When `items`, `payload` and `secret` were replaced by empty values: what is sealed is never empty.
ALTER TABLE transactions ADD COLUMN erased_at INTEGER;

-- What has ended and still has contents, by when it ended. Nobody knows when a payment was released,
-- so its time is its beginning.
CREATE INDEX transactions_to_erase ON transactions (coalesce(settled_at, reserved_at))
    WHERE erased_at IS NULL AND state IN ('settled', 'failed', 'released');
