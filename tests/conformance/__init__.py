"""Tests that run on every target and in both forms of the SDK."""
