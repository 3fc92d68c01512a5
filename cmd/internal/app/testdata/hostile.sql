# Statements of an organization that wants more than it has. A line each: what must come of it, then the statement;
# a line that begins with { is the whole body. ⏎ stands for a new line, ␀ for the character 0.
#
#   refused   400 invalid_query or invalid_request, before anything is run or by ClickHouse
#   limited   422 query_limit
#   stopped   one of these two: ClickHouse refuses it, or takes too long to find out
#   own       200, and nothing of another organization or of the server in it
#
# Each is sent over HTTP, while honest statements go on; and once more straight to ClickHouse as the organization's
# user, where the first wall stands alone: whatever comes, nothing of the others is in it. "(first wall: open)" before a
# statement says that what is behind it is known to pass there.
# {secret} is the database of the server, {theirs} that of the other organization's view, {mine} one's own, {uuid} the UUID of the table of all events.

# FACTS.md C: what worked once
refused SELECT * FROM (SELECT * FROM events SETTINGS max_execution_time = 1000)
refused SELECT * FROM (SELECT * FROM events SETTINGS readonly = 0)
refused SELECT * FROM events SETTINGS readonly = 0
refused SELECT * FROM merge('{secret}', 'lead_events')
refused SELECT * FROM merge('{secret}', '.*')
refused SELECT * FROM merge('.*')
refused SELECT * FROM merge(REGEXP('.*'), '.*events')
refused SELECT * FROM mergeTreeIndex('{secret}', 'lead_events')
refused SELECT * FROM mergeTreeIndex({secret}, lead_events, with_marks = true)
refused SELECT * FROM loop({secret}, lead_events) LIMIT 10
refused SELECT * FROM loop({secret}.lead_events) LIMIT 10
refused SELECT * FROM loop(events) LIMIT 10
refused (first wall: open) SELECT file('/etc/hostname')
refused SELECT * FROM remote('127.0.0.1', {secret}, lead_events)
refused SELECT * FROM remote('127.0.0.1:9000', '{secret}.lead_events', 'default', '')
refused SELECT * FROM remoteSecure('127.0.0.1', {secret}, lead_events)
refused SELECT * FROM url('http://127.0.0.1:8123/?query=SELECT+1', 'LineAsString')
refused SELECT * FROM file('/etc/passwd', 'LineAsString')
refused SELECT * FROM file('*', 'LineAsString')

# Tables that are not one's own
refused SELECT * FROM {secret}.lead_events
refused SELECT * FROM `{secret}`.`lead_events`
refused SELECT * FROM "{secret}"."lead_events"
refused SELECT * FROM `{secret}.lead_events`
refused SELECT * FROM lead_events
refused SELECT * FROM {secret}.lead_states
refused SELECT * FROM {secret}.api_keys
refused SELECT * FROM {secret}.signing_keys
refused SELECT * FROM {secret}.audit_log
refused SELECT * FROM {theirs}.events
refused SELECT * FROM `{theirs}`.events
refused SELECT * FROM {mine}.events
refused SELECT * FROM events UUID '{uuid}'
refused SELECT * FROM `events` uuid /* x */ '{uuid}'
refused SELECT * FROM {theirs}.events AS events
refused SELECT * FROM events, {theirs}.events
refused SELECT * FROM events JOIN {theirs}.events AS other USING (phone)
refused SELECT * FROM events AS e LEFT JOIN {secret}.lead_events AS o ON e.phone = o.phone
refused SELECT * FROM events UNION ALL SELECT * FROM {theirs}.events
refused SELECT phone FROM events UNION DISTINCT SELECT phone FROM {secret}.lead_events
refused SELECT phone FROM events INTERSECT SELECT phone FROM {secret}.lead_events
refused SELECT phone FROM events EXCEPT SELECT phone FROM {secret}.lead_events
refused SELECT * FROM events WHERE phone IN (SELECT phone FROM {secret}.lead_events)
refused SELECT * FROM events WHERE phone IN {secret}.lead_events
refused SELECT * FROM events WHERE phone NOT IN {theirs}.events
refused SELECT * FROM events WHERE phone GLOBAL IN {theirs}.events
refused SELECT 1 IN ({secret}.lead_events)
refused SELECT (SELECT count() FROM {secret}.lead_events)
refused SELECT exists(SELECT 1 FROM {secret}.lead_events)
refused WITH x AS (SELECT * FROM {secret}.lead_events) SELECT * FROM x
refused WITH events AS (SELECT * FROM {theirs}.events) SELECT * FROM events
refused WITH (SELECT groupArray(phone) FROM {secret}.lead_events) AS p SELECT p
refused WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r, {theirs}.events) SELECT * FROM r
refused SELECT arrayMap(x -> (SELECT any(metadata) FROM {secret}.lead_events), [1])
refused SELECT * FROM events ORDER BY (SELECT any(metadata) FROM {secret}.lead_events)
refused SELECT * FROM events LIMIT (SELECT count() FROM {secret}.lead_events)
refused SELECT count() OVER (ORDER BY (SELECT any(phone) FROM {theirs}.events)) FROM events
refused SELECT * FROM (((SELECT * FROM {theirs}.events)))
refused SELECT * FROM view(SELECT * FROM {secret}.lead_events)
refused SELECT * FROM viewIfPermitted(SELECT * FROM {secret}.lead_events ELSE null('x Int'))
refused SELECT * FROM cluster('default', {secret}.lead_events)
refused SELECT * FROM clusterAllReplicas('default', '{secret}', 'lead_events')
refused SELECT * FROM dictionary('{secret}.x')
refused SELECT dictGet('{secret}.x', 'y', 1)
refused SELECT joinGet('{secret}.x', 'y', 1)
refused SELECT hasColumnInTable('{secret}', 'lead_events', 'phone')
refused SELECT * FROM events ARRAY JOIN (SELECT groupArray(phone) FROM {secret}.lead_events) AS x

