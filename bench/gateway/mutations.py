"""Shows that the reconciliation can fail: one change at a time, each of which has to be found."""

import base64
import copy
import json
import pathlib

import reconcile
import seals

STRANGER = "0x" + "0" * 24 + "5e" * 20


class Data:
    """A copy of everything, to be changed."""

    def __init__(self, database, chain, begin, lines):
        self.database = database
        self.chain = copy.deepcopy(chain)
        self.begin = copy.deepcopy(begin)
        self.lines = copy.deepcopy(lines)

    def sql(self, statement, *values):
        changed = self.database.execute(statement, values).rowcount
        if changed != 1:
            raise RuntimeError(f"{statement}: expected 1 changed row, got {changed}")

    def one(self, statement, *values):
        return self.database.execute(statement, values).fetchone()

    def settled(self):
        """The transaction that was settled last, with what it committed to."""
        return self.one(
            "SELECT t.id, c.receipt, c.items FROM transactions t"
            " JOIN commitments c ON c.transaction_id = t.id"
            " WHERE t.state = 'settled' ORDER BY t.id DESC")

    def payment_logs(self):
        """The places of the last authorisation among the logs, and of its transfer."""
        logs = self.chain["logs"]
        uses = [n for n, log in enumerate(logs)
                if log["topics"][0] == reconcile.AUTHORIZATION_USED]
        return uses[-1], uses[-1] + 1

    def result(self):
        return next(line for line in reversed(self.lines) if line["status"] == 200)


MUTATIONS = []


def mutation(*checks):
    """Registers a change, with the checks of which one has to find it."""
    def register(function):
        MUTATIONS.append((function.__doc__, function, checks))
        return function
    return register


def changed_payload(envelope, change):
    """Returns an envelope whose payload was changed."""
    told = json.loads(envelope)
    statement = json.loads(base64.b64decode(told["payload"]))
    change(statement["predicate"])
    text = json.dumps(statement, separators=(",", ":"), ensure_ascii=False)
    told["payload"] = base64.b64encode(text.encode()).decode()
    return json.dumps(told, separators=(",", ":")).encode()


# The database.


@mutation("transfer on the chain = settled receipt")
def _(data):
    "a transaction's row is gone"
    data.sql("DELETE FROM transactions WHERE id = ?", data.settled()["id"])


@mutation("receipts can be read")
def _(data):
    "what a transaction committed to is gone"
    data.sql("DELETE FROM commitments WHERE transaction_id = ?", data.settled()["id"])


@mutation("a receipt is settled once")
def _(data):
    "a settlement record's row is gone"
    data.sql("DELETE FROM settlement_records WHERE transaction_id = ?", data.settled()["id"])


@mutation("a receipt is settled once")
def _(data):
    "a settlement record stands twice"
    data.sql(
        "INSERT INTO settlement_records (transaction_id, state, envelope, digest, key_manifest,"
        " response, at) SELECT transaction_id, state, envelope, digest, key_manifest, response, at"
        " FROM settlement_records WHERE transaction_id = ?", data.settled()["id"])


@mutation("outbox has no gap")
def _(data):
    "an outbox row in the middle is gone"
    data.sql("DELETE FROM outbox WHERE sequence = 2")


@mutation("outbox = receipts and records")
def _(data):
    "the last outbox row is gone"
    data.sql("DELETE FROM outbox WHERE sequence = (SELECT max(sequence) FROM outbox)")


@mutation("outbox = receipts and records")
def _(data):
    "a receipt is in the outbox twice"
    data.sql(
        "INSERT INTO outbox (kind, transaction_id, digest, at) SELECT kind, transaction_id, digest,"
        " at FROM outbox WHERE kind = 'receipt' AND transaction_id = ?", data.settled()["id"])


@mutation("outbox = receipts and records")
def _(data):
    "a digest in the outbox is another"
    data.sql("UPDATE outbox SET digest = ? WHERE sequence = 1", bytes(32))


@mutation("counter = counted transactions")
def _(data):
    "a counter is one too high"
    data.sql("UPDATE transaction_counts SET count = count + 1 WHERE state = 'settled'")


