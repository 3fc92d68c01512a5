package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"leadevents"
)

// watch is the state of the health watch.
type watch struct {
	mu      sync.Mutex // one look at a time
	failing string     // the last failure logged
	rebuild struct {
		running bool
		done    sync.WaitGroup
	}
	repair struct {
		running bool
		done    sync.WaitGroup
		server  uint64  // the archive's server, after whose start states were repaired
		rest    Stretch // to be repaired once what is on its way has landed; empty without one
		epoch   string  // the last that was seen
		lost    Stretch // what servers may have left whose names Redis has lost; empty without
	}
	lastBeat time.Time
	left     atomic.Bool // this process has said that it ends
}

// watchHealth looks at both stores at every heartbeat, and at once when kicked.
func (l *Ledger) watchHealth() {
	ctx := l.life
	defer l.watch.rebuild.done.Wait()
	defer l.watch.repair.done.Wait()
	ticker := time.NewTicker(l.cfg.HeartbeatEvery)
	defer ticker.Stop()
	for {
		err := l.look(ctx)
		l.report(err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case reason := <-l.suspect:
			l.cfg.Logger.Debug("ledger examined at once", "reason", reason)
		}
	}
}

// kick makes the watch look at once.
func (l *Ledger) kick(reason string) {
	select {
	case l.suspect <- reason:
	default:
	}
}

// report logs a failure once, and its end.
func (l *Ledger) report(err error) {
	text := ""
	if err != nil && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	if (text == "") != (l.watch.failing == "") {
		if text != "" {
			l.cfg.Logger.Error("ledger cannot be examined", "error", text)
		} else {
			l.cfg.Logger.Info("ledger can be examined again")
		}
	}
	l.watch.failing = text
}

// current is the trust record in force.
func (l *Ledger) current(ctx context.Context) (*Trust, error) {
	if t := l.trust.Load(); t != nil {
		return t, nil
	}
	if err := l.refresh(ctx, nil); err != nil {
		return nil, err
	}
	if t := l.trust.Load(); t != nil {
		return t, nil
	}
	return nil, leadevents.Errorf(leadevents.Unavailable, "the ledger is being examined; send the same request again")
}

// refresh looks at the stores unless the record is another than seen by now.
func (l *Ledger) refresh(ctx context.Context, seen *Trust) error {
	if err := l.lookUnless(ctx, func() bool { return l.trust.Load() != seen }); err != nil {
		return l.unavailable(err)
	}
	return nil
}

// Confirm is the last step before an answer: it says that the stores are still
// the ones of the view, for answers that rest on what they hold rather than on a
// seal, and notes in Redis that the batch's receipt is durable, so that a
// ClickHouse restored from a snapshot of a moment before is found out.
func (l *Ledger) Confirm(ctx context.Context, view View, org leadevents.OrgID, batch leadevents.BatchID) error {
	if err := l.noteLanded(ctx, Landed{Org: org, Batch: batch, At: view.Now}); err != nil {
		return l.unavailable(err)
	}
	for range 20 {
		t := l.trust.Load()
		if t.Epoch != view.Trust.Epoch {
			return l.unavailable(errEpoch)
		}
		if l.archive.Generation() == t.archive {
			return nil
		}
		if err := l.refresh(ctx, t); err != nil {
			return err
		}
	}
	return l.unavailable(errEpoch)
}

// look examines both stores, declares what it finds, and takes the record in
// force as this process' own.
func (l *Ledger) look(ctx context.Context) error {
	return l.lookUnless(ctx, func() bool { return false })
}

// lookUnless is look, unless it is superfluous once the look under way has ended.
func (l *Ledger) lookUnless(ctx context.Context, superfluous func() bool) error {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	if superfluous() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*l.cfg.Timeout)
	defer cancel()
	for range 5 {
		o, err := l.observe(ctx)
		if err != nil {
			return err
		}
		d := l.diagnose(o)
		if d.reason == "" {
			l.clock.set(o.now, o.before, o.after)
			return l.adopt(ctx, o)
		}
		// Whoever wins the write, the next look reads what is in force then.
		if _, err := l.declare(ctx, o, d); err != nil {
			return err
		}
		l.clock.set(o.now, o.before, o.after)
	}
	return errors.New("the ledger's trust record changed five times during one look")
}

// adopt makes Redis' record this process' own, keeps both stores' heartbeats
// going, and starts a rebuild where one is needed.
func (l *Ledger) adopt(ctx context.Context, o *observation) error {
	t := o.trust
	t.archive = o.generation
	old := l.trust.Swap(t)
	if old != nil && (old.State != t.State || old.Epoch != t.Epoch) {
		l.cfg.Logger.Info("ledger "+string(t.State), "epoch", t.Epoch, "reason", t.Reason)
	}
	if o.policy != "noeviction" && o.maxMemory > 0 && (old == nil || old.Epoch != t.Epoch) {
		l.cfg.Logger.Error("Redis would evict keys: set maxmemory-policy to noeviction", "policy", o.policy)
	}
	skew := o.now - o.archive.Now
	l.met.skew.Set(float64(skew) / 1000)
	if (old == nil || old.Epoch != t.Epoch) && max(skew, -skew) > leadevents.Millis(l.cfg.Margin.Milliseconds()) {
		// It harms no count: every decision is by Redis' clock.
		l.cfg.Logger.Warn("the clocks of Redis and ClickHouse differ", "seconds", float64(skew)/1000, "margin", l.cfg.Margin.String())
	}
	if o.archive.Number < t.Number {
		// Written to Redis, and then the writer died.
		record, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("write the trust record: %w", err)
		}
		if err := l.archive.SaveTrust(ctx, t.Number, string(record)); err != nil {
			return fmt.Errorf("write the trust record to ClickHouse: %w", err)
		}
	}
	if err := l.repairAfterStart(ctx, o, skew); err != nil {
		return err
	}
	if err := l.beat(ctx, o, t); err != nil {
		return err
	}
	if t.State != Trusted && !l.watch.rebuild.running {
		l.watch.rebuild.running = true
		l.watch.rebuild.done.Go(func() { l.rebuildOnce(t) })
	}
	return nil
}

