//! The store: its contract, over every backend, and what is SQLite's own.

mod blobs;
mod contract;
mod sqlite;
