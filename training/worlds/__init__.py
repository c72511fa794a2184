"""How the small-world models were made: `python -m training.worlds train`, `evaluate`, `export`."""
