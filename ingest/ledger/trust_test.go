package ledger

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"leadevents"
)

// healthy is a look that finds everything as recorded.
func healthy(l *Ledger) *observation {
	const now = leadevents.Millis(1_800_000_000_000)
	o := &observation{
		trust: &Trust{
			Number: 7, Epoch: "e", Era: "3", State: Trusted, RunID: "r", Replication: "p", Evicted: 4,
			HorizonMs: l.cfg.Horizon.Milliseconds(), SlotWidth: l.cfg.SlotWidth, SlotBits: l.cfg.SlotBits, Table: "t", Beat: now - 50_000,
		},
		epoch: "e", runID: "r", repl: "p", evicted: 4, policy: "noeviction", now: now, beat: now - 900, archived: now - 6000,
		archive: ArchiveState{Table: "t", Number: 7, Beat: now - 5000, Now: now},
	}
	record, _ := json.Marshal(o.trust)
	o.archive.Record = string(record)
	return o
}

func TestDiagnosis(t *testing.T) {
	l := &Ledger{}
	l.cfg.setDefaults()
	archives := map[string]bool{
		"another table": true, "ClickHouse lost a heartbeat": true, "ClickHouse lost an answer": true,
		"another epoch in ClickHouse": true, "an unreadable record in ClickHouse": true,
	}
	for _, tc := range []struct {
		name   string
		change func(o *observation)
		reason string // empty: healthy
		newEra bool
	}{
		{"everything as recorded", func(*observation) {}, "", false},
		{"the archive was not told yet", func(o *observation) { o.archive.Number, o.archive.Record = 6, `{"epoch":"before"}` }, "", false},
		{"the archive's heartbeat is written every fifth time", func(o *observation) { o.archive.Beat = o.now - 6000 }, "", false},
		{"a second of Redis' log lost leaves a beat behind", func(o *observation) { o.beat = o.archive.Beat - 2000 }, "", false},
		{"a clock slewed within the margin", func(o *observation) { o.now = o.beat - 4000 }, "", false},
		{"no record", func(o *observation) { o.trust = nil }, "Redis is empty", true},
		{"an unreadable record", func(o *observation) { o.trust = &Trust{raw: "{"} }, "Redis is empty", true},
		{"no epoch", func(o *observation) { o.epoch = "" }, "Redis is empty", true},
		{"another epoch", func(o *observation) { o.epoch = "x" }, "differ", true},
		{"another table", func(o *observation) { o.archive.Table = "u" }, "another table", true},
		{"ClickHouse lost a heartbeat", func(o *observation) { o.archive.Beat = o.archived - 1 }, "ClickHouse has gone back", true},
		{"ClickHouse lost an answer", func(o *observation) { o.lacking = []Landed{{Batch: 9}} }, "does not know batch 9", true},
		{"ClickHouse has a newer record", func(o *observation) { o.archive.Number = 8 }, "Redis has gone back in time: its trust record is number 7, ClickHouse's 8", true},
		{"Redis lost its heartbeats", func(o *observation) { o.beat = o.archive.Beat - 10_001 }, "Redis has gone back in time: its heartbeat", true},
		{"another horizon", func(o *observation) { o.trust.HorizonMs++ }, "ledger.horizon was", true},
		{"another layout", func(o *observation) { o.trust.SlotBits++ }, "layout", true},
		{"another run", func(o *observation) { o.runID = "s" }, "restarted", false},
		{"another replication", func(o *observation) { o.repl = "q" }, "failed over", false},
		{"keys evicted", func(o *observation) { o.evicted = 5 }, "was 4 and is 5", false},
		{"the count of evictions reset", func(o *observation) { o.evicted = 0 }, "was 4 and is 0", false},
		{"the clock leapt", func(o *observation) { o.leap = -6 * time.Second }, "leapt by -6s", false},
		{"the clock is behind the heartbeat", func(o *observation) { o.now = o.beat - 5001 }, "behind its own heartbeat", false},
		{"the same, known since this epoch began", func(o *observation) { o.now = o.beat - 5001; o.trust.Beat = o.beat }, "", false},
		{"another epoch in ClickHouse", func(o *observation) { o.archive.Record = `{"epoch":"x"}` }, "name different epochs", true},
		{"an unreadable record in ClickHouse", func(o *observation) { o.archive.Record = `{` }, "name different epochs", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := healthy(l)
			tc.change(o)
			d := l.diagnose(o)
			if (tc.reason == "") != (d.reason == "") || !strings.Contains(d.reason, tc.reason) || d.newEra != tc.newEra || d.first || d.archive != archives[tc.name] {
				t.Fatalf("got %+v, want %q, new era %v", d, tc.reason, tc.newEra)
			}
		})
	}
	t.Run("the very first start", func(t *testing.T) {
		if d := l.diagnose(&observation{archive: ArchiveState{Empty: true, Table: "t"}}); !d.first {
			t.Fatalf("got %+v", d)
		}
	})
	t.Run("Redis is new, ClickHouse is not", func(t *testing.T) {
		if d := l.diagnose(&observation{archive: ArchiveState{Empty: false, Table: "t"}}); d.first || !d.newEra {
			t.Fatalf("got %+v", d)
		}
		if d := l.diagnose(&observation{archive: ArchiveState{Empty: true, Number: 1, Table: "t"}}); d.first || !d.newEra {
			t.Fatalf("got %+v", d)
		}
	})
}

