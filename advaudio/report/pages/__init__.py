"""The HTML pages: figures, listening, layout."""