@mutation("settled receipt = transfer on the chain")
def _(data):
    "a receipt's amount is one unit more, its digest with it"
    _change_receipt(data, lambda predicate: predicate["authorization"].update(
        amount=str(int(predicate["authorization"]["amount"]) + 1)))


@mutation("settled receipt = transfer on the chain")
def _(data):
    "a receipt is paid to somebody else, its digest with it"
    _change_receipt(data, lambda predicate: predicate["authorization"].update(
        payTo="0x" + STRANGER[-40:]))


@mutation("receipt's payment = its transaction's")
def _(data):
    "a receipt names another payer, its digest with it"
    _change_receipt(data, lambda predicate: predicate["authorization"].update(
        payer="0x" + STRANGER[-40:]))


@mutation("receipt's digest = its envelope's")
def _(data):
    "a receipt's envelope is another than its digest says"
    row = data.settled()
    envelope = changed_payload(row["receipt"], lambda predicate: predicate.update(nonce="other"))
    data.sql("UPDATE commitments SET receipt = ? WHERE transaction_id = ?", envelope, row["id"])


@mutation("record's digest = its envelope's")
def _(data):
    "a record's envelope is another than its digest says"
    _change_record(data, lambda predicate: predicate.update(recordedAt="1970-01-01T00:00:00.000Z"))


@mutation("record's amount = the receipt's")
def _(data):
    "a record's amount is one unit less"
    _change_record(data, lambda predicate: predicate.update(
        amount=str(int(predicate["amount"]) - 1)))


@mutation("record's transaction and block = the chain's")
def _(data):
    "a record names another transaction of the chain"
    _change_record(data, lambda predicate: predicate.update(transaction="0x" + "5e" * 32))


@mutation("no transfer for what was not settled")
def _(data):
    "a settled transaction says that it failed"
    data.sql("UPDATE transactions SET state = 'failed' WHERE id = ?", data.settled()["id"])


@mutation("no transaction is open")
def _(data):
    "a settled transaction is open again"
    data.sql("UPDATE transactions SET state = 'committed' WHERE id = ?", data.settled()["id"])


@mutation("item's path leads to the receipt's root")
def _(data):
    "an item's salt is another"
    row = data.settled()
    contents = json.loads(row["items"])
    contents["items"][0]["salts"]["leaf"] = "00" * 32
    sealed = json.dumps(contents).encode()
    data.sql("UPDATE commitments SET items = ? WHERE transaction_id = ?", sealed, row["id"])


@mutation("item's output is the committed one")
def _(data):
    "a stored output is another"
    row = data.settled()
    contents = json.loads(row["items"])
    contents["items"][0]["output"] = base64.b64encode(b'{"outputs":[]}').decode()
    sealed = json.dumps(contents).encode()
    data.sql("UPDATE commitments SET items = ? WHERE transaction_id = ?", sealed, row["id"])


def _change_receipt(data, change):
    row = data.settled()
    envelope = changed_payload(row["receipt"], change)
    digest = reconcile.books.statement(envelope, reconcile.books.RECEIPT, "transaction").digest
    data.sql("UPDATE commitments SET receipt = ?, receipt_digest = ? WHERE transaction_id = ?",
             envelope, bytes.fromhex(digest), row["id"])


def _change_record(data, change):
    row = data.one("SELECT * FROM settlement_records WHERE state = 'settled'"
                   " ORDER BY sequence DESC")
    data.sql("UPDATE settlement_records SET envelope = ? WHERE sequence = ?",
             changed_payload(row["envelope"], change), row["sequence"])


# The chain.


@mutation("settled receipt = transfer on the chain")
def _(data):
    "a payment is not on the chain"
    first, second = data.payment_logs()
    del data.chain["logs"][first:second + 1]


@mutation("settled receipt = transfer on the chain")
def _(data):
    "a transfer on the chain is one unit less"
    log = data.chain["logs"][data.payment_logs()[1]]
    log["data"] = hex(int(log["data"], 16) - 1)


@mutation("settled receipt = transfer on the chain")
def _(data):
    "a transfer on the chain went to somebody else"
    data.chain["logs"][data.payment_logs()[1]]["topics"][2] = STRANGER


