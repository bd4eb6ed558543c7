"""From an exported zip to a dataset: read, select, split, publish, verify."""
