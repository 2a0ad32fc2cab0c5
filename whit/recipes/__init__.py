"""Layer 5: recipes as written, and the fold over their stages."""
