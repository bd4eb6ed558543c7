"""configuration.json and config/cvat.env: what they may hold, and what a step is to do."""
