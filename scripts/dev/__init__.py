"""What only developers run: benchmark, audit, locks, schema."""
