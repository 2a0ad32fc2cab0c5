"""Layer 0: names, settings, plain data, budgets and run directories. Standard library and pydantic only."""
