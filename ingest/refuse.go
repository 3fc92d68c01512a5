package ingest

import (
	"cmp"
	"context"
	"slices"

	"leadevents"
	"leadevents/journal"
	"leadevents/retention"
)

// Erased knows which leads are erased (package journal).
type Erased interface {
	// Probe is nil where an organization has erased nobody. Its error is final.
	Probe(ctx context.Context, org leadevents.OrgID) (*journal.Probe, error)
}

// Retention knows for how long events are kept (package retention).
type Retention interface {
	// Of is nil where an organization keeps all of its events for ever. Its error is final.
	Of(ctx context.Context, org leadevents.OrgID) (*retention.Rules, error)
}

// refuse rejects events of erased leads, and those that are older than their
// organization keeps them. It is done here, right before the peek, and not when a call
// comes in: a call may wait long for its turn, and the journal's second pass waits only
// for what had begun (journal.Config.Grace).
//
// Of an organization that has erased leads each event costs a probe (package journal,
// BenchmarkProbe), of others a call costs a look at a map.
func (g *group) refuse(ctx context.Context) error {
	for _, call := range g.calls {
		var (
			erased *journal.Probe
			rules  *retention.Rules
			err    error
		)
		if g.in.cfg.Erased != nil {
			if erased, err = g.in.cfg.Erased.Probe(ctx, call.Org); err != nil {
				return err
			}
		}
		if g.in.cfg.Retention != nil {
			if rules, err = g.in.cfg.Retention.Of(ctx, call.Org); err != nil {
				return err
			}
		}
		if erased != nil || rules != nil {
			call.refuse(erased, rules.Border(call.EventType, leadevents.MillisOf(g.in.now())))
		}
	}
	return nil
}

// refuse rejects what occurred before the border, or is of an erased lead, in this order.
// Neither the reject of an erased lead's event nor that of another row with its phone
// says whose it was: rejects are stored.
func (c *Call) refuse(erased *journal.Probe, border leadevents.Millis) {
	kept := 0
	var refused []leadevents.RowReject
	for i, event := range c.Events {
		reason := ""
		switch {
		case erased.Has(event.Phone):
			reason = ReasonErased
			if event.OccurredAt < border {
				reason = ReasonExpired
			}
			refused = append(refused, leadevents.RowReject{Index: int(c.Index[i]), Reason: reason})
		case event.OccurredAt < border:
			refused = append(refused, leadevents.RowReject{Index: int(c.Index[i]), Reason: ReasonExpired, HasPhone: true, Phone: event.Phone.String()})
		default:
			c.Events[kept], c.Index[kept] = event, c.Index[i]
			kept++
		}
	}
	c.Events, c.Index = c.Events[:kept], c.Index[:kept]
	if erased != nil {
		for i := range c.Rejects {
			r := &c.Rejects[i]
			if phone, err := leadevents.ParsePhone(r.Phone); r.HasPhone && err == nil && erased.Has(phone) {
				r.HasPhone, r.Phone = false, ""
			}
		}
	}
	if len(refused) > 0 {
		c.Rejects = append(c.Rejects, refused...)
		slices.SortFunc(c.Rejects, func(a, b leadevents.RowReject) int { return cmp.Compare(a.Index, b.Index) })
	}
}
