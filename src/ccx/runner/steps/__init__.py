"""The actions that operations are made of, each with its undo beside it. An action is called with the job's :class:`Step`."""
