"""Checks that find the reason why reports do not arrive."""
