"""Layer 2: a trained model for other tools."""
