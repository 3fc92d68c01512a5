package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	store "leadevents/clickhouse"
	"leadevents/internal/loadgen"
)

const coldDatabase = "bench_coldcheck"

type coldCheckBench struct {
	rows   uint64
	rounds int
}

func newColdCheck(wrap wrapper) *cobra.Command {
	var b coldCheckBench
	cmd := &cobra.Command{
		Use:   "coldcheck",
		Short: "which of 50,000 keys are stored: our query beside the alternatives, time and memory",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().Uint64Var(&b.rows, "rows", 20_000_000, "rows that are stored")
	cmd.Flags().IntVar(&b.rounds, "rounds", 7, "how often each is measured")
	return cmd
}

func (b *coldCheckBench) run(ctx context.Context, r *report) (err error) {
	s, err := startStores(ctx, r, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	outside, err := s.connect("default")
	if err != nil {
		return err
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, coldDatabase); err != nil {
		return err
	}
	conn, err := s.connect(coldDatabase)
	if err != nil {
		return err
	}
	defer conn.Close()
	now := leadevents.MillisOf(time.Now())
	if err := b.load(ctx, conn, now); err != nil {
		return err
	}
	e := s.engine.Endpoint()
	ours, err := store.Open(store.Config{Addrs: []string{e.Native}, User: e.User, Password: e.Password, Database: coldDatabase})
	if err != nil {
		return err
	}
	defer ours.Close()

	r.linef("\n%d rows of five years and 12 types are stored; 50,000 keys of the type that has a third of them.", b.rows)
	for _, spread := range []struct {
		name   string
		days   int
		stored int
	}{
		{"keys of one day, half of them stored", 1, callRows / 2},
		{"keys spread over five years, half of them stored", 5 * 365, callRows / 2},
		{"keys spread over five years, none stored", 5 * 365, 0},
	} {
		keys, err := sampleKeys(ctx, conn, now, spread.days, spread.stored)
		if err != nil {
			return err
		}
		if err := b.compare(ctx, r, spread.name, keys, spread.stored, conn, ours); err != nil {
			return fmt.Errorf("%s: %w", spread.name, err)
		}
	}
	return nil
}

// load stores the rows: four fifths a backfill over five years in calls of
// 50,000, the rest the last 30 days as they came.
func (b *coldCheckBench) load(ctx context.Context, conn driver.Conn, now leadevents.Millis) error {
	live := b.rows / 5
	for _, part := range []struct {
		rows uint64
		cfg  loadgen.Config
	}{
		{b.rows - live, loadgen.Config{Seed: 1, Org: 42, Leads: b.rows / 10, Times: loadgen.History(now, 5, 0)}},
		{live, loadgen.Config{Seed: 2, Org: 42, Leads: b.rows / 10, BatchRows: 20,
			Times: loadgen.Times{From: now.Add(-30 * 24 * time.Hour), To: now, InOrder: live}}},
	} {
		g, err := loadgen.New(part.cfg)
		if err != nil {
			return err
		}
		if err := conn.Exec(ctx, g.InsertSQL(coldDatabase+".lead_events", 0, part.rows)); err != nil {
			return fmt.Errorf("load %d rows: %w", part.rows, err)
		}
	}
	return waitForMerges(ctx, conn)
}

// coldType is the type that is asked for: loadgen's most frequent.
var coldType = loadgen.DefaultEventTypes()[0]

const coldOrg leadevents.OrgID = 42

// coldKeys are keys of one type, in no order.
type coldKeys struct {
	phones     []uint64
	occurredAt []int64
}

func (k *coldKeys) len() int { return len(k.phones) }

// pick returns the keys in the order of the given indexes.
func (k *coldKeys) pick(order []int) *coldKeys {
	picked := &coldKeys{make([]uint64, len(order)), make([]int64, len(order))}
	for i, from := range order {
		picked.phones[i], picked.occurredAt[i] = k.phones[from], k.occurredAt[from]
	}
	return picked
}

// sampleKeys takes stored keys of the last days, and fills up with such that are not
// stored: leads of stored keys, a millisecond later.
func sampleKeys(ctx context.Context, conn driver.Conn, now leadevents.Millis, days, stored int) (*coldKeys, error) {
	from := now.Add(-time.Duration(days) * 24 * time.Hour)
	rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT DISTINCT phone, toUnixTimestamp64Milli(occurred_at) AS at FROM lead_events
		WHERE organization_id = %d AND event_type = '%s' AND occurred_at >= fromUnixTimestamp64Milli(%d)
		ORDER BY cityHash64(phone, at) LIMIT %d`, coldOrg, coldType, from, callRows-stored))
	if err != nil {
		return nil, fmt.Errorf("sample keys: %w", err)
	}
	defer rows.Close()
	keys := &coldKeys{}
	for rows.Next() {
		var phone uint64
		var at int64
		if err := rows.Scan(&phone, &at); err != nil {
			return nil, fmt.Errorf("sample keys: %w", err)
		}
		keys.phones, keys.occurredAt = append(keys.phones, phone), append(keys.occurredAt, at+1)
		if stored > 0 {
			keys.phones, keys.occurredAt = append(keys.phones, phone), append(keys.occurredAt, at)
			stored--
		}
	}
	if keys.len() != callRows {
		return nil, fmt.Errorf("only %d of %d keys could be made of what is stored in %d days: more --rows are needed", keys.len(), callRows, days)
	}
	return keys.pick(rand.New(rand.NewPCG(1, 1)).Perm(callRows)), rows.Err()
}

// way is one way to ask which keys are stored.
type way struct {
	name string
	// ask returns how many versions were found; id is the query's.
	ask func(ctx context.Context, id string) (found int, err error)
}

// compare measures every way, and holds their answers to ours. So many of the keys are stored,
// some of them in several versions.
func (b *coldCheckBench) compare(ctx context.Context, r *report, title string, keys *coldKeys, stored int, conn driver.Conn, ours *store.DB) error {
	ways := coldWays(keys, conn, ours)
	var (
		contestants []contestant
		want        = -1
		bad         error
	)
	for n, w := range ways {
		contestants = append(contestants, contestant{w.name, func(round int) (trial, error) {
			found := 0
			run := func(ctx context.Context) (err error) {
				found, err = w.ask(ctx, coldID(title, n, round))
				return err
			}
			check := func() error {
				if want < 0 {
					want = found
				}
				if found != want || found < stored {
					bad = fmt.Errorf("found %d versions, another way %d", found, want)
				}
				return bad
			}
			return trial{run, check}, nil
		}})
	}
	samples, err := compete(ctx, b.rounds, contestants, nil)
	if err != nil {
		return err
	}
	if err := conn.Exec(ctx, "SYSTEM FLUSH LOGS"); err != nil {
		return fmt.Errorf("write the query log: %w", err)
	}
	var rows [][]string
	for n, w := range ways {
		var (
			memory, read, marks uint64
			cpu                 float64 // ms a round
		)
		err := conn.QueryRow(ctx, fmt.Sprintf(`SELECT toUInt64(max(memory_usage)), toUInt64(max(read_rows)), toUInt64(max(ProfileEvents['SelectedMarks'])), sum(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']) / 1000 / %d
			FROM system.query_log WHERE type = 'QueryFinish' AND startsWith(query_id, '%s') AND is_initial_query`, b.rounds+1, coldID(title, n, -1))).Scan(&memory, &read, &marks, &cpu)
		if err != nil {
			return fmt.Errorf("read the query log: %w", err)
		}
		rows = append(rows, []string{
			w.name, samples[w.name].String(), ratio(samples[w.name].median(), samples[ways[0].name].median()),
			fmt.Sprintf("%.0f", cpu), fmt.Sprintf("%.1f", float64(memory)/(1<<20)), fmt.Sprintf("%.2f", float64(read)/1e6), strconv.FormatUint(marks, 10),
		})
	}
	r.linef("\n%s, %d rounds:", title, b.rounds)
	r.table([]string{"", "ms", "× ours", "CPU ms", "peak MiB", "million rows read", "marks"}, rows)
	return nil
}

// coldID names a query: of a way (round −1: what the ids of all rounds begin with).
func coldID(title string, way, round int) string {
	id := fmt.Sprintf("cold-%x-%d-", title, way)
	if round >= 0 {
		id += strconv.Itoa(round)
	}
	return id
}

// inKeyOrder are the keys as the sort key has them.
func (k *coldKeys) inKeyOrder() *coldKeys {
	order := make([]int, k.len())
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if k.occurredAt[a] != k.occurredAt[b] {
			return int(min(max(k.occurredAt[a]-k.occurredAt[b], -1), 1))
		}
		return int(min(max(int64(k.phones[a])-int64(k.phones[b]), -1), 1))
	})
	return k.pick(order)
}

// count reads a whole answer.
func count(ctx context.Context, conn driver.Conn, sql string) (found int, err error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var (
		occurred, ingested time.Time
		phone, batch       uint64
	)
	for rows.Next() {
		if err := rows.Scan(&occurred, &phone, &batch, &ingested); err != nil {
			return 0, err
		}
		found++
	}
	return found, rows.Err()
}

// withID names the query and gives it settings.
func withID(ctx context.Context, id string, settings clickhouse.Settings, more ...clickhouse.QueryOption) context.Context {
	return clickhouse.Context(ctx, append(more, clickhouse.WithQueryID(id), clickhouse.WithSettings(settings))...)
}
