package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"leadevents"
)

// postgresOrder is the smallest index that covers the query and keeps events
// apart; the metadata is left out.
const postgresTables = `
CREATE TABLE lead_events (organization_id bigint NOT NULL, event_type text NOT NULL, phone bigint NOT NULL, occurred_at timestamptz NOT NULL);
CREATE TABLE audience_leads (phone bigint NOT NULL, external_id text NOT NULL);`

const postgresIndexes = `
CREATE UNIQUE INDEX lead_events_key ON lead_events (organization_id, event_type, phone, occurred_at);
ALTER TABLE audience_leads ADD PRIMARY KEY (phone);
VACUUM (ANALYZE) lead_events;
VACUUM (ANALYZE) audience_leads;`

// againstPostgres gives PostgreSQL the same events and audience and asks the same.
func (b *campaignBench) againstPostgres(ctx context.Context, r *report, d *campaignData) (err error) {
	p, err := startPostgres(ctx, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	e := b.stand.engine.Endpoint()
	from := clickHouseHTTP{e.HTTP, d.database, e.User, e.Password}
	if _, err := p.ask(ctx, postgresTables); err != nil {
		return err
	}
	if err := p.copyFrom(ctx, "lead_events", from, "SELECT organization_id, event_type, phone, toString(occurred_at) FROM lead_events FINAL"); err != nil {
		return err
	}
	leads := fmt.Sprintf("SELECT phone, external_id FROM audience_leads WHERE organization_id = %d AND layer = %d", campaignOrg, layerAudience)
	if err := p.copyFrom(ctx, "audience_leads", from, leads); err != nil {
		return err
	}
	for _, statement := range statements(postgresIndexes) {
		if _, err := p.ask(ctx, statement); err != nil {
			return err
		}
	}
	q := b.sql(layerAudience)
	at := func(m leadevents.Millis) string { return "'" + m.Time().Format(time.RFC3339Nano) + "'" }
	sql := fmt.Sprintf(`SELECT count(*) FROM audience_leads a
WHERE NOT EXISTS (SELECT 1 FROM lead_events e WHERE e.organization_id = %d AND e.event_type = '%s' AND e.phone = a.phone)
  AND EXISTS (SELECT 1 FROM lead_events e WHERE e.organization_id = %d AND e.event_type = '%s' AND e.phone = a.phone AND e.occurred_at BETWEEN %s AND %s)`,
		campaignOrg, typeNever, campaignOrg, typeMonth, at(q.from), at(q.to))
	answer, times, err := p.timed(ctx, sql, b.rounds)
	if err != nil {
		return err
	}
	kept, err := strconv.ParseUint(answer, 10, 64)
	if err != nil {
		return fmt.Errorf("PostgreSQL answers %q", answer)
	}
	ours := b.ways(d, layerAudience)[0]
	samples, err := compete(ctx, b.rounds, []contestant{{wayOurs, func(int) (trial, error) {
		return trial{run: func(ctx context.Context) error {
			n, err := ours.ask(ctx)
			if err == nil && n != kept {
				err = fmt.Errorf("kept %d, PostgreSQL %d", n, kept)
			}
			return err
		}}, nil
	}}}, nil)
	if err != nil {
		return err
	}
	r.linef("\nThe same count in PostgreSQL, NOT EXISTS and EXISTS, with a covering index; audience of %d, %d events:", b.audience, d.events)
	r.table([]string{"", "ms", "× ours"}, [][]string{
		{wayOurs, samples[wayOurs].String(), "1.00"},
		{"PostgreSQL", times.String(), ratio(times.median(), samples[wayOurs].median())},
	})
	r.atLeast("faster than PostgreSQL", float64(times.median())/float64(samples[wayOurs].median()), goalOverPostgres)
	return nil
}