# System tables
refused SELECT * FROM system.users
refused SELECT * FROM system.tables
refused SELECT * FROM system.columns
refused SELECT * FROM system.databases
refused SELECT * FROM system.processes
refused SELECT * FROM system.query_log
refused SELECT * FROM system.settings
refused SELECT * FROM system.functions
refused SELECT * FROM system.one
refused SELECT * FROM system.numbers LIMIT 1
refused SELECT * FROM system.parts
refused SELECT * FROM system.grants
refused SELECT * FROM system.disks
refused SELECT * FROM system.server_settings
refused SELECT * FROM system.named_collections
refused SELECT * FROM `system`.`users`
refused SELECT * FROM SYSTEM . users
refused SELECT * FROM system/* */./**/users
refused SELECT * FROM system--⏎.--⏎users
refused SELECT * FROM information_schema.tables
refused SELECT * FROM INFORMATION_SCHEMA.COLUMNS
refused SELECT 1 IN system.one
refused SELECT * FROM events, system.one

# Functions about the server, or that reach out of it
refused SELECT currentUser()
refused SELECT user()
refused SELECT CURRENT_USER
refused SELECT current_user()
refused SELECT currentDatabase()
refused SELECT DATABASE()
refused SELECT hostName()
refused SELECT FQDN()
refused SELECT version()
refused SELECT VERSION()
refused SELECT uptime()
refused SELECT buildId()
refused SELECT serverUUID()
refused SELECT timezone()
refused SELECT serverTimezone()
refused SELECT tcpPort()
refused SELECT getServerPort('tcp_port')
refused SELECT getSetting('max_memory_usage')
refused SELECT getServerSetting('max_server_memory_usage')
refused SELECT getMacro('x')
refused SELECT currentRoles(), enabledProfiles(), currentProfiles()
refused SELECT queryID(), initialQueryID()
refused SELECT connectionId()
refused SELECT getOSKernelVersion()
refused SELECT filesystemAvailable(), filesystemCapacity()
refused SELECT @@version
refused SELECT globalVariable('version')
refused SELECT addressToSymbol(1)
refused SELECT demangle('x')
refused SELECT logTrace('x')
refused SELECT errorCodeToName(1)
refused SELECT showCertificate()
refused SELECT catboostEvaluate('/etc/passwd', 1)
refused SELECT getClientHTTPHeader('X-ClickHouse-Key')
refused SELECT aiGenerate('x')
refused SELECT chdb('SELECT 1')
refused SELECT nosuchfunction(1)
refused SELECT `file`('/etc/hostname')
refused SELECT "file"('/etc/hostname')
refused SELECT file /* x */ ('/etc/hostname')
refused SELECT FILE('/etc/hostname')
refused (first wall: open) SELECT arrayMap(file, ['/etc/hostname'])
refused (first wall: open) SELECT arrayMap(`file`, ['/etc/hostname'])
refused (first wall: open) SELECT arrayMap(x -> file(x), ['/etc/hostname'])
refused (first wall: open) WITH x -> file(x) AS f SELECT f('/etc/hostname')
refused (first wall: open) WITH file AS f SELECT arrayMap(f, ['/etc/hostname'])
refused (first wall: open) SELECT * APPLY(file) FROM (SELECT '/etc/hostname')
refused (first wall: open) SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/hostname')
refused (first wall: open) SELECT COLUMNS('.*') APPLY file FROM (SELECT '/etc/hostname')
refused (first wall: open) SELECT * REPLACE (file('/etc/hostname') AS x) FROM (SELECT 1 AS x)
refused (first wall: open) SELECT if(1, file('/etc/hostname'), '')
refused (first wall: open) SELECT count() FROM events WHERE file('/etc/hostname') = phone
refused (first wall: open) SELECT 1 ORDER BY file('/etc/hostname')
refused (first wall: open) SELECT 1 GROUP BY file('/etc/hostname')
refused (first wall: open) SELECT count() HAVING file('/etc/hostname') != ''
refused (first wall: open) SELECT sum(1) OVER (PARTITION BY file('/etc/hostname'))
refused (first wall: open) SELECT sum(1) OVER w WINDOW w AS (ORDER BY file('/etc/hostname'))
refused (first wall: open) SELECT 1 LIMIT 1 BY file('/etc/hostname')
refused (first wall: open) WITH file('/etc/hostname') AS x SELECT x
refused (first wall: open) SELECT * FROM values('x String', file('/etc/hostname'))
refused (first wall: open) SELECT a FROM events ARRAY JOIN [file('/etc/hostname')] AS a
refused (first wall: open) SELECT 1 FROM events AS a JOIN events AS b ON a.phone = b.phone AND file('/etc/hostname') != ''
refused (first wall: open) SELECT number FROM numbers(length(file('/etc/hostname')))
refused (first wall: open) SELECT 1 AS x ORDER BY x WITH FILL TO length(file('/etc/hostname')) INTERPOLATE
refused (first wall: open) SELECT 1 QUALIFY row_number() OVER () = length(file('/etc/hostname'))
refused (first wall: open) SELECT sumIf(1, file('/etc/hostname') != '')
refused (first wall: open) SELECT sum(1) FILTER (WHERE file('/etc/hostname') != '')
refused (first wall: open) SELECT CASE WHEN file('/etc/hostname') = '' THEN 1 END
refused (first wall: open) SELECT file('/etc/hostname')::String
refused (first wall: open) SELECT [file('/etc/hostname')][1]
refused (first wall: open) SELECT (file('/etc/hostname'), 1).1
refused (first wall: open) SELECT 'x' IN (file('/etc/hostname'))
refused (first wall: open) SELECT 'x' LIKE file('/etc/hostname')
refused (first wall: open) SELECT 'x' BETWEEN file('/etc/hostname') AND 'z'

