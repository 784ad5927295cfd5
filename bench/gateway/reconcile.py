#!/usr/bin/env python3
"""Holds what a gateway stored, what the chain shows and what its buyers were answered against each
other, to the unit. Uses no code of the project: Python's standard library, and for what is sealed
the package `cryptography`.

The gateway has to have ended. Exits 1 when anything differs, and names it."""

import argparse
import collections
import dataclasses
import hashlib
import json
import pathlib
import sys

import books
import seals
from chain import Chain

# keccak256 of the events' signatures, ERC-20 and EIP-3009.
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
AUTHORIZATION_USED = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
NOBODY = "0x" + "0" * 40

# States of a transaction before there is a receipt, and those in which the gateway owes nothing more.
WITHOUT_RECEIPT = {"reserved", "released"}
ENDED = {"settled", "failed", "released"}

# What a buyer may be told while nobody knows, or somebody else's answer counts: neither a result nor
# a refusal. Everything else that is no result is a refusal, and nothing may have been charged.
UNKNOWN = {"settlement_pending", "payment_already_used", "internal"}

SHOWN = 5


class Findings:
    """What was checked, how often, and what differed."""

    def __init__(self):
        self.checked = collections.Counter()
        self.differences = collections.defaultdict(list)
        self.figures = {}

    def expect(self, name, what, expected, got):
        self.checked[name] += 1
        if expected != got:
            self.differences[name].append(f"{what}: expected {expected}, got {got}")

    def wrong(self, name, what):
        self.checked[name] += 1
        self.differences[name].append(what)

    def agrees(self):
        return not any(self.differences.values()) and bool(self.checked)

    def table(self):
        out = ["| what was held against what | checks | differences |", "|---|---|---|"]
        for name in sorted(self.checked):
            out.append(f"| {name} | {self.checked[name]} | {len(self.differences[name])} |")
        out += ["", "; ".join(f"{name}: {value}" for name, value in self.figures.items())]
        for name, found in sorted(self.differences.items()):
            for text in found[:SHOWN]:
                out.append(f"DIFFERS: {name}: {text}")
            if len(found) > SHOWN:
                out.append(f"DIFFERS: {name}: and {len(found) - SHOWN} more")
        out.append("All agree." if self.agrees() else "NOT ALL AGREE.")
        return "\n".join(out)


@dataclasses.dataclass(frozen=True)
class Paid:
    """Money that an authorisation moved."""

    pay_to: str
    amount: int
    transaction: str
    block: int
    block_hash: str


