package main

import (
	"context"
	"fmt"

	"leadevents"
	"leadevents/internal/loadgen"
)

// ordered makes up to most events in order of time, within [from, to): each has
// a millisecond or more to itself, so no two have one key, nor has any of another
// stretch of time one of theirs. What is new can be known then without keeping
// keys. batchRows events in a row have one type.
func ordered(org leadevents.OrgID, seed, batchRows, most uint64, from, to leadevents.Millis) (*loadgen.Generator, error) {
	if most == 0 || most > uint64(to-from) {
		return nil, fmt.Errorf("%d events in order do not fit between %s and %s, at a millisecond each", most, from, to)
	}
	return loadgen.New(loadgen.Config{
		Seed: seed, Org: org, Leads: 10_000_000, BatchRows: batchRows,
		Times: loadgen.Times{From: from, To: to, InOrder: most},
	})
}

// appendHead appends the begin of a body, up to its first event.
func appendHead(b []byte, org leadevents.OrgID, eventType string) []byte {
	return fmt.Appendf(b, `{"organizationId":%d,"eventType":%q,"events":[`, org, eventType) // our own types: nothing to escape
}

// again sends those of n events that keep says once more, in big calls by type,
// and adds up the answers.
func (s *server) again(ctx context.Context, g *loadgen.Generator, n uint64, keep func(i uint64) bool) (total answer, err error) {
	type gathered struct {
		body []byte
		rows int
	}
	calls := map[string]*gathered{}
	send := func(c *gathered) error {
		a, err := s.post(append(c.body, "]}"...))
		total.Received += a.Received
		total.Inserted += a.Inserted
		total.Duplicates += a.Duplicates
		total.Rejected += a.Rejected
		c.body, c.rows = c.body[:0], 0
		return err
	}
	var e loadgen.Event
	for i := range n {
		if !keep(i) {
			continue
		}
		g.Event(i, &e)
		c := calls[e.EventType]
		if c == nil {
			c = &gathered{}
			calls[e.EventType] = c
		}
		if c.rows == 0 {
			c.body = appendHead(c.body, g.Config().Org, e.EventType)
		} else {
			c.body = append(c.body, ',')
		}
		c.body = e.AppendJSON(c.body)
		if c.rows++; c.rows == callRows {
			if err := send(c); err != nil {
				return total, err
			}
		}
		if ctx.Err() != nil {
			return total, ctx.Err()
		}
	}
	for _, c := range calls {
		if c.rows > 0 {
			if err := send(c); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}
