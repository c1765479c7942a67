"""The one chain of migrations. ``versions/`` holds a file per step, numbered in the order of their running."""
