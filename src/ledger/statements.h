#ifndef SLUICE_LEDGER_STATEMENTS_H
#define SLUICE_LEDGER_STATEMENTS_H

/* Every statement of the embedded ledger: S(name, whose connection prepares it, SQL). */

/* Where a frame lies and what its filter needs: index_line_of reads these, in this order. */
#define PLACE "sequence, rows, key_seed, scene_list, scene_mask, segment, start, bytes, filter_blocks, tenant"
/* The whole line: batch_line_of reads these, in this order. */
#define LINE \
    "sequence, op, now_us, rows, passed, held, rejected, invalid, digest, base_digest, config_digest, id, coalesce(name, id)," \
    " (SELECT t.name FROM tenant t WHERE t.tenant = batch.tenant)"
/* ?1 sequence below, ?2 tenant or 0, ?3 and ?4 times, ?5 verdict or -1, ?6 only batches of transfers, ?7 lines, ?8 name or null,
 * ?9 least sequence */
#define NARROW \
    "sequence < ?1 AND sequence >= ?9 AND (?2 = 0 OR tenant = ?2) AND now_us >= ?3 AND now_us < ?4" \
    " AND (?5 < 0 OR CASE ?5 WHEN 0 THEN passed WHEN 1 THEN held WHEN 2 THEN rejected ELSE invalid END > 0)" \
    " AND (?6 = 0 OR filter_blocks > 0)"
#define DOWN " AND (?8 IS NULL OR coalesce(name, id) = ?8) ORDER BY sequence DESC LIMIT ?7"
#define NAMED(tenant, name) \
    "(SELECT sequence FROM batch WHERE tenant = " tenant " AND name = " name \
    " UNION ALL SELECT sequence FROM batch WHERE tenant = " tenant " AND id = " name " AND name IS NULL)"

/* outbox_of reads these, in this order. */
#define OUTBOX \
    "entry, batch, sequence, derived_id, payload_digest, rows, attempts, state, due_us," \
    " (SELECT t.name FROM tenant t WHERE t.tenant = outbox.tenant), (SELECT coalesce(b.name, b.id) FROM batch b WHERE b.sequence =" \
    " outbox.batch)"

/* Partial indexes serve a statement that says their condition: hence head > 0, done_us > 0 and state <> 1 beside what implies them.
 * letter_of reads these, in this order. ?1 of `after`, ?2 how many: a page of what leaves, second batches before the others. */
#define LETTER       "entry, sequence, made_us, due_us, attempts, state, connector, subject, recipient, id, why, since_us"
#define LETTERS_WAIT "state = 0 AND (head = 0 OR head = entry)"

