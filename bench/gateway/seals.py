"""Opens what a gateway sealed with its storage key, in a copy of its database.

A sealed value is `version (1) || nonce (12) || ciphertext || tag (16)`, AES-256-GCM under a key that
HKDF-SHA256 derives for its transaction; the associated data are column and transaction. Needs the
package `cryptography` from PyPI, as Python's standard library has no AES.
"""

import hashlib
import hmac
import sqlite3


def opened(path, key_file):
    """Returns the database in memory, its items opened."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # HKDF-Extract, and one block of HKDF-Expand (RFC 5869).
    key = bytes.fromhex(key_file.read_text().strip())
    root = hmac.digest(b"assay storage", key, hashlib.sha256)
    stored = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    database = sqlite3.connect(":memory:", isolation_level=None)
    stored.backup(database)
    stored.close()
    database.row_factory = sqlite3.Row
    # Opening is no step of a transaction.
    triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        database.execute(f'DROP TRIGGER "{name}"')
    sealed = database.execute(
        "SELECT transaction_id, items FROM commitments WHERE length(items) > 0"
    ).fetchall()
    database.execute("BEGIN")
    for id, items in sealed:
        if items[0] != 1:
            raise ValueError(f"items of {id}: expected version 1, got {items[0]}")
        own = hmac.digest(root, b"contents" + id.encode() + b"\x01", hashlib.sha256)
        plain = AESGCM(own).decrypt(items[1:13], items[13:], f"items {id}".encode())
        database.execute("UPDATE commitments SET items = ? WHERE transaction_id = ?", (plain, id))
    database.execute("COMMIT")
    return database
