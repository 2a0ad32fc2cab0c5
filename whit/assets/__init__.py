"""The embedded micro models; see the README.md of each."""
