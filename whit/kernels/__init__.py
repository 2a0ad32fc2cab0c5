"""Operators in a form that a processor likes, each beside its definition in PyTorch."""
