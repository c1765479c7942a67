"""The statements of runners. Every write after the claim carries id and token: no rows means that the job is lost."""

# ruff: noqa: S608 - what is put into these statements is the constant below, and nothing else.

MINE = """
mine as (
    select id, cancel, pivoted, wakes, coalesce(deadline < now(), false) as late
    from jobs.job
    where id = %(id)s and token = %(token)s and status in ('running', 'undoing')
    for no key update
)"""
"""Locks the job's row, so that nobody can claim the job between the check of the token and the write."""

# Of a queued job that this runner doesn't know nobody here can say which lane it takes: it counts as both.
CLAIM = """
with kind as (
    select * from unnest(%(kinds)s::text[], %(lanes)s::text[], %(deadlines)s::float8[]) as k(kind, lane, deadline_s)
), due as (
    select j.id, k.lane, k.deadline_s
    from jobs.job j join kind k on k.kind = j.kind
    where j.status in ('queued', 'running', 'undoing') and j.run_at <= now()
      and case when j.status = 'queued' then
            not exists (
                select from jobs.job a
                where a.key = j.key and a.status in ('running', 'undoing')
                  and (a.lane = k.lane or 'both' in (a.lane, k.lane))
            )
            and not exists (
                select from jobs.job q left join kind o on o.kind = q.kind
                where q.key = j.key and q.status = 'queued' and q.run_at <= now()
                  and (q.run_at, q.id) < (j.run_at, j.id)
                  and (o.lane = k.lane or 'both' in (coalesce(o.lane, 'both'), k.lane))
            )
          else
            j.lease_until is null
            or (%(judge)s::boolean and j.lease_until < now())
            -- Our own claim, whose answer a broken connection swallowed.
            or (j.runner = %(runner)s and not j.id = any(%(held)s::uuid[]))
          end
    order by j.run_at
    limit %(slots)s
    for update of j skip locked
)
update jobs.job j
set status = case when j.status = 'queued' then 'running' else j.status end,
    lane = case when j.status = 'queued' then due.lane else j.lane end,
    token = nextval('jobs.token'),
    runner = %(runner)s,
    lease_until = now() + make_interval(secs => %(lease)s),
    attempt = j.attempt + case when j.status = 'queued' or j.lease_until is not null then 1 else 0 end,
    started_at = coalesce(j.started_at, now()),
    deadline = coalesce(j.deadline, now() + make_interval(secs => due.deadline_s))
from due
where j.id = due.id
returning j.*
"""

# Rows that a step's own transaction has locked are left out: nobody can claim those, and they mustn't hold up others.
HEARTBEAT = """
with held as (
    select * from unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) as h(id, token)
), free as (
    select j.id
    from jobs.job j join held on held.id = j.id and held.token = j.token
    where j.runner = %(runner)s and j.status in ('running', 'undoing')
    for no key update of j skip locked
), beaten as (
    update jobs.job set lease_until = now() + make_interval(secs => %(lease)s) where id in (select id from free)
)
select held.id, held.token
from held
where not exists (
    select from jobs.job j
    where j.id = held.id and j.token = held.token and j.runner = %(runner)s and j.status in ('running', 'undoing')
)
"""
"""Extends the leases, and returns the claims that hold no more."""

RELEASE = """
update jobs.job
set lease_until = null, runner = null
where runner = %(runner)s and status in ('running', 'undoing') and not id = any(%(busy)s::uuid[])
returning pg_notify('ccx_jobs', key)
"""

LOCK = f"with {MINE} select * from mine"

STEPS = "select * from jobs.step where job_id = %(id)s order by number"

# A step begins only while the job is wanted and on time; undo and what follows the pivot (`forced`) always do.
BEGIN_STEP = f"""
with {MINE}, begun as (
    insert into jobs.step (job_id, name, number, state, undoable, token, attempts, started_at)
    select id, %(name)s, %(number)s, 'begun', %(undoable)s, %(token)s, 1, now()
    from mine
    where %(forced)s::boolean or not (cancel or late)
    on conflict (job_id, name) do update
        set state = 'begun', token = excluded.token, attempts = step.attempts + 1
    returning step.attempts, step.error, extract(epoch from now() - step.started_at)::float8 as age_s
), pivot as (
    update jobs.job set pivoted = true
    where id in (select id from mine) and %(pivot)s::boolean and exists (select from begun)
)
select mine.cancel, mine.late, mine.wakes, begun.attempts, begun.error, begun.age_s from mine left join begun on true
"""

