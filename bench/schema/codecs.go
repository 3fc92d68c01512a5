package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leadevents/internal/loadgen"
)

// compareCodecs fills one table that holds every column once per candidate
// codec, for three ways in which rows arrive, and prints bytes a row and the
// time to read the column.
func (e *experiment) compareCodecs(ctx context.Context) error {
	rows := e.rows / 10
	type arrival struct {
		name string
		cfg  loadgen.Config
	}
	inOrder := loadgen.History(e.now, 3, rows)
	live := loadgen.Times{From: e.now.Add(-30 * 24 * time.Hour), To: e.now, InOrder: rows}
	arrivals := []arrival{
		{"backfill in no order, calls of 50,000", loadgen.Config{Times: loadgen.History(e.now, 3, 0)}},
		{"backfill in order, calls of 50,000", loadgen.Config{Times: inOrder}},
		{"live, calls of 1", loadgen.Config{Times: live, BatchRows: 1}},
		{"live, calls of 100", loadgen.Config{Times: live, BatchRows: 100}},
	}
	names := slices.Sorted(maps.Keys(codecCandidates))
	for n, a := range arrivals {
		a.cfg.Seed, a.cfg.Org, a.cfg.Leads = 3, 42, e.rows/10
		g, err := loadgen.New(a.cfg)
		if err != nil {
			return err
		}
		table := fmt.Sprintf("codecs_%d", n)
		definition := []string{"organization_id UInt64, event_type LowCardinality(String), occurred_at DateTime64(3, 'UTC'), phone UInt64"}
		list, selected := []string{"organization_id, event_type, occurred_at, phone"}, []string{"organization_id, event_type, occurred_at, phone"}
		for _, name := range names {
			for i, candidate := range codecCandidates[name] {
				column := fmt.Sprintf("%s_%d", name, i)
				definition = append(definition, column+" "+candidate)
				list = append(list, column)
				if strings.HasPrefix(candidate, "UInt16") {
					selected = append(selected, "toUInt16(cityHash64("+name+") % 65536)")
				} else {
					selected = append(selected, name)
				}
			}
		}
		if err := e.exec(ctx, fmt.Sprintf("CREATE TABLE %s (%s) ENGINE = MergeTree PARTITION BY toYear(occurred_at) ORDER BY (organization_id, event_type, occurred_at, phone) SETTINGS allow_suspicious_low_cardinality_types = 1",
			table, strings.Join(definition, ", "))); err != nil {
			return fmt.Errorf("create the table of codecs: %w", err)
		}
		if err := e.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM (%s)", table, strings.Join(list, ", "), strings.Join(selected, ", "), g.SelectSQL(0, rows))); err != nil {
			return fmt.Errorf("load the table of codecs: %w", err)
		}
		if err := e.exec(ctx, "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			return err
		}
		fmt.Printf("\n%s (%d rows)\n\n| column | type and codec | bytes a row | ns a row to read |\n|---|---|---:|---:|\n", a.name, rows)
		for _, name := range names {
			for i, candidate := range codecCandidates[name] {
				column := fmt.Sprintf("%s_%d", name, i)
				size, err := e.size(ctx, table, column)
				if err != nil {
					return err
				}
				var best time.Duration
				for range 7 {
					began := time.Now()
					if err := e.drain(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE NOT ignore(%s) SETTINGS max_threads = 1", table, column)); err != nil {
						return err
					}
					if took := time.Since(began); best == 0 || took < best {
						best = took
					}
				}
				fmt.Printf("| %s | %s | %.2f | %.1f |\n", name, candidate, size, float64(best.Nanoseconds())/float64(rows))
			}
		}
		if err := e.exec(ctx, "DROP TABLE "+table); err != nil {
			return err
		}
		progress("codecs: %s", a.name)
	}
	return nil
}
