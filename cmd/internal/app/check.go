package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/clickhouse/schema"
	"leadevents/configs"
	"leadevents/ingest/ledger"
)

// Level is how bad a finding is.
type Level string

// The levels of a finding.
const (
	OK      Level = "ok"
	Warning Level = "warning" // the server works, but look at it
	Broken  Level = "broken"  // the server cannot keep its promises
)

// Finding is one thing that was looked at.
type Finding struct {
	Level   Level
	Subject string // "settings", "clickhouse", "redis"
	Text    string // what was found
	Remedy  string // what to do about it; empty where it is OK
}

// Versions from which on the stores can do what we ask of them.
const (
	minRedis      = 7 // SET with NX and GET
	minClickHouse = 25
	testedWith    = 26 // the major version that the tests run on
)

// storePatience bounds the look at one store: a store that needs longer to say
// what it is, is broken for our purposes.
const storePatience = 10 * time.Second

// Check looks at the settings and at both stores, and changes nothing.
func Check(ctx context.Context, s configs.Settings) []Finding {
	all := checkSettings(s)
	found, database, archive := checkClickHouse(ctx, s)
	all = append(all, found...)
	found, cache, facts := checkRedis(ctx, s)
	all = append(all, found...)
	if archive != nil && facts != nil {
		all = append(all, checkLedger(s, *archive, *facts))
	}
	return append(all, checkClocks(s, database, cache)...)
}

func checkSettings(s configs.Settings) []Finding {
	all := []Finding{{OK, "settings", "all known and within their ranges", ""}}
	if s.MasterKey.IsZero() {
		all = append(all, Finding{Warning, "settings", "master_key is not set, so no organization can use hmac mode",
			"set LEADEVENTS_MASTER_KEY to what `openssl rand -hex 32` prints, the same in every server process, and keep it safe"})
	}
	if s.OperatorToken.IsZero() {
		all = append(all, Finding{Warning, "settings", "operator_token is not set, so organizations cannot be administered over HTTP",
			"set LEADEVENTS_OPERATOR_TOKEN, or use `leadevents org create` on this machine"})
	}
	if s.HTTP.TLSCertFile != "" {
		all = append(all, checkCertificate(s.HTTP))
	}
	if s.Pprof.Listen != "" {
		all = append(all, Finding{OK, "settings", fmt.Sprintf("profiles are served at %s to everybody on this machine, and sampled all the time; pprof.listen: \"\" ends that", pprofURL(s.Pprof.Listen)), ""})
	}
	return all
}

// clock is how far a store's clock is from ours.
type clock struct {
	ahead       time.Duration
	uncertainty time.Duration // half of the round trip
}

func clockOf(theirs, ours time.Time, roundTrip time.Duration) *clock {
	return &clock{theirs.Sub(ours), roundTrip/2 + time.Millisecond} // they tell milliseconds
}

// checkClickHouse also returns what ClickHouse knows of the ledger, if it has the
// tables.
func checkClickHouse(ctx context.Context, s configs.Settings) ([]Finding, *clock, *ledger.ArchiveState) {
	const subject = "clickhouse"
	where := strings.Join(s.ClickHouse.Addrs, ", ")
	broken := func(err error, remedy string) []Finding {
		return []Finding{{Broken, subject, fmt.Sprintf("%s cannot be used: %v", where, cause(err)), remedy}}
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	db, err := openAnyDatabase(s, dialers{})
	if err != nil {
		return broken(err, "correct the settings clickhouse.*"), nil, nil
	}
	defer func() { _ = db.Close() }() // nothing was written
	facts, err := db.Facts(ctx)
	if err != nil {
		return broken(err, clickHouseRemedy(err)), nil, nil
	}
	all := []Finding{
		{OK, subject, fmt.Sprintf("%s answers in %s", where, facts.RoundTrip.Round(10*time.Microsecond)), ""},
		checkVersion(subject, facts.Version, minClickHouse, "upgrade ClickHouse"),
	}
	all = append(all, checkFsync(s, facts.Fsync), checkSQL(ctx, s, db))
	tables, _ := checkSchema(ctx, db, s.ClickHouse.Database) // the finding says it
	all = append(all, tables)
	now := clockOf(facts.Now, facts.Asked, facts.RoundTrip)
	if tables.Level == Broken {
		return all, now, nil
	}
	all = append(all, checkMasterKeys(ctx, s))
	archive, err := examineLedger(ctx, s)
	if err != nil {
		return append(all, broken(err, clickHouseRemedy(err))...), now, nil
	}
	return all, now, &archive
}

// examineLedger reads ClickHouse's side of the ledger's health.
func examineLedger(ctx context.Context, s configs.Settings) (ledger.ArchiveState, error) {
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		return ledger.ArchiveState{}, err
	}
	defer func() { _ = db.Close() }() // nothing was written
	return db.Examine(ctx)
}