FINISH_STEP = f"""
with {MINE}
update jobs.step s
set state = %(state)s, result = %(result)s::jsonb, error = %(error)s::jsonb, finished_at = now(),
    progress = coalesce(%(progress)s::jsonb, s.progress)
from mine
where s.job_id = mine.id and s.name = %(name)s
returning s.name
"""

# A transaction that failed has left no row of its step; what is tried again is shown all the same.
TRIED_STEP = f"""
with {MINE}
insert into jobs.step (job_id, name, number, state, undoable, token, attempts, started_at, error)
select id, %(name)s, %(number)s, 'begun', false, %(token)s, 1, now(), %(error)s::jsonb
from mine
on conflict (job_id, name) do update set error = excluded.error
returning name
"""

RECORD_STEP = f"""
with {MINE}
insert into jobs.step (job_id, name, number, state, undoable, token, attempts, started_at, finished_at, result, error)
select id, %(name)s, %(number)s, %(state)s, %(undoable)s, %(token)s, 1, now(), clock_timestamp(),
       %(result)s::jsonb, %(error)s::jsonb
from mine
on conflict (job_id, name) do update
    set state = excluded.state, undoable = excluded.undoable, token = excluded.token, attempts = step.attempts + 1,
        finished_at = excluded.finished_at, result = excluded.result, error = excluded.error
returning name
"""

UNDONE_STEP = f"""
with {MINE}
update jobs.step s set state = 'undone' from mine where s.job_id = mine.id and s.name = %(name)s returning s.name
"""

FINISH_UNDO = f"""
with {MINE}
update jobs.step s
set state = case when s.name = %(name)s then 'done' else 'undone' end,
    result = case when s.name = %(name)s then %(result)s::jsonb else s.result end,
    finished_at = case when s.name = %(name)s then now() else s.finished_at end,
    error = case when s.name = %(name)s then null else s.error end
from mine
where s.job_id = mine.id and s.name in (%(name)s, %(of)s)
returning s.name
"""

PROGRESS = f"""
with {MINE}, extended as (
    update jobs.job
    set deadline = greatest(deadline, now() + make_interval(secs => %(deadline)s))
    where id in (select id from mine) and %(advanced)s::boolean
)
update jobs.step s set progress = %(progress)s::jsonb from mine where s.job_id = mine.id and s.name = %(name)s
returning mine.cancel, mine.late and not %(advanced)s::boolean as late
"""

LOOK = """
select j.cancel, coalesce(j.deadline < now(), false) as late, j.wakes,
       extract(epoch from now() - s.started_at)::float8 as age_s
from jobs.job j join jobs.step s on s.job_id = j.id and s.name = %(name)s
where j.id = %(id)s and j.token = %(token)s and j.status in ('running', 'undoing')
"""

# The key stays taken: only the lease goes. A wake or a cancel that came meanwhile means: don't sleep at all.
NAP = """
update jobs.job
set run_at = case
        when wakes > %(wakes)s::bigint or (status = 'running' and not pivoted and cancel) then now()
        when status = 'running' and not pivoted
            then greatest(now(), least(now() + make_interval(secs => %(pause)s), deadline))
        else now() + make_interval(secs => %(pause)s)
    end,
    lease_until = null, runner = null,
    retries = case when %(failed)s::boolean then retries + 1 else retries end,
    flagged = coalesce(%(flagged)s::text, flagged)
where id = %(id)s and token = %(token)s and status in ('running', 'undoing')
returning extract(epoch from run_at - now())::float8 as pause_s
"""

CALM = """
update jobs.job set retries = 0, flagged = null
where id = %(id)s and token = %(token)s and status in ('running', 'undoing')
returning id
"""

START_UNDO = """
update jobs.job set status = 'undoing', error = %(error)s::jsonb, retries = 0, flagged = null
where id = %(id)s and token = %(token)s and status in ('running', 'undoing') and not pivoted
returning *
"""

FINISH = """
update jobs.job
set status = case when %(done)s::boolean then 'done' when cancel then 'cancelled' else 'failed' end,
    result = %(result)s::jsonb, finished_at = now(), lease_until = null, runner = null, flagged = null
where id = %(id)s and token = %(token)s and status in ('running', 'undoing')
returning *
"""
