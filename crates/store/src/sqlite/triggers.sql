CREATE TRIGGER transactions_counted_in AFTER INSERT ON transactions BEGIN
    UPDATE transaction_counts SET count = count + 1 WHERE state = NEW.state;
END;

CREATE TRIGGER transactions_counted_over AFTER UPDATE OF state ON transactions
WHEN OLD.state <> NEW.state BEGIN
    UPDATE transaction_counts SET count = count - 1 WHERE state = OLD.state;
    UPDATE transaction_counts SET count = count + 1 WHERE state = NEW.state;
END;

-- A receipt and a settlement record are in the outbox as soon as they are anywhere. A commitment and a settlement
-- record are their transaction's state: each step of a transaction is one statement.
CREATE TRIGGER transactions_committed AFTER INSERT ON commitments BEGIN
    UPDATE transactions
    SET state = 'committed', key_manifest = NEW.key_manifest, request = NULL
    WHERE id = NEW.transaction_id;
    INSERT INTO outbox (kind, transaction_id, digest, at)
    VALUES ('receipt', NEW.transaction_id, NEW.receipt_digest, NEW.at);
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

-- Who erases a transaction erases its items.
CREATE TRIGGER transactions_erased AFTER UPDATE OF erased_at ON transactions BEGIN
    UPDATE commitments SET items = x'' WHERE transaction_id = NEW.id;
END;
