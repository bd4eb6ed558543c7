"""The face of every script: its entry, what it prints and asks."""