func TestSettingsAreHeldToTheirConstraints(t *testing.T) {
	for message, change := range map[string]func(*Config){
		"ledger.deadline is 99ms":                           func(c *Config) { c.Deadline = 99 * time.Millisecond },
		"at least 10 × ledger.deadline (5m0s)":              func(c *Config) { c.ShortHorizon = 5*time.Minute - 1 },
		"at least ledger.short_horizon (10m0s)":             func(c *Config) { c.Horizon = 10*time.Minute - 1 },
		"ledger.margin is 10m0s":                            func(c *Config) { c.Margin = 10 * time.Minute },
		"ledger.margin is -1ns":                             func(c *Config) { c.Margin = -1 },
		"ledger.slot_width is 29: 10 to 28":                 func(c *Config) { c.SlotWidth = 29 },
		"ledger.slot_width is 9: 10 to 28":                  func(c *Config) { c.SlotWidth = 9 },
		"ledger.slot_bits is 13: 0 to 12":                   func(c *Config) { c.SlotBits = 13 },
		"ledger.chunk_keys is 2001: 1 to 2,000 are":         func(c *Config) { c.ChunkKeys = 2001 },
		"ledger.chunk_keys is -1: 1 to 2,000 are possible ": func(c *Config) { c.ChunkKeys = -1 },
	} {
		var cfg Config
		change(&cfg)
		if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("got %v, want %q", err, message)
		}
	}
}

func TestTheClockLeapsOnlyBeyondWhatItsReadingAllows(t *testing.T) {
	base := time.Now()
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	var c clock
	if c.leap(5, at(0), at(1)) != 0 {
		t.Fatal("a first look cannot leap")
	}
	c.set(1_000_000, at(0), at(10)) // it was 1,000,000 at some moment of these 10 ms
	for _, tc := range []struct {
		now           leadevents.Millis
		before, after int
		want          time.Duration
	}{
		{1_000_100, 100, 101, 0},
		{1_000_090, 100, 101, 0},
		{1_000_089, 100, 101, -time.Millisecond},
		{1_000_102, 100, 101, 0},
		{1_000_103, 100, 101, time.Millisecond},
		{1_000_600, 100, 700, 0}, // a slow answer says less
		{1_003_700, 100, 101, 3598 * time.Millisecond},
		{996_400, 100, 101, -3690 * time.Millisecond},
	} {
		if got := c.leap(tc.now, at(tc.before), at(tc.after)); got != tc.want {
			t.Errorf("%d read between %d and %d ms leaps by %s, want %s", tc.now, tc.before, tc.after, got, tc.want)
		}
	}
}

// The rule of the package comment, at its edges.
func TestWhatAnAbsentKeyProves(t *testing.T) {
	l := &Ledger{}
	l.cfg.setDefaults()
	const now = leadevents.Millis(1_800_000_000_000)
	margin, horizon, short := l.cfg.Margin, l.cfg.Horizon, l.cfg.ShortHorizon
	view := View{Trust: &Trust{State: Trusted, Since: now.Add(-time.Hour)}, Now: now}
	for _, tc := range []struct {
		name string
		at   leadevents.Millis
		want bool
	}{
		{"just within the horizon less the margin", now.Add(margin-horizon) + 1, true},
		{"at its edge", now.Add(margin - horizon), false},
		{"live", now, true}, {"the future", leadevents.MaxOccurredAt, true}, {"the beginning", 0, false},
	} {
		if got := l.Absent(view, tc.at); got != tc.want {
			t.Errorf("%s: absent proves new: %v", tc.name, got)
		}
	}
	for _, tc := range []struct {
		name     string
		ingested leadevents.Millis
		want     bool
	}{
		{"a moment ago: not sealed", now - 1, false},
		{"just younger than Tshort less the margin", now.Add(margin - short), false},
		{"older", now.Add(margin-short) - 1, true},
		{"before trust began", view.Trust.Since - 1, true},
	} {
		if got := l.StoredMeansDuplicate(view, tc.ingested); got != tc.want {
			t.Errorf("%s: duplicate: %v", tc.name, got)
		}
	}
	for _, state := range []State{Suspect, Rebuilding} {
		v := View{Trust: &Trust{State: state}, Now: now}
		if l.Absent(v, now) || !l.StoredMeansDuplicate(v, now-1) {
			t.Errorf("%s: an absent key proves something", state)
		}
	}
	// What is set again is as good as trusted, and nothing before it.
	half := View{Trust: &Trust{State: Rebuilding, set: now.Add(-time.Hour)}, Now: now}
	for at, want := range map[leadevents.Millis]bool{now.Add(-time.Hour) - 1: false, now.Add(-time.Hour): true, now: true, leadevents.MaxOccurredAt: true} {
		if got := l.Absent(half, at); got != want {
			t.Errorf("half rebuilt, at %s: absent proves new: %v", at, got)
		}
	}
	half.Trust.set = 1
	if edge := now.Add(margin - horizon); l.Absent(half, edge) || !l.Absent(half, edge+1) {
		t.Error("all is set again, and the horizon's edge is another than when trusted")
	}
}

