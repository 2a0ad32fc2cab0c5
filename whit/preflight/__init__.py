"""Checks before the first step of any run, for faults that raise no error: each file is one check."""
