"""Layer 2: one RL algorithm a file: how rewards become advantages, and which terms the loss has."""
