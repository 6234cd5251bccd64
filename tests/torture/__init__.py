"""The torture test: real processes, killed and cut off at random, and at the end every promise is counted."""
