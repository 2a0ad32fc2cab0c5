"""Task spaces: directions of a model's states that stand for labels, and what states tell of them."""
