package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// Bounds of what is remembered of catalogs: 100 bytes a type and partition, so that
// all of them are 100 MB at the very most, and a few MB where types are some dozens.
const (
	rememberedCatalogs = 1_000
	rememberedTypes    = 1_000 // of one organization, over all partitions
)

// EventTypes summarizes an organization's event types, exactly, in the order of their
// names.
//
// To count 33 million events takes two cores two seconds, whichever way. But a partition
// holds a year, and years that are over do not change: so what was counted in a partition
// is remembered with its parts (their names and hashes), and is right as long as it consists
// of those.
// Merges change the parts and not the count; then it is counted once more than needed.
// A catalog that nothing has changed takes the look at the parts, 2 ms.
func (db *DB) EventTypes(ctx context.Context, org leadevents.OrgID) (types []leadevents.TypeSummary, err error) {
	err = db.question(ctx, func(ctx context.Context) error {
		c := db.catalogs.of(org)
		select { // of several who ask at once one counts
		case c.turn <- struct{}{}:
		case <-ctx.Done():
			return unavailable(ctx.Err())
		}
		defer func() { <-c.turn }()
		if types, err = db.summarize(ctx, org, c); err != nil {
			return fmt.Errorf("summarize event types: %w", err)
		}
		return nil
	})
	return types, err
}

// catalog is what is remembered of an organization's events.
type catalog struct {
	turn   chan struct{}
	events map[string]counted // by partition
	leads  counted
}

// counted is what was counted in a set of parts.
type counted struct {
	parts string
	types map[string]leadevents.TypeSummary
}

// catalogs are those of the organizations that asked last.
type catalogs struct {
	mu    sync.Mutex
	known map[leadevents.OrgID]*catalog
}

func (c *catalogs) of(org leadevents.OrgID) *catalog {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.known[org]
	if one == nil {
		if c.known == nil || len(c.known) >= rememberedCatalogs { // hardly ever: begin anew
			c.known = map[leadevents.OrgID]*catalog{}
		}
		one = &catalog{turn: make(chan struct{}, 1), events: map[string]counted{}}
		c.known[org] = one
	}
	return one
}

// eventParts is what the tables consist of: a hash of their parts, by table and partition.
type eventParts struct {
	events map[string]string // by partition
	states string
}

func (db *DB) eventParts(ctx context.Context) (parts eventParts, err error) {
	parts.events = map[string]string{}
	err = db.stream(ctx, "event_parts", nil, func(rows driver.Rows) error {
		var table, partition, hash string
		if err := rows.Scan(&table, &partition, &hash); err != nil {
			return err
		}
		if table == "lead_events" {
			parts.events[partition] = hash
		} else {
			parts.states += hash
		}
		return nil
	})
	return parts, err
}

// summarize counts what is not remembered. What the parts were before counting and after
// it, they were when it was counted: only then it is remembered.
func (db *DB) summarize(ctx context.Context, org leadevents.OrgID, c *catalog) ([]leadevents.TypeSummary, error) {
	before, err := db.eventParts(ctx)
	if err != nil {
		return nil, err
	}
	now := catalog{events: map[string]counted{}}
	fresh := false
	for partition, parts := range before.events {
		if now.events[partition] = c.events[partition]; c.events[partition].parts == parts {
			continue
		}
		fresh = true
		if now.events[partition], err = db.countEvents(ctx, org, partition, parts); err != nil {
			return nil, err
		}
	}
	if now.leads = c.leads; c.leads.parts != before.states {
		fresh = true
		if now.leads, err = db.countLeads(ctx, org, before.states); err != nil {
			return nil, err
		}
	}
	if fresh {
		after, err := db.eventParts(ctx)
		if err != nil {
			return nil, err
		}
		now.remember(c, after)
	}
	return now.summary(), nil
}

// remember keeps what is still right by the parts of that moment.
func (c *catalog) remember(in *catalog, after eventParts) {
	in.events, in.leads = map[string]counted{}, counted{}
	known := len(c.leads.types)
	if c.leads.parts == after.states && known <= rememberedTypes {
		in.leads = c.leads
	}
	for partition, one := range c.events {
		known += len(one.types)
		if after.events[partition] == one.parts && known <= rememberedTypes {
			in.events[partition] = one
		}
	}
}

// summary adds up the partitions.
func (c *catalog) summary() []leadevents.TypeSummary {
	all := map[string]leadevents.TypeSummary{}
	for _, partition := range c.events {
		for name, t := range partition.types {
			sum, known := all[name]
			if !known {
				sum = leadevents.TypeSummary{EventType: name, FirstAt: t.FirstAt, LastAt: t.LastAt}
			}
			sum.Events += t.Events
			sum.FirstAt, sum.LastAt = min(sum.FirstAt, t.FirstAt), max(sum.LastAt, t.LastAt)
			sum.Leads = c.leads.types[name].Leads
			all[name] = sum
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b leadevents.TypeSummary) int { return cmp.Compare(a.EventType, b.EventType) })
}

func (db *DB) countEvents(ctx context.Context, org leadevents.OrgID, partition, parts string) (counted, error) {
	c := counted{parts, map[string]leadevents.TypeSummary{}}
	err := db.stream(ctx, "event_types_count", clickhouse.Parameters{"organization": org.String(), "partition": partition}, func(rows driver.Rows) error {
		var t leadevents.TypeSummary
		var first, last int64
		if err := rows.Scan(&t.EventType, &t.Events, &first, &last); err != nil {
			return err
		}
		t.FirstAt, t.LastAt = leadevents.Millis(first), leadevents.Millis(last)
		c.types[t.EventType] = t
		return nil
	})
	return c, err
}

func (db *DB) countLeads(ctx context.Context, org leadevents.OrgID, parts string) (counted, error) {
	c := counted{parts, map[string]leadevents.TypeSummary{}}
	err := db.stream(ctx, "event_types_leads", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
		var t leadevents.TypeSummary
		if err := rows.Scan(&t.EventType, &t.Leads); err != nil {
			return err
		}
		c.types[t.EventType] = t
		return nil
	})
	return c, err
}