@mutation("transfer on the chain = settled receipt")
def _(data):
    "a further payment is on the chain, with another nonce"
    _further_payment(data, "0x" + "5e" * 32)


@mutation("an authorisation moves money once")
def _(data):
    "a payment is on the chain twice"
    nonce = data.chain["logs"][data.payment_logs()[0]]["topics"][2]
    _further_payment(data, nonce)


@mutation("no transfer without authorisation")
def _(data):
    "a further transfer to the seller is on the chain, without an authorisation"
    log = dict(data.chain["logs"][data.payment_logs()[1]], transactionHash="0x" + "5e" * 32)
    data.chain["logs"].append(log)


@mutation("an authorisation moves money once")
def _(data):
    "an authorisation was used and moved nothing"
    del data.chain["logs"][data.payment_logs()[1]]


@mutation("balance = balance before + transfers")
def _(data):
    "a balance is one unit less"
    who = sorted(data.chain["balances"])[0]
    data.chain["balances"][who] = str(int(data.chain["balances"][who]) - 1)


@mutation("balance = balance before + transfers")
def _(data):
    "a balance was one unit less at the beginning"
    who = sorted(data.begin["balances"])[0]
    data.begin["balances"][who] = str(int(data.begin["balances"][who]) - 1)


@mutation("supply = sum of all balances")
def _(data):
    "somebody who is in no log has a unit"
    data.chain["supply"] = str(int(data.chain["supply"]) + 1)


def _further_payment(data, nonce):
    first, second = data.payment_logs()
    use, transfer = (copy.deepcopy(data.chain["logs"][place]) for place in (first, second))
    use["topics"][2] = nonce
    for log in (use, transfer):
        log["transactionHash"] = "0x" + "5e" * 32
    data.chain["logs"] += [use, transfer]


# The answers.


@mutation("every transfer was asked for")
def _(data):
    "a request that paid was never sent"
    data.lines.remove(data.result())


@mutation("no transfer for a refused payment")
def _(data):
    "a request that paid was answered with a refusal"
    data.result().update(status=402, code="payment_required: insufficient_funds")


@mutation("result's output = the committed one")
def _(data):
    "another output was answered than was committed to"
    data.result()["output"] = "0" * 64


@mutation("every result has a settled receipt")
def _(data):
    "a result was answered under a transaction that there is not"
    data.result()["transaction"] = "00000000-0000-7000-8000-000000000000"


@mutation("result's settlement = the chain's")
def _(data):
    "a result was answered with another transaction of the chain"
    data.result()["settlement"] = "0x" + "5e" * 32


@mutation("result's payment = its transaction's")
def _(data):
    "two results were answered with each other's transaction"
    results = [line for line in data.lines if line["status"] == 200]
    one, other = results[0], results[-1]
    one["transaction"], other["transaction"] = other["transaction"], one["transaction"]


def self_test(folder, url):
    """Returns 0 when the data agree as they are, and every change of them is found."""
    chain, begin, lines = reconcile.folder_data(folder, url)
    data = pathlib.Path(folder) / "data"
    database = seals.opened(data / "assay.db", data / "storage.key")
    try:
        return _all(database, chain, begin, lines)
    finally:
        database.close()


def _all(database, chain, begin, lines):
    unchanged = reconcile.Reconciliation(database, chain, begin, lines).run()
    if not unchanged.agrees():
        print(unchanged.table())
        print("The data do not agree as they are: there is nothing to test with.")
        return 1
    missed = 0
    for name, change, checks in MUTATIONS:
        data = Data(database, chain, begin, lines)
        database.execute("BEGIN")
        try:
            change(data)
            found = reconcile.Reconciliation(database, data.chain, data.begin, data.lines).run()
        finally:
            database.execute("ROLLBACK")
        by = sorted(check for check, differences in found.differences.items() if differences)
        is_found = any(check in by for check in checks)
        missed += not is_found
        print(f"{'found ' if is_found else 'MISSED'}  {name}: {', '.join(by) or 'nothing differs'}")
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} changes found.")
    return 1 if missed else 0