def snapshot(url, begin):
    """Asks the chain for everything that is looked at, as plain JSON."""
    chain = Chain(url)
    token, head = begin["token"], chain.head()
    wanted = ("address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "logIndex")
    logs = [
        {name: log[name] for name in wanted} for log in chain.logs(token, begin["block"] + 1, head)
    ]
    accounts = {account.lower() for account in begin["balances"]}
    for log in logs:
        if log["topics"][0] == TRANSFER:
            accounts.update(address(topic) for topic in log["topics"][1:3])
    accounts.discard(NOBODY)
    return {
        "head": head,
        "logs": logs,
        "supply": str(chain.supply(token)),
        "balances": {account: str(chain.balance(token, account)) for account in sorted(accounts)},
    }


def address(topic):
    return "0x" + topic[-40:].lower()


class Reconciliation:
    """One comparison of chain, database and answers."""

    def __init__(self, database, chain, begin, lines, allow_open=False):
        self.database = database
        self.chain = chain
        self.begin = begin
        self.lines = lines
        self.allow_open = allow_open
        self.found = Findings()
        # By (payer, nonce): what moved on the chain, and the transaction that holds the payment.
        self.paid = {}
        self.holder = {}
        # By the transaction's id.
        self.rows = {}

    def run(self):
        plain = self.read_chain()
        self.read_transactions()
        self.check_plain(plain)
        self.check_payments()
        self.check_records()
        self.check_outbox()
        self.check_counts()
        if self.lines is not None:
            self.check_answers()
        self.figures()
        return self.found

    # The chain.

    def read_chain(self):
        """Pairs authorisations with transfers, adds up balances; returns the other transfers."""
        found, plain, before = self.found, [], None
        moved, minted = collections.Counter(), 0
        for log in self.chain["logs"]:
            place = (log["transactionHash"], int(log["logIndex"], 16))
            kind, topics = log["topics"][0], log["topics"]
            if kind == TRANSFER:
                source, target = address(topics[1]), address(topics[2])
                value = int(log["data"], 16)
                moved[source] -= value
                moved[target] += value
                minted += value * ((source == NOBODY) - (target == NOBODY))
                self.pair(before, place, log, (source, target, value), plain)
                before = None
                continue
            self.unpaired(before)
            before = None
            if kind == AUTHORIZATION_USED:
                before = (place, address(topics[1]), topics[2].lower())
        self.unpaired(before)
        self.check_balances(moved, minted)
        return plain

    def pair(self, before, place, log, transfer, plain):
        source, target, value = transfer
        follows = before and before[0] == (place[0], place[1] - 1) and before[1] == source
        if not follows:
            self.unpaired(before)
            plain.append((source, target, value, place[0]))
            return
        key = (source, before[2])
        self.found.expect("an authorisation moves money once", key, True, key not in self.paid)
        self.paid[key] = Paid(
            target, value, place[0].lower(), int(log["blockNumber"], 16), log["blockHash"].lower()
        )

    def unpaired(self, use):
        if use:
            self.found.wrong("an authorisation moves money once", f"{use[1:]}: no transfer after it")

    def check_balances(self, moved, minted):
        found, name = self.found, "balance = balance before + transfers"
        before = {who.lower(): int(units) for who, units in self.begin["balances"].items()}
        now = {who.lower(): int(units) for who, units in self.chain["balances"].items()}
        accounts = (set(before) | set(now) | set(moved)) - {NOBODY}
        for who in sorted(accounts):
            found.expect(name, who, before.get(who, 0) + moved[who], now.get(who, 0))
        supply = int(self.chain["supply"])
        found.expect("supply = sum of all balances", "supply", sum(now.values()), supply)
        found.expect("supply = sum of all balances", "supply since the beginning",
                     int(self.begin["supply"]) + minted, supply)

    def check_plain(self, plain):
        """No money reaches a seller, or leaves a payer, but by an authorisation."""
        sellers = {row["pay_to"] for row in self.rows.values() if row["pay_to"]}
        payers = {row["payer"] for row in self.rows.values()}
        for source, target, value, transaction in plain:
            moved = f"{value} from {source} to {target} in {transaction}"
            wrong = target in sellers or source in payers
            self.found.expect("no transfer without authorisation", moved, False, wrong)

    # The database.

    def read_transactions(self):
        keys = {
            bytes(row["digest"]): books.receipt_keys(row["envelope"])
            for row in self.database.execute("SELECT digest, envelope FROM key_manifests")
        }
        for row in self.database.execute(
            "SELECT t.id, t.state, t.network, t.asset, t.payer, t.nonce, t.key_manifest,"
            " c.receipt, c.receipt_digest, c.items FROM transactions t"
            " LEFT JOIN commitments c ON c.transaction_id = t.id ORDER BY t.id"
        ):
            told = {
                "state": row["state"], "network": row["network"], "asset": row["asset"].lower(),
                "payer": row["payer"].lower(), "nonce": row["nonce"].lower(), "pay_to": None,
                "amount": None, "digest": None, "output": None,
            }
            self.rows[row["id"]] = told
            key = (told["payer"], told["nonce"])
            if row["state"] != "released":
                unique = key not in self.holder
                self.found.expect("a payment is one transaction's", key, True, unique)
                self.holder[key] = row["id"]
            if row["state"] not in WITHOUT_RECEIPT:
                self.read_receipt(row, told, keys)

    def read_receipt(self, row, told, keys):
        found, who = self.found, f"receipt of {row['id']}"
        try:
            receipt = books.statement(row["receipt"], books.RECEIPT, "transaction")
            predicate = receipt.predicate
            items = books.items(row["items"], predicate["itemCount"]) if row["items"] else []
            listed = keys[bytes(row["key_manifest"])]
        except (books.Damaged, KeyError, TypeError, ValueError) as error:
            found.wrong("receipts can be read", f"{who}: {error!r}")
            return
        found.expect("receipts can be read", who, True, True)
        stored = bytes(row["receipt_digest"]).hex()
        found.expect("receipt's digest = its envelope's", who, receipt.digest, stored)
        found.expect("receipt's key is in its manifest", who, True, receipt.key in listed)
        authorised = predicate["authorization"]
        said = [predicate["transactionId"], authorised["network"]]
        said += [authorised[name].lower() for name in ("asset", "payer", "nonce")]
        held = [row["id"], told["network"], told["asset"], told["payer"], told["nonce"]]
        found.expect("receipt's payment = its transaction's", who, held, said)
        amount = int(authorised["amount"])
        told.update(pay_to=authorised["payTo"].lower(), amount=amount, digest=stored)
        for item in items:
            found.expect("item's path leads to the receipt's root", who, receipt.subject, item.root)
            found.expect("item's output is the committed one", who, True, item.output_is_committed)
        if len(items) == predicate["itemCount"]:
            price = sum(item.price for item in items)
            found.expect("amount authorised = prices of the items", who, price, amount)
        if len(items) == 1:
            told["output"] = items[0].output_digest

    def check_payments(self):
        """One transfer for each settled receipt, to the unit, and none without."""
        found = self.found
        for id, row in self.rows.items():
            if row["state"] not in ENDED and not self.allow_open:
                found.wrong("no transaction is open", f"{id} is {row['state']}")
                continue
            found.expect("no transaction is open", id, True, True)
            key = (row["payer"], row["nonce"])
            paid = self.paid.get(key)
            if row["state"] == "settled":
                moved = (paid.pay_to, paid.amount) if paid else None
                found.expect("settled receipt = transfer on the chain", f"{id}, payment {key}",
                             (row["pay_to"], row["amount"]), moved)
                found.expect("token of the receipt = token of the chain", id,
                             self.begin["token"].lower(), row["asset"])
            elif row["state"] == "failed" or (row["state"] == "released" and key not in self.holder):
                found.expect("no transfer for what was not settled", f"{id}, {row['state']}",
                             None, paid)
        for key, paid in self.paid.items():
            holder = self.rows.get(self.holder.get(key), {"state": "no transaction"})
            open_still = self.allow_open and holder["state"] not in ENDED
            state = "settled" if open_still else holder["state"]
            found.expect("transfer on the chain = settled receipt",
                         f"payment {key} in {paid.transaction}", "settled", state)

    def check_records(self):
        found = self.found
        last, balance = {}, collections.Counter()
        for row in self.database.execute(
            "SELECT sequence, transaction_id, state, envelope, digest FROM settlement_records"
            " ORDER BY sequence"
        ):
            who = f"record {row['sequence']} of {row['transaction_id']}"
            told = self.rows.get(row["transaction_id"])
            if told is None:
                found.wrong("a record has a transaction", who)
                continue
            found.expect("a record has a transaction", who, True, True)
            last[row["transaction_id"]] = row["state"]
            balance[row["transaction_id"]] += {"settled": 1, "reorged": -1}.get(row["state"], 0)
            try:
                record = books.statement(row["envelope"], books.SETTLEMENT, "receipt")
                self.check_record(who, row, told, record)
            except (books.Damaged, KeyError, TypeError, ValueError) as error:
                found.wrong("records can be read", f"{who}: {error!r}")
        for id, row in self.rows.items():
            if row["state"] in ("settled", "failed"):
                found.expect("state = the last record's", id, row["state"], last.get(id))
            settled = 1 if row["state"] == "settled" else 0
            found.expect("a receipt is settled once", id, settled, balance[id])

    def check_record(self, who, row, told, record):
        found, predicate = self.found, record.predicate
        found.expect("records can be read", who, True, True)
        stored = bytes(row["digest"]).hex()
        found.expect("record's digest = its envelope's", who, record.digest, stored)
        found.expect("record's receipt = its transaction's", who, told["digest"], record.subject)
        found.expect("record's status = its row's", who, row["state"], predicate["status"])
        accounts = [predicate[name].lower() for name in ("asset", "payer", "payTo")]
        found.expect("record's accounts = the receipt's", who,
                     [told["network"], told["asset"], told["payer"], told["pay_to"]],
                     [predicate["network"], *accounts])
        if row["state"] != "settled":
            found.expect("record's amount = the receipt's", who, 0, int(predicate["amount"]))
            return
        found.expect("record's amount = the receipt's", who, told["amount"],
                     int(predicate["amount"]))
        paid = self.paid.get((told["payer"], told["nonce"]))
        if paid and told["state"] == "settled":
            block = predicate["block"]
            said = (predicate["transaction"].lower(), block["number"], block["hash"].lower())
            found.expect("record's transaction and block = the chain's", who,
                         (paid.transaction, paid.block, paid.block_hash), said)

    def check_outbox(self):
        found, expected = self.found, collections.Counter()
        for id, row in self.rows.items():
            if row["state"] not in WITHOUT_RECEIPT:
                expected[("receipt", id, row["digest"])] += 1
        for row in self.database.execute("SELECT transaction_id, digest FROM settlement_records"):
            expected[("settlement", row["transaction_id"], bytes(row["digest"]).hex())] += 1
        got, receipts = collections.Counter(), set()
        rows = self.database.execute("SELECT * FROM outbox ORDER BY sequence")
        for place, row in enumerate(rows, 1):
            found.expect("outbox has no gap", "sequence", place, row["sequence"])
            id = row["transaction_id"]
            got[(row["kind"], id, bytes(row["digest"]).hex())] += 1
            if row["kind"] == "receipt":
                receipts.add(id)
            else:
                found.expect("outbox has a receipt before its record", id, True, id in receipts)
        for entry in expected.keys() | got.keys():
            found.expect("outbox = receipts and records", entry, expected[entry], got[entry])

    def check_counts(self):
        counted = collections.Counter(row["state"] for row in self.rows.values())
        told = {row["state"]: row["count"] for row in
                self.database.execute("SELECT state, count FROM transaction_counts")}
        for state in sorted(counted.keys() | told.keys()):
            self.found.expect("counter = counted transactions", state, counted[state],
                              told.get(state, 0))

    # What buyers were answered.

    def check_answers(self):
        found, asked = self.found, set()
        self.answers = collections.Counter()
        for line in self.lines:
            key = (line["payer"].lower(), line["nonce"].lower())
            found.expect("a payment was sent once", key, True, key not in asked)
            asked.add(key)
            self.answers[f"{line['status']} {line['code']}"] += 1
            if line["status"] == 200:
                self.check_result(line, key)
            elif line["status"] != 0 and line["code"].partition(":")[0] not in UNKNOWN:
                found.expect("no transfer for a refused payment", f"{key} was told {line['code']}",
                             None, self.paid.get(key))
        for key in self.paid:
            found.expect("every transfer was asked for", f"payment {key}", True, key in asked)

    def check_result(self, line, key):
        found, who = self.found, f"answer {line['number']}, transaction {line['transaction']}"
        row = self.rows.get(line["transaction"])
        state = row["state"] if row else "no such transaction"
        settled = "settled" if not (self.allow_open and state not in ENDED) else state
        found.expect("every result has a settled receipt", who, settled, state)
        if row is None:
            return
        found.expect("result's payment = its transaction's", who, (row["payer"], row["nonce"]), key)
        found.expect("result's output = the committed one", who, row["output"], line["output"])
        paid = self.paid.get(key)
        if paid and line["settlement"]:
            found.expect("result's settlement = the chain's", who, paid.transaction,
                         line["settlement"].lower())

    def figures(self):
        states = collections.Counter(row["state"] for row in self.rows.values())
        self.found.figures = {
            "blocks": self.chain["head"] - self.begin["block"],
            "payments on the chain": len(self.paid),
            "units paid": sum(paid.amount for paid in self.paid.values()),
            "chain transactions that paid": len({paid.transaction for paid in self.paid.values()}),
            **{f"transactions {state}": count for state, count in sorted(states.items())},
        }
        if self.lines is not None:
            self.found.figures.update(sorted(self.answers.items()))


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def folder_data(folder, url, allow_open=False):
    """Reads what `run.py` left in a folder. Asks the chain once, and keeps what it said."""
    folder = pathlib.Path(folder)
    begin = json.loads((folder / "begin.json").read_text())
    kept = folder / "chain.json"
    if url:
        kept.write_text(json.dumps(snapshot(url, begin)))
    chain = json.loads(kept.read_text())
    lines = folder / "lines.jsonl"
    return chain, begin, read_lines(lines) if lines.exists() else None


def reconcile_folder(folder, url=None, allow_open=False):
    chain, begin, lines = folder_data(folder, url)
    data = pathlib.Path(folder) / "data"
    database = seals.opened(data / "assay.db", data / "storage.key")
    try:
        return Reconciliation(database, chain, begin, lines, allow_open).run()
    finally:
        database.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="what `run.py --keep` left: data, begin.json, lines.jsonl")
    parser.add_argument("--rpc-url", help="the chain; without it, what it said the last time")
    parser.add_argument("--allow-open", action="store_true",
                        help="transactions that are not ended yet are no difference")
    parser.add_argument("--self-test", action="store_true",
                        help="change copies of the data, and demand that each change is found")
    args = parser.parse_args()
    if args.self_test:
        import mutations
        return mutations.self_test(args.folder, args.rpc_url)
    found = reconcile_folder(args.folder, args.rpc_url, args.allow_open)
    print(found.table())
    return 0 if found.agrees() else 1


if __name__ == "__main__":
    sys.exit(main())
