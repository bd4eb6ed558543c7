"""Images up, datasets down."""
