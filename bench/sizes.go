package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"
	"github.com/valyala/fasthttp"

	"leadevents"
	"leadevents/internal/loadgen"
)

// sizesBench is the flags of the benchmark sizes.
type sizesBench struct {
	binary  string
	rounds  int
	largest uint64
	plot    string
}

func newSizes(wrap wrapper) *cobra.Command {
	var b sizesBench
	cmd := &cobra.Command{
		Use:   "sizes",
		Short: "cost against size: a call of 50,000 events, memory, bytes on disk and in Redis, for 10,000 events stored up to --largest; and a plot",
		Args:  cobra.NoArgs,
		RunE:  wrap(func(ctx context.Context, r *report) error { return b.run(ctx, r) }),
	}
	cmd.Flags().StringVar(&b.binary, "binary", "bin/leadevents", "the server's `file`")
	cmd.Flags().IntVar(&b.rounds, "rounds", 9, "how often the call is measured at each size")
	cmd.Flags().Uint64Var(&b.largest, "largest", 10_000_000, "how many events are stored at most; before it 10,000, 100,000, …")
	cmd.Flags().StringVar(&b.plot, "plot", "bench/out/sizes.svg", "the `file` of the plot; the README shows bench/plot.svg")
	return cmd
}

// smallestSize is where sizes begin; each is ten times the one before.
const smallestSize = 10_000

// sizeCost is what so many stored events cost.
type sizeCost struct {
	events       uint64
	call         sample  // of 50,000 new events
	memory       float64 // the most that the server's process held, MiB
	stored       uint64  // rows that there are: keys may repeat by chance
	rows, states uint64  // bytes on ClickHouse's disk
	redis        int64   // bytes of the keys
}

func (b *sizesBench) run(ctx context.Context, r *report) error {
	if b.rounds < 1 || b.largest < smallestSize {
		return fmt.Errorf("--rounds is %d and --largest %d: at least 1 and %d are needed", b.rounds, b.largest, smallestSize)
	}
	var all []sizeCost
	for events := uint64(smallestSize); events <= b.largest; events *= 10 {
		c := sizeCost{events: events}
		for len(c.call) < b.rounds {
			// The calls themselves are stored too. Where they would make the size another
			// one, each has a server of its own.
			calls := min(b.rounds-len(c.call), max(1, int(events/4/callRows)))
			if err := b.world(ctx, r, &c, calls); err != nil {
				return fmt.Errorf("%d stored events: %w", events, err)
			}
		}
		all = append(all, c)
	}
	printSizes(r, b.rounds, all)
	if err := os.MkdirAll(filepath.Dir(b.plot), 0o755); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return writePlot(b.plot, sizesPlot(all))
}

// world starts a server, has it store the size's events, and measures calls. What they
// take is of the last world, and the same in each but for chance.
func (b *sizesBench) world(ctx context.Context, r *report, c *sizeCost, calls int) (err error) {
	s, err := startServer(ctx, b.binary, "log.requests=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.note(ctx, r); err != nil {
		return err
	}
	conn, err := connectClickHouse(s.ClickHouse.Native, s.ClickHouse.User, s.ClickHouse.Password, s.ClickHouse.Database)
	if err != nil {
		return err
	}
	defer conn.Close()
	redis, err := dialRedis(ctx, s.Redis.Addr, s.Redis.Password)
	if err != nil {
		return err
	}
	defer redis.Close()
	empty, err := redis.memory()
	if err != nil {
		return err
	}
	g, err := sizesGenerator(s.OrganizationID, c.events)
	if err != nil {
		return err
	}
	for batch := range g.Requests(c.events) {
		a, err := s.post(g.AppendRequest(nil, batch, c.events))
		if err != nil {
			return err
		}
		if a.Rejected > 0 || a.Inserted < a.Received*9/10 {
			return fmt.Errorf("of %d events to store %d were inserted, %d rejected", a.Received, a.Inserted, a.Rejected)
		}
	}
	if err := waitForMerges(ctx, conn); err != nil {
		return err
	}
	if err := c.read(ctx, conn); err != nil {
		return err
	}
	full, err := redis.memory()
	if err != nil {
		return err
	}
	c.redis = full - empty
	if err := c.measure(ctx, s, g, calls); err != nil {
		return err
	}
	memory, err := s.peakMemory()
	c.memory = max(c.memory, memory)
	return err
}

