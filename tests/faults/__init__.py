"""Tests of the SDK against servers that fail, respond late or respond incorrectly."""
