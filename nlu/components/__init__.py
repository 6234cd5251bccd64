"""Our own steps of the Rasa pipeline."""

# For whoever starts Rasa, before it does: measured quicker for single short texts, where a second thread only spins; and the second
# core belongs to the rest of the house.
ON_ONE_CORE = {"OPENBLAS_NUM_THREADS": "1"}
