"""The tests of the folder translations."""
