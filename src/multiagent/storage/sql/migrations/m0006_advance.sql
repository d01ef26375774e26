-- Moves one task on, in one call: its facts in their order, then what its row shows, then a step's start or its result.
-- Each part is left out where its first argument is NULL, or has no rows. What is raised undoes all of it.
CREATE FUNCTION advance(
  p_tenant text, p_task text,
  e_id text[], e_key text[], e_kind text[], e_time bigint[], e_principal text[], e_on_behalf_of text[],
  e_cause text[], e_trace_id text[], e_commitment text[], e_salt bytea[], e_payload bytea[],
  o_n bigint[], o_kind text[], o_key text[], o_time bigint[], o_value bytea[], o_digest text[], o_patches bytea[],
  o_again boolean[], o_after integer[],
  u_time bigint, u_status text, u_mode text, u_result bytea, u_error bytea, u_usage text, u_total_tokens bigint,
  u_cost_pico bigint, u_duration_ms bigint, u_waits_for text, u_only_at bigint,
  s_key text, s_input_hash text, s_owner text, s_lease_until bigint, s_time bigint,
  r_key text, r_input_hash text, r_status text, r_value bytea, r_ref text, r_error bytea, r_owner text, r_time bigint,
  OUT numbers bigint[], OUT attempts bigint, OUT step_deaths bigint, OUT stored boolean
) LANGUAGE plpgsql AS $$
BEGIN
  numbers := '{}';
  stored := false;
  IF cardinality(e_key) > 0 OR cardinality(o_n) > 0 THEN
    numbers := append_facts(p_tenant, p_task, e_id, e_key, e_kind, e_time, e_principal, e_on_behalf_of, e_cause,
      e_trace_id, e_commitment, e_salt, e_payload, o_n, o_kind, o_key, o_time, o_value, o_digest, o_patches, o_again,
      o_after);
  ELSIF u_time IS NOT NULL THEN
    PERFORM 1 FROM task_executions WHERE tenant_id = p_tenant AND id = p_task FOR UPDATE;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'there is no task %; list tasks to see which there are', p_task USING ERRCODE = 'MA404';
    END IF;
  END IF;
  IF u_time IS NOT NULL THEN
    UPDATE task_executions SET updated_at = u_time, status = coalesce(u_status, status), mode = coalesce(u_mode, mode),
        result = coalesce(u_result, result), error = coalesce(u_error, error), usage = coalesce(u_usage, usage),
        total_tokens = coalesce(u_total_tokens, total_tokens),
        total_cost_pico = coalesce(u_cost_pico, total_cost_pico), duration_ms = coalesce(u_duration_ms, duration_ms),
        waits_for = coalesce(u_waits_for, waits_for)
      WHERE tenant_id = p_tenant AND id = p_task
        AND (u_status IS NULL OR status IN ('queued', 'running', 'waiting', 'paused'))
        AND (u_only_at IS NULL
          OR u_only_at = (SELECT coalesce(max(n), 0) FROM journal WHERE tenant_id = p_tenant AND task = p_task));
  END IF;
  IF s_key IS NOT NULL THEN
    INSERT INTO results AS r
        (tenant_id, task, key, input_hash, status, owner, lease_until, attempts, started_at)
      VALUES (p_tenant, p_task, s_key, s_input_hash, 'leased', s_owner, s_lease_until, 1, s_time)
      ON CONFLICT (tenant_id, task, key) DO UPDATE SET attempts = r.attempts + 1,
        deaths = r.deaths + (r.owner <> excluded.owner)::int, owner = excluded.owner,
        lease_until = excluded.lease_until WHERE r.status = 'leased' AND r.input_hash = excluded.input_hash
      RETURNING r.attempts, r.deaths INTO attempts, step_deaths;
    IF attempts IS NULL THEN
      PERFORM check_input(p_tenant, p_task, s_key, s_input_hash);
    END IF;
  END IF;
  IF r_key IS NOT NULL THEN
    INSERT INTO results AS r
        (tenant_id, task, key, input_hash, status, value, ref, error, owner, attempts, started_at, finished_at)
      VALUES (p_tenant, p_task, r_key, r_input_hash, r_status, r_value, r_ref, r_error, r_owner, 1, r_time, r_time)
      ON CONFLICT (tenant_id, task, key) DO UPDATE SET status = excluded.status, value = excluded.value,
        ref = excluded.ref, error = excluded.error, owner = excluded.owner, finished_at = excluded.finished_at
        WHERE r.status = 'leased' AND r.input_hash = excluded.input_hash;
    stored := FOUND;
    IF NOT stored THEN
      PERFORM check_input(p_tenant, p_task, r_key, r_input_hash);
    END IF;
  END IF;
END $$;

-- Raises where a step's row is of another input: the workflow's code has changed.
CREATE FUNCTION check_input(p_tenant text, p_task text, p_key text, p_input_hash text) RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
  recorded text;
BEGIN
  SELECT input_hash INTO recorded FROM results WHERE tenant_id = p_tenant AND task = p_task AND key = p_key;
  IF recorded <> p_input_hash THEN
    RAISE EXCEPTION 'step % of task % ran before with another input; the workflow''s code has changed under it',
      p_key, p_task USING ERRCODE = 'MA409',
      DETAIL = json_build_object('step', p_key, 'recorded', recorded, 'found', p_input_hash)::text;
  END IF;
END $$;