// sizesGenerator makes events of the last two days, so all within the ledger's horizon,
// of 12 types; ten to a lead.
func sizesGenerator(org leadevents.OrgID, events uint64) (*loadgen.Generator, error) {
	now := leadevents.MillisOf(time.Now())
	return loadgen.New(loadgen.Config{Seed: 1, Org: org, Leads: max(1000, events/10), Times: loadgen.Times{From: now.Add(-48 * time.Hour), To: now}})
}

// read asks ClickHouse what it has stored, and how large it is.
func (c *sizeCost) read(ctx context.Context, conn driver.Conn) error {
	err := conn.QueryRow(ctx, `SELECT sumIf(bytes_on_disk, table = 'lead_events'), sumIf(bytes_on_disk, table = 'lead_states'),
		sumIf(rows, table = 'lead_events')
		FROM system.parts WHERE active AND database = currentDatabase()`).Scan(&c.rows, &c.states, &c.stored)
	if err != nil {
		return fmt.Errorf("read the size of what is stored: %w", err)
	}
	if c.stored < c.events*9/10 || c.stored > c.events {
		return fmt.Errorf("%d rows are stored", c.stored)
	}
	return nil
}

// measure sends calls of 50,000 new events, behind dry runs that warm the server up and
// store nothing.
func (c *sizeCost) measure(ctx context.Context, s *server, g *loadgen.Generator, calls int) error {
	next := g.Requests(c.events) // the first whole call behind what is stored
	for range 3 {
		if err := s.dryRun(g.AppendRequest(nil, next, (next+1)*callRows)); err != nil {
			return err
		}
	}
	for batch := next; batch < next+uint64(calls); batch++ {
		body := g.AppendRequest(nil, batch, (batch+1)*callRows)
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		a, err := s.post(body)
		took := time.Since(began)
		if err != nil {
			return err
		}
		if a.Inserted+a.Duplicates != callRows || a.Inserted < callRows*9/10 {
			return fmt.Errorf("of a call's %d events %d were inserted, %d rejected", a.Received, a.Inserted, a.Rejected)
		}
		c.call = append(c.call, took)
	}
	return nil
}

// dryRun sends a call of which nothing is stored.
func (s *server) dryRun(body []byte) error {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	s.fill(request, body)
	request.SetRequestURI(s.URL + eventsPath + "?dryRun=true")
	if err := s.client.Do(request, response); err != nil {
		return fmt.Errorf("send a dry run: %w", err)
	}
	if response.StatusCode() != fasthttp.StatusOK {
		return &refusal{status: response.StatusCode(), body: string(response.Body())}
	}
	return nil
}

func printSizes(r *report, rounds int, all []sizeCost) {
	r.linef("")
	r.linef("What so many stored events cost: events of the last 48 hours, sent in calls of 50,000 and all within `ledger.horizon`, of 12 types, ten to a lead.")
	r.linef("Time is that of one more call of 50,000 new events (median and quartiles of %d); memory the most that the server's process held in all of it;", rounds)
	r.linef("disk and Redis are what was stored before it, the disk when no merge is under way, Redis without what it uses when empty.")
	var rows [][]string
	for _, c := range all {
		each := func(bytes float64) string { return fmt.Sprintf("%.1f", bytes/float64(c.stored)) }
		rows = append(rows, []string{
			fmt.Sprint(c.events), c.call.String(), fmt.Sprintf("%.0f", c.memory),
			threeDigits(float64(c.rows) / (1 << 20)), threeDigits(float64(c.states) / (1 << 20)), threeDigits(float64(c.redis) / (1 << 20)),
			each(float64(c.rows)), each(float64(c.states)), each(float64(c.redis)),
		})
	}
	r.table([]string{"stored events", "call of 50,000, ms", "server MiB", "events, MiB on disk", "states, MiB on disk", "Redis MiB", "bytes an event: events", "states", "Redis"}, rows)
}
