"""What the stand-in server remembers, and what works in its background."""
