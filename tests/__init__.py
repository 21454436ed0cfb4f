"""Tests, by folder: unit/<folder>/test_<module>.py; factories.py makes records for them."""
