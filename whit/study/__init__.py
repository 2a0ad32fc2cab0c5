"""Layer 6: pipelines under one budget, over seeds, compared and told apart."""
