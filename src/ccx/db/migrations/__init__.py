"""The one chain of migrations. ``versions/`` holds a file per step, named and numbered in the order of their running."""
