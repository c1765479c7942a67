"""The actions that operations are made of, each with its undo beside it; called with the job's :class:`Step`."""
