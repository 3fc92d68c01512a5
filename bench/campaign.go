package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"leadevents"
	store "leadevents/clickhouse"
	"leadevents/internal/loadgen"
	"leadevents/query/audience"
)

// campaignBench is flags and parts of the benchmark campaign.
type campaignBench struct {
	binary   string
	events   uint64
	leads    uint64
	audience uint64
	rounds   int
	postgres bool
	http     bool

	now   leadevents.Millis
	stand *stores
	sizes []*campaignData // all the events, and a tenth of them
}

func newCampaign(wrap wrapper) *cobra.Command {
	var b campaignBench
	cmd := &cobra.Command{
		Use:   "campaign",
		Short: "which leads a send keeps: previews and materializations beside other ways to ask, ClickHouse's obvious query and PostgreSQL",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().Uint64Var(&b.events, "events", 100_000_000, "events that are stored; a tenth of them beside it, for PostgreSQL too")
	cmd.Flags().Uint64Var(&b.leads, "leads", 10_000_000, "leads that have them, and the huge audience")
	cmd.Flags().Uint64Var(&b.audience, "audience", 1_000_000, "leads of the audience")
	cmd.Flags().IntVar(&b.rounds, "rounds", 5, "how often each is measured")
	cmd.Flags().BoolVar(&b.postgres, "postgres", true, "measure PostgreSQL, too")
	cmd.Flags().BoolVar(&b.http, "http", true, "measure through HTTP, too, and ingest beside a materialization")
	return cmd
}

const (
	campaignOrg leadevents.OrgID = 42
	typeNever                    = "webinar_attended" // excluded if ever
	typeMonth                    = "page_view"        // included within 30 days
	campaignDay                  = 24 * 60            // minutes
)

// The layers of the two audiences.
const (
	layerAudience leadevents.Layer = 1
	layerHuge     leadevents.Layer = 2
)

func within(minutes int) *int { return &minutes }

// twoFilters are those of the goals.
func twoFilters() []audience.Filter {
	return []audience.Filter{
		{Mode: audience.Exclude, EventType: typeNever, MinCount: 1},
		{Mode: audience.Include, EventType: typeMonth, MinCount: 1, Within: within(30 * campaignDay)},
	}
}

// evaluation asks filters of a layer's leads, for a send that fires now.
func (b *campaignBench) evaluation(layer leadevents.Layer, filters []audience.Filter) audience.Evaluation {
	return audience.Evaluation{
		Leads:   audience.Leads{Source: audience.Stored, Layers: []leadevents.Layer{layer}},
		Filters: filters, FireAt: b.now, ClockSkew: 5 * time.Minute,
	}
}

// campaignData is a database with events and audiences.
type campaignData struct {
	database string
	events   uint64
	conn     driver.Conn
	ours     *store.DB
}

func (d *campaignData) close() error { return errors.Join(d.ours.Close(), d.conn.Close()) }

func (b *campaignBench) run(ctx context.Context, r *report) (err error) {
	b.now = leadevents.MillisOf(time.Now())
	if b.stand, err = startStores(ctx, r, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stand.stop()) }()
	for _, events := range []uint64{b.events / 10, b.events} {
		d, err := b.load(ctx, r, events)
		if err != nil {
			return fmt.Errorf("load %d events: %w", events, err)
		}
		defer func() { err = errors.Join(err, d.close()) }()
		b.sizes = append(b.sizes, d)
	}
	all, tenth := b.sizes[1], b.sizes[0]
	if err := b.previews(ctx, r, all, tenth); err != nil {
		return err
	}
	if err := b.materializations(ctx, r, all, tenth); err != nil {
		return err
	}
	if b.postgres {
		if err := b.againstPostgres(ctx, r, tenth); err != nil {
			return err
		}
	}
	if !b.http {
		return nil
	}
	s, err := b.serve(ctx, all)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := b.through(ctx, r, s, all); err != nil {
		return err
	}
	return b.beside(ctx, r, s, all)
}

// load makes a database: a data set, and audiences. The audience is a part of the
// leads in no order, the huge one all of them.
func (b *campaignBench) load(ctx context.Context, r *report, events uint64) (*campaignData, error) {
	d := &campaignData{database: fmt.Sprintf("bench_campaign_%d", events), events: events}
	outside, err := b.stand.connect("default")
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	if err := createDatabase(ctx, outside, d.database); err != nil {
		return nil, err
	}
	if d.conn, err = b.stand.connect(d.database); err != nil {
		return nil, err
	}
	e := b.stand.engine.Endpoint()
	if d.ours, err = store.Open(store.Config{Addrs: []string{e.Native}, User: e.User, Password: e.Password, Database: d.database}); err != nil {
		return nil, err
	}
	set := dataSet{org: campaignOrg, seed: 1, events: events, leads: b.leads, now: b.now}
	if err := set.load(ctx, d.conn); err != nil {
		return nil, err
	}
	if err := b.loadAudiences(ctx, d); err != nil {
		return nil, err
	}
	if err := waitForMerges(ctx, d.conn); err != nil {
		return nil, err
	}
	return d, b.mergeStates(ctx, r, d)
}

// mergeStates does what a server does within a quarter of an hour.
func (b *campaignBench) mergeStates(ctx context.Context, r *report, d *campaignData) error {
	states := func() (n uint64, err error) {
		err = d.conn.QueryRow(ctx, "SELECT count() FROM lead_states").Scan(&n)
		return n, err
	}
	before, err := states()
	if err != nil {
		return err
	}
	began := time.Now()
	merged, err := d.ours.MergeStates(ctx)
	if err != nil || !merged {
		return err
	}
	took := time.Since(began)
	after, err := states()
	if err != nil {
		return err
	}
	r.linef("The server merged %d states of %d events into %d, in %.1f s.", before, d.events, after, took.Seconds())
	return nil
}

func (b *campaignBench) generator(times loadgen.Times) (*loadgen.Generator, error) {
	return dataSet{org: campaignOrg, seed: 1, leads: b.leads}.generator(times)
}

// loadAudiences stores both audiences: all leads, and every n-th of them, which
// are scattered over the phones and over the busy and the idle.
func (b *campaignBench) loadAudiences(ctx context.Context, d *campaignData) error {
	g, err := b.generator(loadgen.Live(b.now))
	if err != nil {
		return err
	}
	every := max(b.leads/b.audience, 1)
	for layer, step := range map[leadevents.Layer]uint64{layerAudience: every, layerHuge: 1} {
		batch, err := d.conn.PrepareBatch(ctx, "INSERT INTO audience_uploads (organization_id, layer, phone, priority, external_id)")
		if err != nil {
			return err
		}
		for n := uint64(0); n < b.leads; n += step {
			if err := batch.Append(uint64(campaignOrg), layer, uint64(g.Phone(n)), n, fmt.Sprintf("crm-%d", n)); err != nil {
				return err
			}
			if n/step%1_000_000 == 999_999 {
				if err := batch.Flush(); err != nil {
					return err
				}
			}
		}
		if err := batch.Send(); err != nil {
			return err
		}
		if _, err := d.ours.FinishLayer(ctx, campaignOrg, layer, 0, nil); err != nil {
			return err
		}
		if err := d.ours.DropUpload(ctx, layer); err != nil {
			return err
		}
	}
	return nil
}
