"""Layer 3: the one training loop and what it stands on."""