// What a rebuild has noted counts in its epoch alone.
func TestProgressIsOfItsEpoch(t *testing.T) {
	noted := map[string]string{"epoch": "e", "from": "1800000000000", "done": "3", "keys": "5"}
	if set, keys := setSince(noted, "e"); set != 1_800_000_000_000 || keys != 5 {
		t.Errorf("set since %d, %d keys", set, keys)
	}
	for name, of := range map[string]map[string]string{
		"another epoch":                      {"epoch": "d", "from": "1800000000000", "keys": "5"},
		"an older version, from the old end": {"epoch": "e", "done": "3", "keys": "5"},
		"nothing":                            {},
		"unreadable":                         {"epoch": "e", "from": "x"},
	} {
		if set, keys := setSince(of, "e"); set != 0 || keys != 0 {
			t.Errorf("%s: set since %d, %d keys", name, set, keys)
		}
	}
}

// A rebuild adds states by receipts only where ClickHouse has surely lost nothing.
func TestClickHouseIsDoubted(t *testing.T) {
	l := &Ledger{}
	l.cfg.setDefaults()
	for _, tc := range []struct {
		name   string
		change func(o *observation)
		want   bool
	}{
		{"at work since long before its last heartbeat", func(*observation) {}, false},
		{"started in the second of its last heartbeat", func(o *observation) { o.archive.Started = o.archive.Beat - 999 }, true},
		{"started since", func(o *observation) { o.archive.Started = o.archive.Beat + 1 }, true},
		{"its clock is behind Redis', started since", func(o *observation) { o.archive.Now -= 60_000; o.archive.Started = o.archive.Beat - 50_000 }, true},
		{"without a heartbeat for long", func(o *observation) { o.archive.Beat = o.now - 20_001 }, true},
		{"its record cannot be read", func(o *observation) { o.archive.Record = "{" }, true},
		{"a rebuild with doubts was under way", func(o *observation) { o.archive.Record = `{"state":"rebuilding","doubted":true}` }, true},
		{"… as Redis says alone", func(o *observation) { o.trust.State, o.trust.Doubted = Suspect, true }, true},
		{"a rebuild with doubts has ended", func(o *observation) { o.archive.Record = `{"state":"trusted","doubted":true}` }, false},
		{"Redis is empty", func(o *observation) { o.trust = nil }, false},
	} {
		o := healthy(l)
		o.archive.Started = o.archive.Beat - 3_600_000
		tc.change(o)
		if got := l.doubts(o); got != tc.want {
			t.Errorf("%s: doubted: %v", tc.name, got)
		}
	}
}

// Which duplicates by a row alone have to be sealed for that row's batch.
func TestWhatIsAnOrphan(t *testing.T) {
	l := &Ledger{}
	l.cfg.setDefaults()
	const now = leadevents.Millis(1_800_000_000_000)
	margin, horizon, short, deadline := l.cfg.Margin, l.cfg.Horizon, l.cfg.ShortHorizon, l.cfg.Deadline
	began := now.Add(-2 * time.Minute)
	behind := began.Add(-deadline - margin) // from here on a row may have come behind the stream
	old := now.Add(-horizon - margin)
	for _, tc := range []struct {
		name               string
		state              State
		began              leadevents.Millis
		occurred, ingested leadevents.Millis
		want               bool
	}{
		{"an old event, stored before the epoch", Rebuilding, began, old, behind - 1, false},
		{"an old event, on its way when it began", Rebuilding, began, old, behind, true},
		{"an old event, stored since", Suspect, began, old, now, true},
		{"a live event, whatever its stamp", Rebuilding, began, old + 1, 0, true},
		{"trusted, stored before the epoch", Trusted, began, old, behind - 1, false},
		{"trusted, stored while it was rebuilt", Trusted, began, old, behind, true},
		{"trusted, and older than Tshort: nobody takes it for unsealed", Trusted, now.Add(-time.Hour), old, now.Add(margin-short) - 1, false},
		{"trusted, as young as Tshort", Trusted, now.Add(-time.Hour), old, now.Add(margin - short), true},
	} {
		v := View{Trust: &Trust{State: tc.state, At: tc.began}, Now: now}
		if got := l.Orphan(v, tc.occurred, tc.ingested); got != tc.want {
			t.Errorf("%s: orphan: %v", tc.name, got)
		}
	}
}
