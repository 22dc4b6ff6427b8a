"""Measurements: ratios against a ceiling that is measured in the same run on the same machine."""
