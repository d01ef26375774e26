-- Give at most a_most events that wait their places in the log; returns how many, or -1 (and does nothing) where a later
-- epoch has begun. An event comes after all that were committed before its own transaction wrote anything, and those of a
-- task come in their order: by the age of their transactions, each at least as young as the events before it in its task.
CREATE FUNCTION fill_log(a_epoch bigint, a_most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    l_position bigint;
    l_count bigint;
BEGIN
    SELECT h.position INTO l_position FROM log_head h WHERE h.tenant_id = '' AND h.epoch = a_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RETURN -1;
    END IF;
    WITH waiting AS (
        SELECT p.tenant_id, p.task, p.seq,
            max(-age(p.xmin)) OVER (PARTITION BY p.tenant_id, p.task ORDER BY p.seq) AS turn
        FROM log_pending p
    ), next AS (
        SELECT w.*, row_number() OVER (ORDER BY w.turn, w.tenant_id, w.task, w.seq) AS place FROM waiting w
        ORDER BY place LIMIT a_most
    ), gone AS (
        DELETE FROM log_pending p USING next n
        WHERE p.tenant_id = n.tenant_id AND p.task = n.task AND p.seq = n.seq
    )
    INSERT INTO log (tenant_id, position, task, seq)
    SELECT n.tenant_id, l_position + n.place, n.task, n.seq FROM next n;
    GET DIAGNOSTICS l_count = ROW_COUNT;
    IF l_count > 0 THEN
        UPDATE log_head h SET position = l_position + l_count WHERE h.tenant_id = '';
    END IF;
    RETURN l_count;
END $$;
