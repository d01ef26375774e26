-- What appends facts in one call. Every write that touches a task's row takes it before anything else, so that two
-- processes never wait for each other in a circle.

CREATE FUNCTION lock_tasks(p_tenants text[], p_tasks text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM task_executions t
    JOIN unnest(p_tenants, p_tasks) AS wanted(tenant, task) ON t.tenant_id = wanted.tenant AND t.id = wanted.task
    ORDER BY t.tenant_id, t.id FOR UPDATE OF t;
END $$;

-- Appends events and journal rows of one task in their order: outcome j stands after the first o_after[j] events.
-- Answers each event's number, below zero where its key was known already.
CREATE FUNCTION append_facts(
  p_tenant text, p_task text,
  e_id text[], e_key text[], e_kind text[], e_time bigint[], e_principal text[], e_on_behalf_of text[],
  e_cause text[], e_trace_id text[], e_commitment text[], e_salt bytea[], e_payload bytea[],
  o_n bigint[], o_kind text[], o_key text[], o_time bigint[], o_value bytea[], o_digest text[], o_patches bytea[],
  o_again boolean[], o_after integer[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  began bigint;
  newest bigint;
  last_n bigint;
  answers bigint[] := '{}';
  i integer;
  j integer := 1;
BEGIN
  SELECT last_seq INTO newest FROM task_executions WHERE tenant_id = p_tenant AND id = p_task FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no task %; list tasks to see which there are', p_task USING ERRCODE = 'MA404';
  END IF;
  began := newest;
  IF cardinality(o_n) > 0 THEN
    SELECT max(n) INTO last_n FROM journal WHERE tenant_id = p_tenant AND task = p_task;
  END IF;
  FOR i IN 0 .. cardinality(e_key) LOOP
    IF i > 0 THEN
      INSERT INTO event_payloads (tenant_id, task, key, seq, salt, payload)
        VALUES (p_tenant, p_task, e_key[i], newest + 1, e_salt[i], e_payload[i])
        ON CONFLICT (tenant_id, task, key) DO NOTHING;
      IF FOUND THEN
        newest := newest + 1;
        INSERT INTO events (tenant_id, task, seq, v, id, key, kind, time, principal, on_behalf_of, cause, trace_id,
            commitment)
          VALUES (p_tenant, p_task, newest, 1, e_id[i], e_key[i], e_kind[i], e_time[i], e_principal[i],
            e_on_behalf_of[i], e_cause[i], e_trace_id[i], e_commitment[i]);
        answers := answers || newest;
      ELSE
        answers := answers || (
          SELECT -p.seq FROM event_payloads p WHERE p.tenant_id = p_tenant AND p.task = p_task AND p.key = e_key[i]);
      END IF;
    END IF;
    WHILE j <= cardinality(o_n) AND o_after[j] = i LOOP
      IF o_again[j] AND o_n[j] <= last_n THEN
        PERFORM 1 FROM journal WHERE tenant_id = p_tenant AND task = p_task AND n = o_n[j] AND kind = o_kind[j]
          AND key = o_key[j] AND digest = o_digest[j];
        IF NOT FOUND THEN
          RAISE EXCEPTION 'outcome % of task % is another one than is stored; the workflow''s code has changed under it',
            o_n[j], p_task USING ERRCODE = 'MA409', DETAIL = json_build_object('n', o_n[j], 'step', o_key[j])::text;
        END IF;
      ELSIF o_n[j] <> coalesce(last_n + 1, least(o_n[j], 1)) THEN
        RAISE EXCEPTION 'outcome % of task % does not follow %; another owner may be running it', o_n[j], p_task,
          coalesce(last_n::text, 'None')
          USING ERRCODE = 'MA500', DETAIL = json_build_object('task', p_task, 'n', o_n[j])::text;
      ELSE
        INSERT INTO journal (tenant_id, task, n, kind, key, time, value, digest, patches, event_seq)
          VALUES (p_tenant, p_task, o_n[j], o_kind[j], o_key[j], o_time[j], o_value[j], o_digest[j], o_patches[j],
            newest);
        last_n := o_n[j];
      END IF;
      j := j + 1;
    END LOOP;
  END LOOP;
  IF newest > began THEN
    UPDATE task_executions SET last_seq = newest WHERE tenant_id = p_tenant AND id = p_task;
    INSERT INTO log_pending (tenant_id, task, seq)
      SELECT p_tenant, p_task, one FROM generate_series(began + 1, newest) AS one;
  END IF;
  RETURN answers;
END $$;
