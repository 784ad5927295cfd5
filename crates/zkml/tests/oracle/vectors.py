"""Prints the vectors of tests/vectors.rs, by the definitions of docs/zkml-protocol.md, section 1:

    python3 crates/zkml/tests/oracle/vectors.py

Every sum is made term by term, and nothing is shared with the implementation.
"""

P = 2**31 - 2**24 + 1
ONE = (1, 0, 0, 0, 0)


def add(a, b):
    return tuple((x + y) % P for x, y in zip(a, b))


def sub(a, b):
    return tuple((x - y) % P for x, y in zip(a, b))


def mul(a, b):
    """In F[X]/(X^5 + X^2 - 1): from the highest power down, X^n is X^(n-5) - X^(n-3)."""
    c = [0] * 9
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            c[i + j] += x * y
    for n in range(8, 4, -1):
        c[n - 5] += c[n]
        c[n - 3] -= c[n]
    return tuple(x % P for x in c[:5])


def eq(r, i):
    """`eq(r, i)`: coordinate 0 belongs to the most significant bit. 0 beyond the cube."""
    if i >= 1 << len(r):
        return (0,) * 5
    product = ONE
    for j, x in enumerate(r):
        bit = i >> (len(r) - 1 - j) & 1
        product = mul(product, x if bit else sub(ONE, x))
    return product


def total(terms):
    result = (0,) * 5
    for term in terms:
        result = add(result, term)
    return result


def lt(r, n):
    return total(eq(r, i) for i in range(n))


def eq_lt(r, z, n):
    return total(mul(eq(r, i), eq(z, i)) for i in range(n))


def shift(r, z, a, n):
    return total(mul(eq(r, i), eq(z, a + i)) for i in range(n))


def shift3(r, q, z, a, n):
    return total(mul(mul(eq(r, i), eq(q, i)), eq(z, a + i)) for i in range(n))


def extension(values, r):
    return total(mul(eq(r, i), (v, 0, 0, 0, 0)) for i, v in enumerate(values))


def words(state):
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield (state >> 33) % P


WORDS = words(7)


def point(n):
    return [tuple(next(WORDS) for _ in range(5)) for _ in range(n)]


r, q, z = point(4), point(4), point(6)
for name, value in (
    ("product", mul(r[0], q[0])),
    ("LT(r, 11)", lt(r, 11)),
    ("EQLT(r, q, 11)", eq_lt(r, q, 11)),
    ("SHIFT(r, z; 29, 13)", shift(r, z, 29, 13)),
    ("SHIFT(r, z; 55, 16)", shift(r, z, 55, 16)),
    ("SHIFT3(r, q, z; 29, 13)", shift3(r, q, z, 29, 13)),
    ("extension of 100..116 at r", extension(range(100, 116), r)),
):
    print(name, list(value))