# Functions that call others by a name in a text, and states out of texts
refused SELECT arrayReduce('sum', [1, 2])
refused SELECT initializeAggregation('sum', 1)
refused SELECT finalizeAggregation(CAST(unhex('00'), 'AggregateFunction(sum, UInt64)'))
refused SELECT CAST('x', 'AggregateFunction(groupArray, String)')
refused SELECT CAST('x', concat('Aggregate', 'Function(sum, UInt64)'))
refused SELECT JSONExtract(metadata, 'a', 'AggregateFunction(uniq, String)') FROM events
refused SELECT JSONExtract(metadata, 'a', concat('Str', 'ing')) FROM events
refused SELECT sumState(phone) FROM events
refused SELECT sumMerge(x) FROM (SELECT sumState(phone) AS x FROM events)
refused SELECT formatRow('CSV', 1)
refused SELECT format('{}', 1)
refused SELECT * FROM format(CSV, '1')
refused SELECT * FROM eval('SELECT 1')
refused SELECT formatQuery('SELECT 1')
refused SELECT reinterpret(1, 'String')

# Other table functions
refused SELECT * FROM s3('http://127.0.0.1/x', 'CSV')
refused SELECT * FROM hdfs('hdfs://127.0.0.1/x', 'CSV')
refused SELECT * FROM mysql('127.0.0.1', 'd', 't', 'u', 'p')
refused SELECT * FROM postgresql('127.0.0.1', 'd', 't', 'u', 'p')
refused SELECT * FROM mongodb('127.0.0.1', 'd', 't', 'u', 'p', 'x Int')
refused SELECT * FROM redis('127.0.0.1:6379', 'k', 'k String, v String')
refused SELECT * FROM sqlite('/etc/x', 't')
refused SELECT * FROM odbc('DSN=x', 'd', 't')
refused SELECT * FROM jdbc('x', 't')
refused SELECT * FROM executable('id', TSV, 'x String')
refused SELECT * FROM input('x String')
refused SELECT * FROM generateRandom('x AggregateFunction(sum, UInt64)') LIMIT 1
refused SELECT * FROM filesystem('/')
refused SELECT * FROM fileCluster('default', '/etc/passwd', 'LineAsString')
refused SELECT * FROM null('x Int')
refused SELECT * FROM url('file:///etc/passwd', SETTINGS x = 1)
refused SELECT 1 IN numbers(10)
refused SELECT * FROM fuzzQuery('SELECT 1')
refused SELECT * FROM primes() LIMIT 1

