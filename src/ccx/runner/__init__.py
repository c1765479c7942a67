"""Operations: one file per job, each its own specification.

Steps call down; none knows which cloud or engine it talks to.
"""
