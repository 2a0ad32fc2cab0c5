"""Layer 3: prompts to groups of judged completions, and groups to documents that the loop trains on."""