// checkFsync holds the server to clickhouse.fsync, which only it can keep.
func checkFsync(s configs.Settings, on bool) Finding {
	const subject = "clickhouse"
	switch {
	case on:
		return Finding{OK, subject, "acknowledged rows survive a power cut", ""}
	case s.ClickHouse.Fsync:
		return Finding{Broken, subject, "clickhouse.fsync is true, but the server acknowledges rows before they are on disk",
			"set merge_tree.fsync_after_insert and fsync_part_directory to 1 in the server's config.d (see configs/compose/clickhouse/config.xml), or clickhouse.fsync to false"}
	}
	return Finding{OK, subject, "acknowledged rows survive a crash of the server (for power cuts: clickhouse.fsync)", ""}
}

// clickHouseRemedy tells a refused login from a server that is not there.
func clickHouseRemedy(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "Authentication failed"), strings.Contains(text, "code: 516"):
		return "correct clickhouse.user and clickhouse.password (or password_file)"
	case strings.Contains(text, "x509"), strings.Contains(text, "tls:"):
		return "correct clickhouse.tls and clickhouse.tls_ca_file; the port of TLS is usually 9440"
	}
	return "start ClickHouse, or correct clickhouse.addrs (the native port, usually 9000, not HTTP's 8123)"
}

// checkSchema holds the tables to this binary's migrations. Its error is why they
// could not be examined, which the finding says too.
func checkSchema(ctx context.Context, db *clickhouse.DB, database string) (Finding, error) {
	const subject = "clickhouse"
	states, err := schema.Status(ctx, db.Conn(), database)
	if err != nil {
		remedy := "grant the user of clickhouse.user all rights on database " + database
		if clickhouse.Unanswered(err) {
			remedy = clickHouseRemedy(err)
		}
		return Finding{Broken, subject, fmt.Sprintf("the tables of database %s cannot be examined: %v", database, cause(err)), remedy}, err
	}
	var pending []string
	for _, st := range states {
		switch st.State {
		case schema.Pending:
			pending = append(pending, st.Name)
		case schema.Unknown:
			return Finding{Broken, subject, fmt.Sprintf("database %s has migration %s, which this binary does not know", database, st.Name),
				"use the binary that last migrated this database, or a newer one"}, nil
		case schema.Changed:
			return Finding{Broken, subject, fmt.Sprintf("database %s applied migration %s with another text than this binary has", database, st.Name),
				"use the binary that belongs to this database"}, nil
		}
	}
	if len(pending) > 0 {
		return Finding{Broken, subject, fmt.Sprintf("database %s lacks %d of %d migrations (%s)", database, len(pending), len(states), strings.Join(pending, ", ")),
			"run `leadevents migrate` with the same settings"}, nil
	}
	return Finding{OK, subject, fmt.Sprintf("database %s has all %d migrations", database, len(states)), ""}, nil
}

func checkRedis(ctx context.Context, s configs.Settings) ([]Finding, *clock, *ledger.Facts) {
	const subject = "redis"
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	cfg, err := ledgerConfig(s, dialers{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		return []Finding{{Broken, subject, err.Error(), "correct the settings redis.*"}}, nil, nil
	}
	facts, err := ledger.Examine(ctx, cfg)
	if err != nil {
		return []Finding{{Broken, subject, fmt.Sprintf("%s cannot be used: %v", s.Redis.Addr, err), redisRemedy(err)}}, nil, nil
	}
	all := []Finding{
		{OK, subject, fmt.Sprintf("%s answers in %s", s.Redis.Addr, facts.RoundTrip.Round(10*time.Microsecond)), ""},
		checkVersion(subject, facts.Version, minRedis, "upgrade Redis"),
	}
	add := func(ok bool, level Level, good, bad, remedy string) {
		if ok {
			all = append(all, Finding{OK, subject, good, ""})
		} else {
			all = append(all, Finding{level, subject, bad, remedy})
		}
	}
	add(facts.Policy == "noeviction", Broken, "maxmemory-policy is noeviction",
		fmt.Sprintf("maxmemory-policy is %s: it evicts exactly the keys that keep counts right, and each one evicted has to be found in ClickHouse again", facts.Policy),
		"set maxmemory-policy noeviction in redis.conf, and now with `redis-cli CONFIG SET maxmemory-policy noeviction`")
	if facts.Evicted > 0 {
		all = append(all, Finding{Warning, subject, fmt.Sprintf("%d keys were evicted since it started", facts.Evicted),
			"nothing is lost: the ledger finds out and is rebuilt from ClickHouse; see maxmemory-policy"})
	}
	add(facts.AppendOnly, Warning, "appendonly is on",
		"appendonly is off: each restart loses the ledger, and it is rebuilt from ClickHouse",
		"set appendonly yes and appendfsync everysec in redis.conf")
	add(facts.Role == "master", Broken, "it is the primary",
		"it is a replica, which cannot be written to", "set redis.addr to the primary")
	if facts.MaxMemory > 0 && facts.UsedMemory >= facts.MaxMemory {
		all = append(all, Finding{Broken, subject, fmt.Sprintf("it uses all of its %d MiB of maxmemory: requests get 503", facts.MaxMemory>>20),
			"raise maxmemory, or lower ledger.horizon"})
	} else if facts.MaxMemory > 0 && facts.UsedMemory > facts.MaxMemory*8/10 {
		all = append(all, Finding{Warning, subject, fmt.Sprintf("it uses %d of %d MiB of maxmemory; when it is full, requests get 503", facts.UsedMemory>>20, facts.MaxMemory>>20),
			"raise maxmemory, or lower ledger.horizon"})
	}
	all = append(all, checkNotify(ctx, s))
	return all, clockOf(facts.Now, facts.Asked, facts.RoundTrip), &facts
}

func redisRemedy(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "NOAUTH"), strings.Contains(text, "WRONGPASS"), strings.Contains(text, "invalid password"), strings.Contains(text, "without any password"):
		return "correct redis.user and redis.password (or password_file)"
	case strings.Contains(text, "x509"), strings.Contains(text, "tls:"):
		return "correct redis.tls and redis.tls_ca_file"
	case strings.Contains(text, "LOADING"):
		return "wait: it is still loading its data"
	case strings.Contains(text, "DB index"):
		return "correct redis.db"
	}
	return "start Redis, or correct redis.addr"
}

