"""Layer 1: one reward a file. A reward maps a verdict to a number; RL maximises its mean."""
