"""Examples from a user's files and the hub, split into train, dev and test."""
