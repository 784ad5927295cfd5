-- Since version 5. What was quoted by a price list holds when others are in force.
CREATE TABLE price_lists (
    digest BLOB PRIMARY KEY,
    list   BLOB NOT NULL
) STRICT;
