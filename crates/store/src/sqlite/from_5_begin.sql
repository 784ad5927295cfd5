-- From version 5, whose transactions had what is in `commitments` now: before `transactions.sql`.
DROP TRIGGER transactions_counted_in;
DROP TRIGGER transactions_counted_over;
DROP TRIGGER transactions_committed;
DROP TRIGGER transactions_settled;
DROP TRIGGER transactions_refunded;
DROP INDEX transactions_to_erase;
DROP INDEX transactions_with_intent;
DROP INDEX transactions_by_payment;
DROP INDEX transactions_open;
DROP INDEX transactions_queued;
DROP INDEX transactions_by_location;
ALTER TABLE transactions RENAME TO transactions_before;
