"""What the platform writes down of itself: lines, files of lines, errors, slow statements."""
