"""Conversion of a caller's arguments into the body of a report."""