# Not a SELECT
refused INSERT INTO events VALUES (1)
refused INSERT INTO {secret}.lead_events SELECT * FROM events
refused INSERT INTO FUNCTION file('x') SELECT 1
refused CREATE TABLE x (a Int) ENGINE = Memory
refused CREATE TEMPORARY TABLE x (a Int)
refused CREATE VIEW x AS SELECT 1
refused CREATE FUNCTION f AS x -> x
refused CREATE USER x
refused CREATE DATABASE x
refused DROP TABLE events
refused DROP VIEW events
refused DROP DATABASE {secret}
refused ALTER TABLE events DELETE WHERE 1
refused ALTER USER {mine} IDENTIFIED BY 'x'
refused TRUNCATE TABLE {secret}.lead_events
refused RENAME TABLE events TO x
refused OPTIMIZE TABLE {secret}.lead_events
refused DELETE FROM events WHERE 1
refused UPDATE events SET phone = 1 WHERE 1
refused KILL QUERY WHERE 1
refused SYSTEM SHUTDOWN
refused SYSTEM RELOAD CONFIG
refused SYSTEM DROP MARK CACHE
refused GRANT ALL ON *.* TO {mine}
refused SET readonly = 0
refused SET ROLE ALL
refused USE {secret}
refused ATTACH TABLE x
refused DETACH VIEW events
refused EXCHANGE TABLES a AND b
refused CHECK TABLE events
refused EXISTS TABLE {secret}.lead_events
refused DESCRIBE TABLE events
refused DESC events
refused SHOW TABLES
refused SHOW DATABASES
refused SHOW CREATE TABLE events
refused SHOW GRANTS
refused SHOW PROCESSLIST
refused EXPLAIN SELECT 1
refused EXPLAIN AST SELECT 1
refused EXPLAIN PLAN SELECT * FROM events
refused EXPLAIN ESTIMATE SELECT * FROM events
refused SELECT * FROM (EXPLAIN SELECT * FROM events)
refused SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))
refused EXECUTE AS default SELECT 1
refused BACKUP DATABASE {secret} TO File('x')
refused RESTORE DATABASE x FROM File('x')
refused BEGIN TRANSACTION
refused WATCH events
refused TABLE events
refused VALUES (1)
refused FROM events SELECT *
refused from {secret}.lead_events select *

# Where an answer goes, and what decides about it
refused SELECT 1 INTO OUTFILE '/tmp/x'
refused SELECT 1 INTO OUTFILE '/tmp/x' TRUNCATE FORMAT CSV
refused SELECT 1 FORMAT JSON
refused SELECT 1 FORMAT Null
refused SELECT 1 format CSV
refused SELECT 1 FORMAT/**/Template SETTINGS format_template_row = '/etc/passwd'
refused SELECT 1 SETTINGS max_threads = 100
refused SELECT 1 settings max_threads = 100
refused SELECT 1 SeTtInGs/**/max_threads = 100
refused SELECT 1--⏎SETTINGS max_threads = 100
refused SELECT 1 UNION ALL (SELECT 2 SETTINGS max_threads = 100)
refused WITH x AS (SELECT 1 SETTINGS max_threads = 100) SELECT * FROM x
refused SELECT (SELECT 1 SETTINGS max_memory_usage = 0)
refused SELECT 1 IN (SELECT 1 SETTINGS max_memory_usage = 0)
refused SELECT * FROM events STREAM
refused SELECT 1 PARALLEL WITH SELECT 2
refused SELECT * FROM events SAMPLE 1 / 2