// checkVersion compares the major version, the part in front of the first dot.
func checkVersion(subject, version string, least int, remedy string) Finding {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	switch {
	case err != nil:
		return Finding{Warning, subject, fmt.Sprintf("its version reads %q, which cannot be judged", version), "make sure that it is a release of the real server"}
	case n < least:
		return Finding{Broken, subject, fmt.Sprintf("version %s is too old: %d is the oldest that works", version, least), remedy}
	case subject == "clickhouse" && n < testedWith:
		return Finding{Warning, subject, fmt.Sprintf("version %s works, but the tests run on %d", version, testedWith), remedy + " at a good time"}
	}
	return Finding{OK, subject, "version " + version, ""}
}

// checkClocks compares the clocks of both stores and ours. Beyond the margin the
// ledger cannot tell what it has forgotten, and asks ClickHouse about every event.
func checkClocks(s configs.Settings, database, cache *clock) []Finding {
	var all []Finding
	compare := func(what string, ahead, uncertainty time.Duration) {
		ahead, uncertainty = ahead.Round(time.Millisecond), uncertainty.Round(time.Millisecond)
		text := fmt.Sprintf("%s differ by %s (± %s), ledger.margin is %s", what, ahead.Abs(), uncertainty, s.Ledger.Margin)
		switch {
		case ahead.Abs()-uncertainty > s.Ledger.Margin:
			all = append(all, Finding{Broken, "clocks", text, "synchronize the machines' clocks (chrony, systemd-timesyncd)"})
		case ahead.Abs()+uncertainty > s.Ledger.Margin/2:
			all = append(all, Finding{Warning, "clocks", text, "synchronize the machines' clocks (chrony, systemd-timesyncd)"})
		default:
			all = append(all, Finding{OK, "clocks", text, ""})
		}
	}
	if database != nil {
		compare("ClickHouse's clock and ours", database.ahead, database.uncertainty)
	}
	if cache != nil {
		compare("Redis' clock and ours", cache.ahead, cache.uncertainty)
	}
	if database != nil && cache != nil {
		compare("Redis' clock and ClickHouse's", cache.ahead-database.ahead, cache.uncertainty+database.uncertainty)
	}
	return all
}

// cause is what the log would show, without the sentence for clients in front.
func cause(err error) error {
	if e, ok := errors.AsType[*leadevents.Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}

// WriteFindings prints the findings, the remedy under each, and counts those
// that are broken.
func WriteFindings(w io.Writer, all []Finding) (broken int, err error) {
	warnings := 0
	for _, f := range all {
		if _, err := fmt.Fprintf(w, "%-8s %-11s %s\n", f.Level, f.Subject, f.Text); err != nil {
			return broken, fmt.Errorf("print the findings: %w", err)
		}
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(w, "%-8s %-11s → %s\n", "", "", f.Remedy); err != nil {
				return broken, fmt.Errorf("print the findings: %w", err)
			}
		}
		switch f.Level {
		case Broken:
			broken++
		case Warning:
			warnings++
		}
	}
	_, err = fmt.Fprintf(w, "\n%d findings: %d broken, %d warnings.\n", len(all), broken, warnings)
	return broken, err
}
