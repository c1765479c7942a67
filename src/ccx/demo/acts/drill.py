"""The newest backup is proved: restored into a throw-away node, checked, timed, removed."""

from __future__ import annotations

from ccx.demo.stage import NAME, Stage, until


def prove(stage: Stage) -> None:
    with stage.scene("prove the newest backup by a drill") as said:
        # A restore in place is backed up by itself when it is done.
        until(lambda: _of_the_restored(stage), within=120, what="what was restored is backed up")
        stage.run("backup", "list", NAME)
        stage.run("backup", "drill", NAME)
        stage.run("backup", "show", NAME)
        newest = stage.ask("backup", "list", NAME)[0]
        drill = newest["drill"] or {}
        stage.expect(drill.get("proved") is True, f"the newest backup, {newest['backup_id']}, is proved")
        rows = drill.get("rows", 0)
        stage.expect(rows > 0, f"rows compared with those counted when it was made: {rows}")
        said["outcome"] = f"it served after {drill['seconds']} s; {rows} rows compared"


def _of_the_restored(stage: Stage) -> str | None:
    there = len(stage.ask("backup", "list", NAME))
    return None if there > 1 else f"there are {there} backups"
