"""What everything stands on: errors, text, files, retries, image headers, formats."""