// repairBefore is how far back states are repaired at least: a server that is starved
// takes far longer to end a query than its client waits, and may die meanwhile,
// again and again before a repair is through.
const repairBefore = 5 * time.Minute

// before is from when on rows may lack their states before the moment at which
// something died, grace how long after it what was on its way may still arrive, and
// be cut off.
func (l *Ledger) before() time.Duration { return max(10*l.cfg.Deadline, repairBefore) + l.cfg.Margin }
func (l *Ledger) grace() time.Duration  { return 3*l.cfg.Deadline + l.cfg.Margin }

// repairAfterStart adds the states of rows that were on their way when ClickHouse,
// or a server before us, died: a row and its state are two parts on disk, and where
// nobody sends the row again its state would be missing. It runs beside everything
// else, for as long as it takes: whoever is told duplicate because of such a row
// does not depend on it (package ingest adds the state first).
func (l *Ledger) repairAfterStart(ctx context.Context, o *observation, skew leadevents.Millis) error {
	r := &l.watch.repair
	if t := o.trust; t.Epoch != r.epoch {
		if r.epoch = t.Epoch; t.State != Trusted {
			// A server that died when Redis lost its name is mourned by nobody (presence.go),
			// and the rebuild may have been where its rows came to lie. They have no receipt.
			r.lost = Stretch{To: EveryMoment, IngestedSince: min(cmp.Or(r.lost.IngestedSince, EveryMoment), t.At.Add(-l.before())), IngestedUntil: t.At.Add(l.grace())}
		}
	}
	if r.running {
		return nil
	}
	server := o.archive.Server
	if server == 0 {
		return l.archive.NameServer(ctx) // the next look finds the name
	}
	if server == r.server {
		if r.rest != (Stretch{}) && o.now > r.rest.IngestedUntil {
			l.repairStates(r.rest, true, func() { r.rest = Stretch{} })
			return nil
		}
		if lost := r.lost; lost != (Stretch{}) && o.now > lost.IngestedUntil {
			l.repairStates(lost, false, func() {
				if r.lost == lost {
					r.lost = Stretch{}
				}
			})
			return nil
		}
		return l.repairForTheDead(ctx, o.now)
	}
	before, grace := l.before(), l.grace()
	// Rows are stamped by Redis' clock. ClickHouse may have been down for long: the
	// heartbeats ended when it died.
	started := o.archive.Started + skew
	s := Stretch{To: EveryMoment, IngestedSince: min(started, max(o.beat, o.archive.Beat)).Add(-before), IngestedUntil: started.Add(grace)}
	var rest Stretch
	if r.server == 0 {
		// Of what went on before us nothing is known. What a server had sent when it
		// died may still arrive, and be cut off, for a while.
		s.IngestedUntil = o.now.Add(grace)
		rest = Stretch{To: EveryMoment, IngestedSince: o.now.Add(-before), IngestedUntil: s.IngestedUntil}
	}
	l.repairStates(s, true, func() { r.server, r.rest = server, rest })
	return nil
}

// repairStates repairs a stretch beside everything else, also what has a receipt or not,
// and calls done under the watch's lock when that has ended well.
func (l *Ledger) repairStates(s Stretch, receipted bool, done func()) {
	l.watch.repair.running = true
	l.watch.repair.done.Go(func() {
		err := l.archive.RepairStates(l.life, s, receipted)
		l.watch.mu.Lock()
		l.watch.repair.running = false
		if err == nil {
			done()
		}
		l.watch.mu.Unlock()
		if err != nil && l.life.Err() == nil {
			l.cfg.Logger.Warn("states of recent rows could not be repaired; tried again at the next look", "error", err)
		}
	})
}

// beat moves both heartbeats on. The archive's is written every fifth time, by
// whoever comes first: enough to bound what a restored backup has lost.
func (l *Ledger) beat(ctx context.Context, o *observation, t *Trust) error {
	confirmed := int64(0)
	if time.Since(l.watch.lastBeat) >= 5*l.cfg.HeartbeatEvery {
		l.watch.lastBeat = time.Now()
		ours, err := l.control.SetNX(ctx, l.cfg.Prefix+"beater", "1", 4*l.cfg.HeartbeatEvery).Result()
		if err != nil {
			return fmt.Errorf("take the heartbeat's turn: %w", err)
		}
		if ours && o.beat > o.archive.Beat {
			if err := l.archive.SaveBeat(ctx, o.beat); err != nil {
				return fmt.Errorf("write the heartbeat to ClickHouse: %w", err)
			}
			confirmed = int64(o.beat)
		}
	}
	keys := []string{l.epochKey(), l.beatKey(), l.archivedKey()}
	if err := l.control.Eval(ctx, beatScript, keys, t.Epoch, confirmed).Err(); err != nil {
		return fmt.Errorf("write the heartbeat to Redis: %w", err)
	}
	if l.watch.left.Load() {
		return nil
	}
	return l.note(ctx, o.now)
}

// observeClock compares a time read during [before, now] with where it should be.
func (l *Ledger) observeClock(now leadevents.Millis, before time.Time) {
	if now != 0 && l.clock.leap(now, before, time.Now()).Abs() > l.cfg.Margin {
		l.kick("Redis' clock leapt")
	}
}
