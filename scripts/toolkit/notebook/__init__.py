"""The steps and displays of the tutorials' notebooks."""