# More than one statement
refused SELECT 1; SELECT 2
refused SELECT 1; DROP TABLE events
refused SELECT 1;; SELECT 2
refused ; SELECT 1
refused SELECT 1; SETTINGS max_threads = 1
refused SELECT 1 /* ; */ ; SELECT 2
refused SELECT ';'; SELECT 2
own     SELECT ';' AS semicolon;
own     SELECT 1 -- ; SELECT 2
own     SELECT 1 /* ; DROP TABLE events */

# Quotes, comments and characters that readers could take differently
refused SELECT 'a
refused SELECT "a
refused SELECT `a
refused SELECT /* a
refused SELECT /* /* */ 1 */ FROM {secret}.lead_events
refused SELECT 1 // x⏎FROM {secret}.lead_events
refused SELECT 1 # x⏎FROM {secret}.lead_events
refused SELECT 1 #! x⏎FROM {secret}.lead_events
refused SELECT $$x$$
refused SELECT $a$x$a$ FROM {secret}.lead_events
refused SELECT x'\' FROM {secret}.lead_events -- '
refused SELECT b'\' FROM {secret}.lead_events -- '
refused SELECT 5e--3 FROM {secret}.lead_events
refused SELECT ‘a’
refused SELECT “file”('/etc/hostname')
refused SELECT 1 AS `a\nb`
refused SELECT 1 AS `a\`b`
refused SELECT 1 AS "a⏎b"
refused SELECT * FROM `events⏎      TableIdentifier events`
refused SELECT 1 AS x, `x (children 1)⏎ Literal 1` FROM {theirs}.events
refused SELECT 'a'␀
refused SELECT 1\G
refused SELECT 1 FROM events\
refused {"query":"SELECT 1\u00a0FROM events"}
refused {"query":"SELECT 1\u2212 1"}
refused {"query":"SELECT \ufeff1"}
refused {"query":"SELECT 1\u0000 FROM events"}
own     SELECT 'it''s', 'a\'b', '-- no comment', '/* nor this', `phone`, "phone" FROM events
own     SELECT/**/count()/**/FROM/**/events
refused SELECT 1--⏎+1
own     SELECT 1 --⏎+1
own     (SELECT 1)
own     ((SELECT count() FROM events))

# Parameters
own     {"query":"SELECT {a:String} AS a","params":{"a":"'; DROP TABLE events; --"}}
own     {"query":"SELECT {a:String} AS a","params":{"a":"\\' UNION ALL SELECT metadata FROM lead_events --"}}
own     {"query":"SELECT {a:String} AS a","params":{"a":"x\ty\nz\\N\u0000"}}
own     {"query":"SELECT {a:Array(String)} AS a","params":{"a":["x'],['y","\\","\n"]}}
own     {"query":"SELECT count() FROM events WHERE event_type = {a:String}","params":{"a":"' OR 1 = 1 --"}}
own     {"query":"SELECT count() FROM events WHERE phone = {a:UInt64}","params":{"a":15551230000}}
refused {"query":"SELECT count() FROM events WHERE phone = {a:UInt64}","params":{"a":"1 OR 1"}}
refused {"query":"SELECT {a:UInt64}","params":{"a":"1) FROM system.users --"}}
refused {"query":"SELECT {a:UInt8}","params":{"a":300.5}}
refused {"query":"SELECT * FROM {a:Identifier}","params":{"a":"system.users"}}
refused {"query":"SELECT * FROM {a:Identifier}.{b:Identifier}","params":{"a":"system","b":"users"}}
refused {"query":"SELECT {a : Identifier} FROM events","params":{"a":"phone"}}
refused {"query":"SELECT {a:identifier} FROM events","params":{"a":"phone"}}
refused {"query":"SELECT {a:`Identifier`} FROM events","params":{"a":"phone"}}
refused {"query":"SELECT {a:AggregateFunction(sum, UInt64)}","params":{"a":"x"}}
refused {"query":"SELECT {a:Nullable(SimpleAggregateFunction(sum, UInt64))}","params":{"a":"x"}}
refused {"query":"SELECT CAST(1, {a:String})","params":{"a":"AggregateFunction(sum, UInt64)"}}
refused {"query":"SELECT * FROM merge({a:String}, {b:String})","params":{"a":".*","b":".*"}}
refused {"query":"SELECT file({a:String})","params":{"a":"/etc/hostname"}}
refused {"query":"SELECT {a:String}"}
refused {"query":"SELECT {a:String}","params":{"b":"x"}}
refused {"query":"SELECT {a:String}","params":{"a":{"b":1}}}
refused {"query":"SELECT {a:Array(String)}","params":{"a":[{"b":1}]}}
refused {"query":"SELECT 1","params":{"a&query=DROP TABLE events":"1"}}
refused {"query":"SELECT 1","params":{"a b":"1"}}
refused {"query":"SELECT 1","params":{"":"1"}}
refused {"query":"SELECT 1","params":[]}
refused {"query":"SELECT 1","params":{"a":[[[[[1]]]]]}}
refused {"query":"SELECT 1","settings":{"readonly":0}}
refused {"query":"SELECT 1","database":"system"}
refused {"query":"SELECT 1","user":"default"}
refused {"query":["SELECT 1"]}
refused {"query":""}
refused {"query":" ; "}
refused {"query":null}
refused {}

