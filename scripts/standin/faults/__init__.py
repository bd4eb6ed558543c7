"""Faults that tests order from the stand-in server."""
