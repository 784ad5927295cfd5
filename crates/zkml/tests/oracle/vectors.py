"""Prints the vectors of tests/vectors.rs. Run it with the reference scripts on the path:

    PYTHONPATH=<the reference>/zkml python3 tests/oracle/vectors.py
"""
from core import *


def words(state):
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (state >> 33) % P


WORDS = words(7)


def point(n):
    return [E([next(WORDS) for _ in range(5)]) for _ in range(n)]


def shift3(r, q, z, a, N):
    terms = (eqb(r, i) * eqb(q, i) * eqb(z, a + i) for i in range(N) if a + i < 1 << len(z))
    return sum(terms, E(0))


r, q, z = point(4), point(4), point(6)
for name, value in (
    ("product", r[0] * q[0]),
    ("LT(r, 11)", lt(r, 11)),
    ("EQLT(r, q, 11)", eqlt(r, q, 11)),
    ("SHIFT(r, z; 29, 13)", shift(r, z, 29, 13)),
    ("SHIFT(r, z; 55, 16)", shift(r, z, 55, 16)),
    ("SHIFT3(r, q, z; 29, 13)", shift3(r, q, z, 29, 13)),
    ("extension of 100..116 at r", mle(list(range(100, 116)), r)),
):
    print(name, list(value.v))