#define LEDGER_STATEMENTS(S) \
    S(begin, WRITES, "BEGIN IMMEDIATE") \
    S(commit, WRITES, "COMMIT") \
    S(rollback, WRITES, "ROLLBACK") \
    S(settle, WRITES, "INSERT INTO setting VALUES('settled', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1") \
    S(secret_put, WRITES, "INSERT INTO setting VALUES('secret', ?1)") \
    S(secret_get, WRITES | READS, "SELECT value FROM setting WHERE name = 'secret'") \
    S(kept_get, WRITES | READS, "SELECT value FROM setting WHERE name = 'kept_from'") \
    S(kept_put, WRITES, "INSERT INTO setting VALUES('kept_from', ?1) ON CONFLICT(name) DO UPDATE SET value = ?1") \
    S(retain_waits, WRITES, "SELECT 1 FROM outbox WHERE state = 0 AND tenant = ?3 AND batch BETWEEN ?1 AND ?2 LIMIT 1") \
    S(retain_unsettled, WRITES, \
      "SELECT 1 FROM batch WHERE sequence BETWEEN ?1 AND ?2 AND" \
      " (EXISTS (SELECT 1 FROM life WHERE life.sequence = batch.sequence AND" \
      " (life.due_us > ?3 OR life.due_us = 0 AND life.state IN (0, 1) AND batch.now_us >= ?4))" \
      " OR batch.now_us >= ?4 AND EXISTS (SELECT 1 FROM outbox WHERE outbox.batch = batch.sequence AND outbox.state = 6)) LIMIT 1") \
    S(stopped_drop, WRITES, "DELETE FROM stopped WHERE sequence < ?1") \
    S(segment_lines, WRITES, "SELECT sequence, now_us, segment FROM batch WHERE sequence >= ?1 ORDER BY sequence") \
    S(first, WRITES, "SELECT " PLACE " FROM batch WHERE sequence >= ?1 ORDER BY sequence LIMIT 1") \
    S(last, WRITES | READS, "SELECT " PLACE " FROM batch ORDER BY sequence DESC LIMIT 1") \
    S(tenant_put, WRITES, "INSERT INTO tenant(name) VALUES(?1) RETURNING tenant") \
    S(scene_list_get, WRITES, "SELECT list FROM scene_list WHERE digest = ?1") \
    S(scene_list_put, WRITES, "INSERT INTO scene_list(digest) VALUES(?1) RETURNING list") \
    S(scene_put, WRITES, "INSERT INTO scene VALUES(?1, ?2, ?3)") \
    S(batch_put, WRITES, \
      "INSERT INTO batch(sequence, tenant, id, name, op, now_us, rows, passed, held, rejected, invalid, digest," \
      " base_digest, config_digest, scene_list, scene_mask, segment, start, bytes, filter_blocks, key_seed)" \
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)") \
    S(stopped_put, WRITES, \
      "INSERT INTO stopped(sequence, row, transfer_id, verdict, level, scene, risk_type)" \
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)") \
    S(label_put, WRITES, \
      "INSERT INTO label(tenant, transfer_id, label, sequence, row) VALUES(?1, ?2, ?3, ?4, ?5)" \
      " ON CONFLICT(tenant, transfer_id) DO UPDATE SET label = ?3, sequence = ?4, row = ?5") \
    S(listed_put, WRITES, \
      "INSERT INTO listed(tenant, list, kind, value, until_us, sequence, memo) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)" \
      " ON CONFLICT(tenant, list, kind, value) DO UPDATE SET until_us = ?5, sequence = ?6, memo = ?7") \
    S(listed_drop, WRITES, "DELETE FROM listed WHERE tenant = ?1 AND list = ?2 AND kind = ?3 AND value = ?4") \
    S(listed_over, WRITES, "DELETE FROM listed WHERE tenant = ?1 AND until_us <= ?2") \
    S(listed_get, READS, \
      "SELECT list, kind, value, until_us, sequence, memo FROM listed WHERE tenant = ?1 AND (?2 < 0 OR list = ?2)" \
      " AND (list, kind, value) > (?3, ?4, ?5) AND (?7 IS NULL OR value = ?7) ORDER BY list, kind, value LIMIT ?6") \
    S(document_put, WRITES, "INSERT INTO document(kind, digest, name, bytes) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(kind, digest) DO NOTHING") \
    S(base_change_put, WRITES, "INSERT INTO base_change VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)") \
    S(base_changes, READS, "SELECT * FROM base_change WHERE (op = 'base.put') = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3") \
    S(life_put, WRITES, \
      "INSERT INTO life(sequence, tenant, state, releases, due_us, changed) VALUES(?1, ?2, ?3, ?4, ?5, ?6)" \
      " ON CONFLICT(sequence) DO UPDATE SET state = ?3, releases = ?4, due_us = ?5, changed = ?6") \
    S(outbox_put, WRITES, \
      "INSERT INTO outbox(tenant, batch, release, sequence, derived_id, payload_digest, payload, rows)" \
      " VALUES(?1, ?2, ?3, ?4, (SELECT coalesce(name, id) FROM batch WHERE sequence = ?2) || '/r' || ?3, ?5, ?6, ?7)") \
    S(outbox_mark, WRITES, "UPDATE outbox SET state = ?2, attempts = ?3, due_us = ?4 WHERE entry = ?1 AND state NOT IN (2, 3, 4, 5)") \
    S(outbox_next, READS, \
      "SELECT " OUTBOX " FROM outbox WHERE state = 0 AND (?1 = 0 OR tenant = ?1) AND entry > ?2 AND due_us <= ?3 ORDER BY entry LIMIT 1") \
    S(outbox_find, READS, \
      "SELECT " OUTBOX ", (SELECT b.now_us FROM batch b WHERE b.sequence = outbox.sequence) FROM outbox WHERE tenant = ?1 AND" \
      " derived_id = ?2") \
    S(told_put, WRITES, "INSERT INTO told(entry, sequence, state, payload, rows) VALUES(?1, ?2, ?3, ?4, ?5)") \
    S(told_state, WRITES, "UPDATE outbox SET state = ?2, due_us = 0 WHERE entry = ?1") \
    S(told_get, READS, "SELECT state, payload, rows FROM told WHERE entry = ?1 ORDER BY sequence") \
    S(told_of_batch, READS, \
      "SELECT told.state, told.payload FROM outbox JOIN told ON told.entry = outbox.entry WHERE outbox.batch = ?1" \
      " ORDER BY told.sequence DESC") \
    S(told_counts, READS, \
      "SELECT -1, coalesce(sum(rows), 0) FROM outbox WHERE batch = ?1 UNION ALL SELECT told.state, sum(told.rows) FROM outbox" \
      " JOIN told ON told.entry = outbox.entry WHERE outbox.batch = ?1 GROUP BY told.state") \
    S(outbox_payload, READS, "SELECT payload FROM outbox WHERE entry = ?1") \
    S(outbox_list, READS, \
      "SELECT entry, sequence, (SELECT b.now_us FROM batch b WHERE b.sequence = outbox.sequence), due_us, attempts, state," \
      " 'processor.' || (SELECT t.name FROM tenant t WHERE t.tenant = outbox.tenant), 'release', '', derived_id, '', 0 FROM outbox" \
      " WHERE entry > ?1 AND (?3 < 0 OR state = ?3) AND (?4 = '' OR ?4 = 'processor.' || (SELECT t.name FROM tenant t WHERE t.tenant =" \
      " outbox.tenant)) ORDER BY entry LIMIT ?2") \
    S(outbox_resend, WRITES, \
      "UPDATE outbox SET state = 0, due_us = 0, attempts = 0 WHERE state = 6 AND (?1 = 0 OR entry = ?1) AND" \
      " (?2 = '' OR ?2 = 'processor.' || (SELECT t.name FROM tenant t WHERE t.tenant = outbox.tenant))") \
    S(outbox_counts, READS, \
      "SELECT 'processor.' || t.name, (SELECT count(*) FROM outbox o WHERE o.tenant = t.tenant AND o.state = 0)," \
      " (SELECT count(*) FROM outbox o WHERE o.tenant = t.tenant AND o.state = 6), coalesce((SELECT b.now_us FROM batch b" \
      " WHERE b.sequence = (SELECT o.sequence FROM outbox o WHERE o.tenant = t.tenant AND o.state = 0 ORDER BY o.entry LIMIT 1)), 0)" \
      " FROM tenant t") \
    S(message_put, WRITES, \
      "INSERT INTO message(tenant, sequence, connector, subject, recipient, id, made_us, since_us, payload)" \
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8) ON CONFLICT(connector, recipient, id) DO NOTHING") \
    S(message_next, READS, \
      "SELECT " LETTER " FROM message WHERE " LETTERS_WAIT " AND connector = ?1 AND entry > ?2 AND due_us <= ?3" \
      " AND NOT EXISTS (SELECT 1 FROM message e WHERE e.connector = ?1 AND e.recipient = message.recipient AND e.entry < message.entry" \
      " AND e.state = 0 AND (e.head = 0 OR e.head = e.entry))" \
      " AND (?4 = 0 OR NOT EXISTS (SELECT 1 FROM message d WHERE d.connector = ?1 AND d.recipient = message.recipient" \
      " AND d.done_us > 0 AND d.done_us > ?3 - ?4)) ORDER BY entry LIMIT 1") \
    S(message_close, WRITES, \
      "UPDATE message SET head = ?1 WHERE entry = ?1 OR entry IN (SELECT e.entry FROM message m, message e WHERE m.entry = ?1" \
      " AND m.head = 0 AND e.connector = m.connector AND e.recipient = m.recipient AND e.entry > ?1 AND e.state = 0 AND e.head = 0" \
      " ORDER BY e.entry LIMIT ?2)") \
    S(message_read, READS, \
      "SELECT subject, id, payload, made_us FROM message WHERE entry = ?1 OR (head = ?1 AND head > 0) ORDER BY entry") \
    S(message_mark, WRITES, \
      "UPDATE message SET state = ?2, attempts = ?3, due_us = ?4, done_us = ?5, why = ?6," \
      " payload = CASE ?2 WHEN 1 THEN x'' ELSE payload END WHERE entry = ?1 OR (head = ?1 AND head > 0)") \
    S(message_list, READS, \
      "SELECT " LETTER " FROM message WHERE entry > ?1 AND (?3 < 0 OR state = ?3) AND (?4 = '' OR connector = ?4)" \
      " ORDER BY entry LIMIT ?2") \
    S(message_resend, WRITES, \
      "UPDATE message SET state = 0, head = 0, due_us = 0, attempts = 0, since_us = ?3 WHERE state = 6 AND state <> 1 AND (?1 = 0 OR " \
      "entry = ?1)" \
      " AND (?2 = '' OR connector = ?2)") \
    S(message_counts, READS, \
      "SELECT connector, total(state = 0), total(state = 6), coalesce(min(CASE WHEN state = 0 THEN made_us END), 0) FROM message INDEXED " \
      "BY message_state" \
      " WHERE state <> 1 GROUP BY connector") \
    S(message_drop, WRITES, "DELETE FROM message WHERE state = 1 AND sequence < ?1") \
    S(alarm_put, WRITES, "INSERT INTO alarm VALUES(?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET since_us = ?2, what = ?3") \
    S(alarm_drop, WRITES, "DELETE FROM alarm WHERE name = ?1") \
    S(alarm_list, READS, "SELECT name, since_us, what FROM alarm ORDER BY name") \
    S(life_due, READS, \
      "SELECT " LINE ", (SELECT life.due_us FROM life WHERE life.sequence = batch.sequence) FROM batch WHERE sequence =" \
      " (SELECT sequence FROM life WHERE due_us > 0 AND due_us <= ?1 AND (due_us, sequence) > (?2, ?3) ORDER BY due_us, sequence LIMIT " \
      "1)") \
    S(life_get, READS, "SELECT sequence, state, releases, due_us, changed FROM life WHERE sequence = ?1") \
    S(rows_expire, WRITES, "UPDATE stopped SET state = ?2 WHERE sequence = ?1 AND state = 0 AND verdict IN (?3, ?4)") \
    S(row_state, READS, \
      "SELECT life.state, life.releases, stopped.verdict, stopped.state FROM life LEFT JOIN stopped ON stopped.sequence =" \
      " life.sequence AND stopped.row = ?2 WHERE life.sequence = ?1") \
    S(case_find, WRITES, \
      "SELECT entry FROM (SELECT entry, last_us FROM cases WHERE tenant = ?1 AND account = ?2 AND scene = ?3 ORDER BY entry DESC" \
      " LIMIT 1) WHERE last_us >= ?4") \
    S(case_put, WRITES, "INSERT INTO cases VALUES(NULL, ?1, ?2, ?3, 0, 0, ?4, ?4) RETURNING entry") \
    S(case_grow, WRITES, \
      "UPDATE cases SET level = max(level, ?2), transfers = transfers + ?3, last_us = max(last_us, ?4) WHERE entry = ?1") \
    S(case_transfer_put, WRITES, "INSERT INTO case_transfer VALUES(?1, ?2, ?3, ?4, ?5, ?6)") \
    S(case_list, READS, \
      "SELECT entry, account, scene, level, transfers, opened_us, last_us FROM cases WHERE tenant = ?1 AND entry < ?2 AND (?3 = 0 OR" \
      " entry = ?3) ORDER BY entry DESC LIMIT ?4") \
    S(case_list_account, READS, \
      "SELECT entry, account, scene, level, transfers, opened_us, last_us FROM cases INDEXED BY cases_grouped WHERE tenant = ?1" \
      " AND account = ?5 AND entry < ?2 AND (?3 = 0 OR entry = ?3) ORDER BY entry DESC LIMIT ?4") \
    S(case_transfers, READS, \
      "SELECT sequence, row, transfer_id, level, verdict FROM case_transfer WHERE entry = ?1 AND (sequence, row) > (?2, ?3)" \
      " ORDER BY sequence, row LIMIT ?4") \
    S(line_state, READS, \
      "SELECT state, releases, EXISTS (SELECT 1 FROM stopped WHERE stopped.sequence = ?1 AND stopped.state = ?2) FROM life" \
      " WHERE sequence = ?1") \
    S(tenant_get, WRITES | READS, "SELECT tenant FROM tenant WHERE name = ?1") \
    S(request_get, READS, "SELECT sequence, digest, op FROM batch WHERE tenant = ?1 AND id = ?2") \
    S(batch_get, READS, \
      "SELECT " LINE \
      " FROM batch WHERE sequence IN " NAMED("?1", "?2") " ORDER BY op IN ('screen', 'import') DESC, sequence DESC LIMIT 1") \
    S(line_get, READS, "SELECT " PLACE " FROM batch WHERE sequence = ?1") \
    S(lines_up, READS, "SELECT " PLACE " FROM batch WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2") \
    S(lines_down, READS, "SELECT " PLACE " FROM batch WHERE " NARROW DOWN) \
    S(lines_named, READS, "SELECT " PLACE " FROM batch WHERE sequence IN " NAMED("?2", "?8") " AND " NARROW DOWN) \
    S(batches_down, READS, "SELECT " LINE " FROM batch WHERE " NARROW DOWN) \
    S(batches_named, READS, "SELECT " LINE " FROM batch WHERE sequence IN " NAMED("?2", "?8") " AND " NARROW DOWN) \
    S(scenes_get, READS, "SELECT code, name FROM scene WHERE list = ?1") \
    S(label_get, READS, "SELECT label FROM label WHERE tenant = ?1 AND transfer_id = ?2") \
    S(audit_head, WRITES, "SELECT entry, hash FROM audit ORDER BY entry DESC LIMIT 1") \
    S(audit_put, WRITES, "INSERT INTO audit VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)") \
    S(audit_list, READS, \
      "SELECT * FROM audit WHERE entry > ?1 AND now_us >= ?2 AND now_us < ?3 AND (?4 = '' OR who = ?4) AND (?5 = '' OR action = ?5)" \
      " ORDER BY entry LIMIT ?6") \
    S(audit_lacks, READS, \
      "SELECT b.sequence, b.op FROM batch b WHERE b.sequence >= (SELECT value FROM setting WHERE name = 'audited_from')" \
      " AND b.op NOT IN ('screen', 'import', 'observe', 'label') AND NOT EXISTS" \
      " (SELECT 1 FROM audit a WHERE a.sequence = b.sequence AND a.sequence > 0 AND a.digest = b.digest) ORDER BY b.sequence") \
    S(document_get, READS, "SELECT bytes FROM document WHERE kind = ?1 AND digest = ?2")

enum { WRITES = 1, READS = 2 };
enum statement {
#define STATEMENT(name, who, sql) STATEMENT_##name,
    LEDGER_STATEMENTS(STATEMENT)
#undef STATEMENT
        STATEMENT_COUNT
};

#endif
