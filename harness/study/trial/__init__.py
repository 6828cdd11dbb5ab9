"""One candidate: what is checked and predicted of it, its training, and what is measured in the end."""
