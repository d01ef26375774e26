-- Budgets on PostgreSQL. Everything here takes its locks in one order: the keys that are reserved for, rows of
-- budget_scopes by (kind, id, window, window_start), rows of waiters by (ticket, scope), rows of reservations by id.
-- Texts are ordered as their code points are (COLLATE "C"), as callers sort them. A transaction that calls several
-- of these functions calls lock_budgets first. Rows are found one by one through their key (LATERAL … LIMIT), and
-- changed by their ctid while they are locked, so that no plan reads more of a tenant's scopes than are asked for.

-- Lock keys: under a locked key nobody else reserves, so that what is open there stays the same. Of a tenant's keys
-- either some are locked or, where an empty one is among them, all.
CREATE FUNCTION lock_keys(a_tenant text, a_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF '' = ANY (a_keys) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(a_tenant, 6));
    ELSIF cardinality(a_keys) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(a_tenant, 6));
        PERFORM pg_advisory_xact_lock(n.lock) FROM (
            SELECT DISTINCT hashtextextended(a_tenant || '/' || k.key, 7) AS lock FROM unnest(a_keys) AS k (key)
            ORDER BY lock
        ) AS n;
    END IF;
END $$;

-- Lock the scopes, made where they are missing, those of the reservations, and who waits for them.
CREATE FUNCTION lock_budgets(
    a_tenant text, a_kinds text[], a_ids text[], a_windows text[], a_starts bigint[], a_limit_tokens bigint[],
    a_limit_pico bigint[], a_reservations text[], a_tickets text[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l_names text[];
BEGIN
    WITH asked AS (
        SELECT DISTINCT ON (n.kind, n.id, n."window", n.start) n.*
        FROM (
            SELECT * FROM unnest(a_kinds, a_ids, a_windows, a_starts, a_limit_tokens, a_limit_pico)
                AS n (kind, id, "window", start, tokens, pico)
            UNION ALL
            SELECT r.kind, r.id, r."window", r.window_start, NULL, NULL FROM reservation_scopes r
            WHERE r.tenant_id = a_tenant AND r.reservation = ANY (a_reservations)
        ) AS n
    ), locked AS (
        INSERT INTO budget_scopes AS s (tenant_id, kind, id, "window", window_start, limit_tokens, limit_pico)
        SELECT a_tenant, n.kind, n.id, n."window", n.start, n.tokens, n.pico FROM asked n
        ORDER BY n.kind COLLATE "C", n.id COLLATE "C", n."window" COLLATE "C", n.start
        ON CONFLICT (tenant_id, kind, id, "window", window_start) DO UPDATE SET v = s.v WHERE false
    )
    SELECT array_agg(concat_ws('/', n.kind, n."window", n.start, n.id)) INTO l_names FROM asked n;
    PERFORM 1 FROM waiters w WHERE w.tenant_id = a_tenant AND (w.ticket = ANY (a_tickets) OR w.ticket IN (
        SELECT o.ticket FROM waiters o WHERE o.tenant_id = a_tenant AND o.scope = ANY (l_names)
    )) ORDER BY w.ticket COLLATE "C", w.scope COLLATE "C" FOR UPDATE;
END $$;

-- Wake those who wait, in other processes. Who takes a place in a line holds the rows of its scopes, so that a
-- release that finds nobody waiting has nobody to wake.
CREATE FUNCTION tell_released(a_tenant text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM waiters w WHERE w.tenant_id = a_tenant) THEN
        PERFORM pg_notify('multiagent_released', a_tenant);
    END IF;
END $$;

-- Hold a need in every scope or in none. The verdict is core.budget.judge's: 'granted' (o_id is the reservation that
-- stands), 'wait' (o_at: the positions of the scopes, from 1), 'refused' (o_at: the position of the first that
-- refuses). Where only holds stand in the way, or one who waits longer and was passed a_passes times, a ticket keeps
-- a place in the line of those scopes until a_expires.
CREATE FUNCTION reserve(
    a_tenant text, a_id text, a_key text, a_attempt bigint, a_task text, a_model text, a_need_tokens bigint,
    a_need_pico bigint, a_deadline bigint, a_owner text, a_time bigint, a_kinds text[], a_ids text[], a_windows text[],
    a_starts bigint[], a_limit_tokens bigint[], a_limit_pico bigint[], a_names text[], a_ticket text, a_expires bigint,
    a_passes bigint, OUT o_verdict text, OUT o_id text, OUT o_at bigint[], OUT o_room_tokens bigint,
    OUT o_room_pico bigint, OUT o_released boolean
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    l_most CONSTANT numeric := 9223372036854775807;
    l_overflow bigint;
    l_refused bigint;
    l_waits bigint[];
    l_rows tid[];
    l_line boolean;
BEGIN
    o_released := false;
    PERFORM lock_keys(a_tenant, ARRAY[a_key]);
    SELECT r.id INTO o_id FROM reservations r
    WHERE r.tenant_id = a_tenant AND r.key = a_key AND r.attempt = a_attempt;
    IF FOUND THEN
        o_verdict := 'granted';
        RETURN;
    END IF;

    INSERT INTO budget_scopes AS s (tenant_id, kind, id, "window", window_start, limit_tokens, limit_pico)
    SELECT a_tenant, n.kind, n.id, n."window", n.start, n.tokens, n.pico
    FROM unnest(a_kinds, a_ids, a_windows, a_starts, a_limit_tokens, a_limit_pico) WITH ORDINALITY
        AS n (kind, id, "window", start, tokens, pico, at)
    ORDER BY n.at
    ON CONFLICT (tenant_id, kind, id, "window", window_start) DO UPDATE
        SET limit_tokens = EXCLUDED.limit_tokens, limit_pico = EXCLUDED.limit_pico
        WHERE (s.limit_tokens, s.limit_pico) IS DISTINCT FROM (EXCLUDED.limit_tokens, EXCLUDED.limit_pico);

    SELECT
        min(n.at) FILTER (WHERE j.tokens + j.held_tokens > l_most OR j.pico + j.held_pico > l_most),
        min(n.at) FILTER (WHERE j.closed <> 0 OR j.tokens > j.limit_tokens OR j.pico > j.limit_pico),
        array_agg(n.at ORDER BY n.at) FILTER (
            WHERE j.tokens + j.held_tokens > j.limit_tokens OR j.pico + j.held_pico > j.limit_pico
        ),
        array_agg(j.ctid)
    INTO l_overflow, l_refused, l_waits, l_rows
    FROM unnest(a_kinds, a_ids, a_windows, a_starts) WITH ORDINALITY AS n (kind, id, "window", start, at)
    CROSS JOIN LATERAL (
        SELECT s.ctid, s.closed, s.limit_tokens, s.limit_pico, s.held_tokens, s.held_pico,
            s.used_tokens::numeric + a_need_tokens AS tokens, s.used_pico::numeric + a_need_pico AS pico
        FROM budget_scopes s
        WHERE s.tenant_id = a_tenant AND s.kind = n.kind AND s.id = n.id AND s."window" = n."window"
            AND s.window_start = n.start
        LIMIT 1
    ) AS j;
    l_refused := coalesce(l_overflow, l_refused);

    IF l_refused IS NULL THEN
        l_line := EXISTS (SELECT 1 FROM waiters w WHERE w.tenant_id = a_tenant AND w.scope = ANY (a_names));
        IF l_line THEN
            PERFORM 1 FROM waiters w WHERE w.tenant_id = a_tenant AND (w.ticket = a_ticket OR w.ticket IN (
                SELECT o.ticket FROM waiters o WHERE o.tenant_id = a_tenant AND o.scope = ANY (a_names)
            )) ORDER BY w.ticket COLLATE "C", w.scope COLLATE "C" FOR UPDATE;
            DELETE FROM waiters w
            WHERE w.tenant_id = a_tenant AND w.scope = ANY (a_names) AND w.expires < a_time AND w.ticket <> a_ticket;
            IF l_waits IS NULL THEN
                SELECT array_agg(DISTINCT n.at ORDER BY n.at) INTO l_waits
                FROM unnest(a_names) WITH ORDINALITY AS n (name, at)
                JOIN waiters w ON w.tenant_id = a_tenant AND w.scope = n.name
                WHERE w.passed >= a_passes AND w.ticket <> a_ticket
                    AND (a_ticket = '' OR w.ticket COLLATE "C" < a_ticket);
            END IF;
        END IF;
    END IF;

    IF l_refused IS NULL AND l_waits IS NULL THEN
        o_verdict := 'granted';
        o_id := a_id;
        INSERT INTO reservations (
            tenant_id, id, key, attempt, task, model, state, need_tokens, need_pico, deadline, owner, "time"
        ) VALUES (
            a_tenant, a_id, a_key, a_attempt, a_task, a_model, 'held', a_need_tokens, a_need_pico, a_deadline, a_owner,
            a_time
        );
        INSERT INTO reservation_scopes (tenant_id, reservation, kind, id, "window", window_start)
        SELECT a_tenant, a_id, n.kind, n.id, n."window", n.start
        FROM unnest(a_kinds, a_ids, a_windows, a_starts) AS n (kind, id, "window", start);
        UPDATE budget_scopes s
        SET held_tokens = s.held_tokens + a_need_tokens, held_pico = s.held_pico + a_need_pico
        WHERE s.ctid = ANY (l_rows);
        IF l_line THEN
            UPDATE waiters w SET passed = w.passed + 1
            WHERE w.tenant_id = a_tenant AND w.ticket <> a_ticket
                AND (a_ticket = '' OR w.ticket COLLATE "C" < a_ticket) AND w.ticket IN (
                    SELECT o.ticket FROM waiters o WHERE o.tenant_id = a_tenant AND o.scope = ANY (a_names)
                );
            DELETE FROM waiters w WHERE w.tenant_id = a_tenant AND w.ticket = a_ticket;
            o_released := FOUND;
            IF o_released THEN
                PERFORM tell_released(a_tenant);
            END IF;
        END IF;
        RETURN;
    END IF;

    IF l_refused IS NOT NULL THEN
        o_verdict := 'refused';
        o_at := ARRAY[l_refused];
        SELECT
            CASE WHEN s.closed <> 0 THEN 0
                WHEN s.limit_tokens IS NOT NULL THEN greatest(0, s.limit_tokens - s.used_tokens) END,
            CASE WHEN s.closed <> 0 THEN 0
                WHEN s.limit_pico IS NOT NULL THEN greatest(0, s.limit_pico - s.used_pico) END
        INTO o_room_tokens, o_room_pico
        FROM budget_scopes s WHERE s.tenant_id = a_tenant AND s.kind = a_kinds[l_refused] AND s.id = a_ids[l_refused]
            AND s."window" = a_windows[l_refused] AND s.window_start = a_starts[l_refused];
        RETURN;
    END IF;
    o_verdict := 'wait';
    o_at := l_waits;
    IF a_ticket <> '' THEN
        INSERT INTO waiters AS w (tenant_id, scope, ticket, passed, expires)
        SELECT a_tenant, a_names[n.at], a_ticket, coalesce(
            (SELECT max(o.passed) FROM waiters o WHERE o.tenant_id = a_tenant AND o.ticket = a_ticket), 0
        ), a_expires
        FROM unnest(l_waits) AS n (at)
        ON CONFLICT (tenant_id, scope, ticket) DO UPDATE SET expires = EXCLUDED.expires;
        DELETE FROM waiters w
        WHERE w.tenant_id = a_tenant AND w.ticket = a_ticket
            AND w.scope <> ALL (SELECT a_names[n.at] FROM unnest(l_waits) AS n (at));
        DELETE FROM waiters w USING (
            SELECT o.scope, o.ticket FROM waiters o WHERE o.tenant_id = a_tenant AND o.expires < a_time - 60000
            FOR UPDATE SKIP LOCKED
        ) AS dead WHERE w.tenant_id = a_tenant AND w.scope = dead.scope AND w.ticket = dead.ticket;
    END IF;
END $$;

-- Where the rows of a reservation's scopes are, and whether so much more could be booked as used in each.
CREATE FUNCTION scopes_of(
    a_tenant text, a_reservation text, a_tokens bigint, a_pico bigint, OUT o_rows tid[], OUT o_fits boolean
) LANGUAGE plpgsql AS $$
DECLARE
    l_most CONSTANT bigint := 9223372036854775807;
BEGIN
    SELECT array_agg(j.ctid), coalesce(bool_and(j.fits), true) INTO o_rows, o_fits FROM reservation_scopes r
    CROSS JOIN LATERAL (
        SELECT s.ctid, s.used_tokens <= l_most - greatest(0, a_tokens) AND s.used_pico <= l_most - greatest(0, a_pico)
            AS fits
        FROM budget_scopes s
        WHERE s.tenant_id = a_tenant AND s.kind = r.kind AND s.id = r.id AND s."window" = r."window"
            AND s.window_start = r.window_start
        LIMIT 1
    ) AS j WHERE r.tenant_id = a_tenant AND r.reservation = a_reservation;
END $$;

-- Book what was used and release what was held in all scopes of a reservation, whose rows are locked; false (and
-- nothing is done) where that is more than a column holds.
CREATE FUNCTION book_budget(
    a_tenant text, a_reservation text, a_used_tokens bigint, a_used_pico bigint, a_held_tokens bigint,
    a_held_pico bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    l_scopes record;
BEGIN
    l_scopes := scopes_of(a_tenant, a_reservation, a_used_tokens, a_used_pico);
    IF NOT l_scopes.o_fits THEN
        RETURN false;
    END IF;
    UPDATE budget_scopes s
    SET used_tokens = s.used_tokens + a_used_tokens, used_pico = s.used_pico + a_used_pico,
        held_tokens = s.held_tokens - a_held_tokens, held_pico = s.held_pico - a_held_pico
    WHERE s.ctid = ANY (l_scopes.o_rows);
    PERFORM tell_released(a_tenant);
    RETURN true;
END $$;

-- Lock a reservation's scopes, then itself.
CREATE FUNCTION lock_reservation(a_tenant text, a_reservation text) RETURNS reservations LANGUAGE plpgsql AS $$
DECLARE
    l_row reservations;
BEGIN
    PERFORM 1 FROM (
        SELECT n.* FROM reservation_scopes n WHERE n.tenant_id = a_tenant AND n.reservation = a_reservation
        ORDER BY n.kind COLLATE "C", n.id COLLATE "C", n."window" COLLATE "C", n.window_start
    ) AS r
    CROSS JOIN LATERAL (
        SELECT 1 FROM budget_scopes s
        WHERE s.tenant_id = a_tenant AND s.kind = r.kind AND s.id = r.id AND s."window" = r."window"
            AND s.window_start = r.window_start
        FOR UPDATE
    ) AS locked;
    SELECT * INTO l_row FROM reservations r WHERE r.tenant_id = a_tenant AND r.id = a_reservation FOR UPDATE;
    RETURN l_row;
END $$;

-- o_state is what the reservation was: NULL where there is none, 'settled' where nothing was left to do. o_booked is
-- false where the bill is more than can be booked. o_kinds and the like are the scopes that an overrun has closed.
CREATE FUNCTION settle(
    a_tenant text, a_reservation text, a_tokens bigint, a_pico bigint, a_vendor_request text, a_time bigint,
    OUT o_state text, OUT o_booked boolean, OUT o_overrun boolean, OUT o_kinds text[], OUT o_ids text[],
    OUT o_windows text[], OUT o_starts bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
    l_row reservations;
    l_scopes record;
BEGIN
    l_row := lock_reservation(a_tenant, a_reservation);
    o_state := l_row.state;
    o_booked := true;
    o_overrun := false;
    IF o_state IS NULL OR o_state = 'settled' THEN
        RETURN;
    END IF;
    o_overrun := a_tokens > l_row.need_tokens OR a_pico > l_row.need_pico;
    IF o_state = 'lost' THEN
        o_booked := book_budget(
            a_tenant, a_reservation, a_tokens - l_row.need_tokens, a_pico - l_row.need_pico, 0, 0
        );
    ELSE
        o_booked := book_budget(a_tenant, a_reservation, a_tokens, a_pico, l_row.need_tokens, l_row.need_pico);
    END IF;
    IF NOT o_booked THEN
        RETURN;
    END IF;
    UPDATE reservations r
    SET state = 'settled', billed_tokens = a_tokens, billed_pico = a_pico, overrun = o_overrun::int,
        vendor_request = a_vendor_request, settled_at = a_time
    WHERE r.tenant_id = a_tenant AND r.id = a_reservation;
    IF o_overrun THEN
        l_scopes := scopes_of(a_tenant, a_reservation, 0, 0);
        WITH closed AS (
            UPDATE budget_scopes s SET closed = 1
            WHERE s.ctid = ANY (l_scopes.o_rows)
                AND (s.used_tokens > s.limit_tokens OR s.used_pico > s.limit_pico)
            RETURNING s.kind, s.id, s."window", s.window_start
        ), sorted AS (
            SELECT * FROM closed c
            ORDER BY c.kind COLLATE "C", c.id COLLATE "C", c."window" COLLATE "C", c.window_start
        )
        SELECT array_agg(c.kind), array_agg(c.id), array_agg(c."window"), array_agg(c.window_start)
        INTO o_kinds, o_ids, o_windows, o_starts FROM sorted c;
    END IF;
END $$;

-- Count a held reservation in full. As settle: o_state is what it was.
CREATE FUNCTION lose(
    a_tenant text, a_reservation text, a_time bigint, OUT o_state text, OUT o_booked boolean
) LANGUAGE plpgsql AS $$
DECLARE
    l_row reservations;
BEGIN
    l_row := lock_reservation(a_tenant, a_reservation);
    o_state := l_row.state;
    o_booked := true;
    IF o_state = 'held' THEN
        o_booked := book_budget(
            a_tenant, a_reservation, l_row.need_tokens, l_row.need_pico, l_row.need_tokens, l_row.need_pico
        );
        UPDATE reservations r SET state = 'lost', settled_at = a_time
        WHERE o_booked AND r.tenant_id = a_tenant AND r.id = a_reservation;
    END IF;
END $$;

-- Which reservations are open under a key (empty: any), and past their deadline or another owner's (empty: any).
CREATE FUNCTION open_reservations(a_tenant text, a_key text, a_owner text, a_time bigint) RETURNS SETOF text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF a_key <> '' THEN
        RETURN QUERY SELECT r.id FROM reservations r
        WHERE r.tenant_id = a_tenant AND r.key = a_key AND r.state = 'held'
            AND (a_owner = '' OR r.deadline < a_time OR r.owner <> a_owner)
        ORDER BY r.id COLLATE "C";
    ELSE
        RETURN QUERY SELECT r.id FROM reservations r
        WHERE r.state = 'held' AND r.tenant_id = a_tenant
            AND (a_owner = '' OR r.deadline < a_time OR r.owner <> a_owner)
        ORDER BY r.id COLLATE "C";
    END IF;
END $$;

-- Lose all that are open; o_count says how many.
CREATE FUNCTION lose_open(
    a_tenant text, a_key text, a_owner text, a_time bigint, OUT o_count bigint, OUT o_booked boolean
) LANGUAGE plpgsql AS $$
DECLARE
    l_open text[];
    l_one text;
    l_state text;
BEGIN
    PERFORM lock_keys(a_tenant, ARRAY[a_key]);
    l_open := ARRAY(SELECT open_reservations(a_tenant, a_key, a_owner, a_time));
    o_count := 0;
    o_booked := true;
    IF cardinality(l_open) > 1 THEN
        PERFORM lock_budgets(a_tenant, '{}', '{}', '{}', '{}', '{}', '{}', l_open, '{}');
    END IF;
    FOREACH l_one IN ARRAY l_open LOOP
        SELECT t.o_state, t.o_booked INTO l_state, o_booked FROM lose(a_tenant, l_one, a_time) t;
        EXIT WHEN NOT o_booked;
        o_count := o_count + (l_state = 'held')::int;
    END LOOP;
END $$;

-- Give up a place in the line. Returns whether it had been passed so often that others had to wait behind it.
CREATE FUNCTION leave_line(a_tenant text, a_ticket text, a_passes bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    l_barred boolean;
BEGIN
    PERFORM 1 FROM waiters w WHERE w.tenant_id = a_tenant AND w.ticket = a_ticket
    ORDER BY w.ticket COLLATE "C", w.scope COLLATE "C" FOR UPDATE;
    WITH gone AS (
        DELETE FROM waiters w WHERE w.tenant_id = a_tenant AND w.ticket = a_ticket RETURNING w.passed
    )
    SELECT coalesce(bool_or(g.passed >= a_passes), false) INTO l_barred FROM gone g;
    IF l_barred THEN
        PERFORM tell_released(a_tenant);
    END IF;
    RETURN l_barred;
END $$;

-- Keep places in the line for longer. Rows that another transaction works on are left for the next time.
CREATE FUNCTION keep_places(a_tenant text, a_tickets text[], a_expires bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE waiters w SET expires = a_expires FROM (
        SELECT o.scope, o.ticket FROM waiters o WHERE o.tenant_id = a_tenant AND o.ticket = ANY (a_tickets)
        FOR UPDATE SKIP LOCKED
    ) AS mine WHERE w.tenant_id = a_tenant AND w.scope = mine.scope AND w.ticket = mine.ticket
$$;
