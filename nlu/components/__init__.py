"""Our own steps of the Rasa pipeline."""
