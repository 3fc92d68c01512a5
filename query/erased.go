package query

import (
	"context"
	"slices"

	"leadevents"
	"leadevents/journal"
)

// Erased knows which leads are erased (package journal).
type Erased interface {
	// Probe is nil where an organization has erased nobody. Its error is a 503.
	Probe(ctx context.Context, org leadevents.OrgID) (*journal.Probe, error)
}

// probe asks, where there is somebody to ask.
func probe(ctx context.Context, erased Erased, org leadevents.OrgID) (*journal.Probe, error) {
	if erased == nil {
		return nil, nil
	}
	return erased.Probe(ctx, org)
}

// withoutErased is phones without those of erased leads: who names one is not refused,
// since he cannot know; it names nobody.
func withoutErased(ctx context.Context, erased Erased, org leadevents.OrgID, phones []leadevents.Phone) ([]leadevents.Phone, error) {
	if len(phones) == 0 {
		return phones, nil
	}
	p, err := probe(ctx, erased, org)
	if err != nil || p == nil || !slices.ContainsFunc(phones, p.Has) {
		return phones, err
	}
	return slices.DeleteFunc(slices.Clone(phones), p.Has), nil
}