# One's own rows, whatever the names suggest
own     SELECT * FROM events
own     SELECT * FROM (SELECT * FROM events) WHERE 1
own     SELECT *, COLUMNS('.*'), events.* EXCEPT (phone) FROM events
own     WITH lead_events AS (SELECT * FROM events) SELECT * FROM lead_events
own     WITH system AS (SELECT 1 AS users) SELECT users FROM system
own     SELECT e.phone FROM events AS e JOIN events AS f ON e.phone = f.phone
own     SELECT count() FROM events WHERE phone IN (SELECT phone FROM events)
own     SELECT count() FROM events WHERE 1 OR 'x' = 'y'
own     SELECT groupArray(metadata) FROM events
own     SELECT arrayMap(x -> upper(x), groupArray(event_type)) FROM events
own     SELECT * FROM events LIMIT 1000000 OFFSET 0
own     SELECT max(batch_id), min(ingested_at) FROM events
own     SELECT _table FROM events
own     SELECT number FROM numbers(3)
own     SELECT * FROM values('a UInt8, b String', (1, 'x'), (2, 'y'))
own     SELECT event_type, count() AS n FROM events GROUP BY event_type WITH TOTALS ORDER BY n DESC
own     SELECT sum(n) OVER (ORDER BY d ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM (SELECT toDate(occurred_at) AS d, count() AS n FROM events GROUP BY d)
own     SELECT 1 AS organization_id
refused SELECT organization_id FROM events
refused SELECT * FROM events WHERE organization_id = 43
refused SELECT * FROM events PREWHERE organization_id = 43
refused SELECT _part FROM events
refused SELECT _database FROM events
refused SELECT e.`_database` AS x FROM events AS e
refused SELECT events._database FROM events
refused SELECT COLUMNS(_database) FROM events
refused SELECT e.COLUMNS(_database) FROM events AS e
refused SELECT count() FROM events GROUP BY _database HAVING throwIf(startsWith(_database, 'leadevents_analyst_000'))
refused SELECT * REPLACE (_database AS metadata) FROM events
refused SELECT count() FROM events AS e JOIN events AS f USING (_database)
refused SELECT a FROM events ARRAY JOIN [_database] AS a

# Conditions that fail, or take longer, at rows of others in the same granule: {theirLead} has events with the other organization only
own     SELECT count() FROM events WHERE throwIf(phone = {theirLead}) = 0
own     SELECT throwIf(phone = {theirLead}) AS t FROM events WHERE t = 0
own     SELECT t FROM (SELECT phone, throwIf(phone = {theirLead}) AS t FROM events) WHERE phone % 2 < 2
own     SELECT intDiv(1, phone - {theirLead}) AS t FROM events WHERE t = 0
own     SELECT count() FROM events AS e JOIN events AS f ON e.phone = f.phone WHERE throwIf(f.phone = {theirLead}) = 0
own     SELECT phone FROM events GROUP BY phone HAVING throwIf(phone = {theirLead}) = 0
refused SELECT count() FROM events WHERE throwIf(phone = {theirLead}) = 0 SETTINGS optimize_move_to_prewhere_if_final = 1
refused SELECT count() FROM (SELECT * FROM events WHERE throwIf(phone = {theirLead}) = 0 SETTINGS optimize_move_to_prewhere_if_final = 1)
refused SELECT * FROM (SELECT throwIf(phone = {theirLead}) AS t, metadata FROM events WHERE t = 0 AND metadata != '' SETTINGS optimize_move_to_prewhere_if_final = 1, short_circuit_function_evaluation = 'disable')
refused SELECT count() FROM (SELECT * FROM events WHERE throwIf(event_type LIKE 'secret_%') = 0 SETTINGS optimize_move_to_prewhere_if_final = 1, enable_multiple_prewhere_read_steps = 0)
refused SELECT count() FROM (SELECT * FROM events SETTINGS additional_table_filters = {'{secret}.lead_events': 'throwIf(phone = {theirLead}) = 0'})
refused SELECT count() FROM (SELECT * FROM events SETTINGS additional_table_filters = {'lead_events': 'toUInt64(if(metadata LIKE \'%mine%\' OR metadata LIKE \'%gold%\', \'1\', metadata)) = 1'})

# Time zones that are files
refused SELECT toDateTime(0, 'file:/nonexistent')
refused SELECT toTimeZone(now(), 'file:/nonexistent')
refused SELECT CAST(0, 'DateTime(\'file:/nonexistent\')')
refused {"query":"SELECT toDateTime(0, {a:String})","params":{"a":"file:/nonexistent"}}
refused SELECT toDateTime(0, concat('fi', 'le:/nonexistent'))
refused WITH concat('fi', 'le:/nonexistent') AS z SELECT toTimeZone(now(), z)
refused SELECT toTimeZone(now(), (SELECT concat('fi', 'le:/nonexistent')))
refused SELECT now() AT TIME ZONE reverse('tnetsixenon/:elif')
refused SELECT arrayMap(toString, [now()], [concat('fi', 'le:/nonexistent')])
refused SELECT arrayMap((x, z) -> toString(x, z), [now()], [concat('fi', 'le:/nonexistent')])
refused SELECT formatDateTime(now(), '%F', JSONExtractString(metadata, 'zone')) FROM events
refused SELECT parseDateTimeInJodaSyntax('2026 file:/nonexistent', 'yyyy zzz')
refused SELECT CAST(0, 'DateTime(\'f\\x69le:/nonexistent\')')
refused SELECT JSONExtract(metadata, 'a', 'DateTime(\'f\\x69le:/nonexistent\')') FROM events
refused {"query":"SELECT {a:DateTime('file:/nonexistent')}","params":{"a":"0"}}

# Time, memory and size
refused SELECT sleep(3)
refused SELECT sleepEachRow(3) FROM events
refused SELECT SLEEP(3)
refused SELECT arrayMap(sleep, [3])
refused SELECT editDistance(repeat('a', 20000), repeat('b', 20000))
refused SELECT base58Encode(repeat('a', 1000000))
refused SELECT multiFuzzyMatchAny(metadata, 5, ['(a|b|c)*d{1,1000}']) FROM events
refused SELECT multiMatchAny(metadata, ['(a|b|c)*d{1,1000}']) FROM events
own     SELECT match(repeat('a', 10000), '^(a+)+$')
refused SELECT match('a', '(((((a{1,100}){1,100}){1,100}){1,100}){1,100})')
refused SELECT 'a' REGEXP '('
limited SELECT number FROM numbers(1000000000)
limited SELECT count() FROM numbers(1000000000000)
limited SELECT count() FROM numbers(10000000) AS a, numbers(10000000) AS b
refused SELECT range(1000000000)
limited SELECT range(400000000)
limited SELECT repeat('x', 1000000) FROM numbers(1000000) ORDER BY rand()
limited SELECT groupArray(number) FROM numbers(1900000000)
limited SELECT uniqExact(number) FROM numbers(1900000000)
limited SELECT arrayJoin(range(1000000)) AS a, arrayJoin(range(1000001)) AS b
refused SELECT arrayWithConstant(100000000, 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')
stopped WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r
limited SELECT 1 AS x ORDER BY x WITH FILL FROM 1 TO 100000000000
limited SELECT count() FROM (SELECT 1 AS a FROM numbers(1000000)) AS x JOIN (SELECT 1 AS a FROM numbers(1000000)) AS y USING (a)
