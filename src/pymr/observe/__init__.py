"""Views of a run: pure folds over its events, and the text of its end."""
