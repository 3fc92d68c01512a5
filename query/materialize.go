package query

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"leadevents"
	"leadevents/audit"
	"leadevents/query/audience"
)

// A materialization, step by step; doc.go says what a crash between any two
// leaves behind.
const (
	// maxAttempts is how often a run is begun again because its process died. A send
	// that takes the server with it must not do so for ever.
	maxAttempts = 5
	// endPatience is how long a run that is through tries to say so.
	endPatience = time.Minute
	// givingUp bounds what is written when the server stops.
	givingUp = 3 * time.Second
)

// Materialize has a send materialized, unless it is already, or will be: then it
// is the same send, and nothing is begun. It returns when the run is claimed,
// which outlives this process.
func (s *Sends) Materialize(ctx context.Context, org leadevents.OrgID, id string) (audience.Send, error) {
	send, err := s.Send(ctx, org, id)
	if err != nil || !begins(send.State) {
		return send, err
	}
	err = s.change(ctx, org, id, func(ctx context.Context, log audience.SendLog) error {
		var exists bool
		if send, exists = log.Send(); !exists {
			return errNoSend
		}
		if !begins(send.State) {
			return nil
		}
		// Told here where it can be; if the audience goes before the run reads it,
		// the run fails and says so.
		if _, err := s.leads(ctx, org, send.Definition.Audience); err != nil {
			return err
		}
		if !s.slots.TryAcquire(1) {
			return leadevents.Errorf(leadevents.Unavailable, "%d sends are being materialized and %d wait already (sends.workers, sends.queue); send the same request again in a moment", s.cfg.Workers, s.cfg.Queue)
		}
		ref := audience.SendRef{Org: org, ID: id}
		var j *job
		act := audit.Act{Action: audit.SendMaterialize, Object: id}
		err := s.audit.Do(ctx, org, act, func(ctx context.Context, _ audit.Detail) (err error) {
			// Once more if it was changed while it was claimed: a claim goes by what counts.
			for range 3 {
				if log, j, err = s.claim(ctx, ref, log, claimOf(log)); err != nil || j == nil || log.GoesBy(&j.claim) {
					break
				}
				if err = j.end(ctx, s.store); err != nil {
					j = nil
					break
				}
				j, err = nil, leadevents.Errorf(leadevents.Unavailable, "the send is being changed at the same time; send the same request again")
			}
			return err
		})
		if j != nil {
			s.start(j)
		} else {
			s.slots.Release(1)
		}
		if err == nil {
			send, _ = log.Send()
		}
		return err
	})
	return send, err
}

// claimOf is a claim of what counts now.
func claimOf(log audience.SendLog) audience.SendEntry {
	defined := log.Defined()
	claim := audience.SendEntry{DefinitionID: defined.ID, FireAt: defined.Definition.FireAt}
	if listed := log.Listed(); listed != nil {
		claim.ListID = listed.ID
	}
	return claim
}

// begins tells the states that a run may begin in.
func begins(state audience.SendState) bool {
	return state == audience.SendDraft || state == audience.SendFailed
}

// claim begins a run: its lease first, so that whoever dies after the claim is
// found. The log is read again after it: should the lock have been lost, a newer
// claim, or a result, makes this one void, and the job is nil. What is missed here
// is seen when the run ends.
func (s *Sends) claim(ctx context.Context, ref audience.SendRef, log audience.SendLog, claim audience.SendEntry) (audience.SendLog, *job, error) {
	asOf, err := s.store.Clock(ctx)
	if err != nil {
		return log, nil, err
	}
	claim.Sequence, claim.ID, claim.Kind, claim.AsOf = log.Next(), leadevents.NewID(), audience.SendClaimed, asOf
	if claim.FireAt == 0 {
		claim.FireAt = asOf
	}
	j := newJob(ref, claim)
	if err := j.renew(ctx, s.store, s.cfg.Lease); err != nil {
		return log, nil, err
	}
	if err := s.store.AddSendEntry(ctx, ref.Org, ref.ID, claim); err != nil {
		return log, nil, err
	}
	if log, err = s.store.SendLog(ctx, ref.Org, ref.ID); err != nil {
		return log, nil, err
	}
	if superseded(log, j.run()) {
		return log, nil, j.end(ctx, s.store)
	}
	send, _ := log.Send()
	j.definition, j.list = send.Definition, send.ListFilter
	return log, j, nil
}

// superseded tells whether a run has nothing to say any more: another one has the
// result, or was begun after it.
func superseded(log audience.SendLog, run uint64) bool {
	if result, _ := log.Result(); result != nil {
		return result.ID != run
	}
	claim := log.Claim()
	return claim == nil || claim.ID != run
}

// start gives a claimed run to a worker.
func (s *Sends) start(j *job) {
	s.mu.Lock()
	s.ours[j.run()] = j
	s.mu.Unlock()
	s.jobs <- j // there is room for as many as there are slots
}

func (s *Sends) finished(j *job) {
	s.mu.Lock()
	delete(s.ours, j.run())
	s.mu.Unlock()
	s.slots.Release(1)
	close(j.ended)
}

func (s *Sends) underway() []*job {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make([]*job, 0, len(s.ours))
	for _, j := range s.ours {
		jobs = append(jobs, j)
	}
	return jobs
}

// Run materializes what is asked for here, and what other processes left, until
// ctx ends. What is then under way is given up at once, for another process or
// the next start to begin again.
func (s *Sends) Run(ctx context.Context) error {
	var g errgroup.Group
	for range s.cfg.Workers {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case j := <-s.jobs:
					s.perform(ctx, j)
				}
			}
		})
	}
	g.Go(func() error { return s.every(ctx, s.renewAll) })
	g.Go(func() error { return s.every(ctx, s.takeOverAll) })
	g.Go(func() error { return sweepRegularly(ctx, s.turns, "sends", s.cfg.Logger, s.sweep) })
	g.Go(func() error { return sweepRegularly(ctx, s.turns, "states", s.cfg.Logger, s.mergeStates) })
	err := g.Wait()
	for {
		select {
		case j := <-s.jobs:
			s.giveUp(j)
			s.finished(j)
		default:
			return err
		}
	}
}

// every does work now and three times in the life of a lease, until ctx ends.
func (s *Sends) every(ctx context.Context, work func(context.Context)) error {
	tick := time.NewTicker(s.cfg.Lease / 3)
	defer tick.Stop()
	for {
		work(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Sends) renewAll(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, s.cfg.Lease/3)
	defer cancel()
	jobs := s.underway()
	if err := renewAll(within, s.store, s.cfg.Lease, jobs); err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("the leases of materializations could not be renewed; if that goes on, another process begins them again", "runs", len(jobs), "error", err)
	}
}

// perform is a run from its first query to its end.
func (s *Sends) perform(ctx context.Context, j *job) {
	defer s.finished(j)
	began := time.Now()
	s.metrics.running.Inc()
	defer s.metrics.running.Dec()
	outcome := outcomeStopped
	totals, err := s.evaluate(ctx, j)
	if ctx.Err() == nil && !unanswered(err) {
		outcome, err = s.conclude(ctx, j, totals, err)
	}
	switch {
	case outcome == outcomeStopped:
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("a materialization was cut off; it is begun again", "organization", j.send.Org, "send", j.send.ID, "run", j.run(), "error", err)
		}
		s.giveUp(j)
	case outcome == outcomeFailed:
		s.cfg.Logger.Error("a materialization has failed", "organization", j.send.Org, "send", j.send.ID, "run", j.run(), "error", err)
	}
	s.metrics.outcomes.WithLabelValues(outcome).Inc()
	if outcome == outcomeDone {
		s.metrics.seconds.Observe(time.Since(began).Seconds())
	}
}

// unanswered tells whether a run failed because the store was not there: that is not
// the send's fault, and it is begun again as if this process had died. What the store
// says of a run (its memory, its time) is an answer.
func unanswered(err error) bool {
	e, ok := errors.AsType[*leadevents.Error](err)
	return ok && e.Unanswered
}

// evaluate is the work of a run. A list that is not whole is no list: its leads would
// be taken for not listed.
func (s *Sends) evaluate(ctx context.Context, j *job) (audience.Totals, error) {
	log, err := s.store.SendLog(ctx, j.send.Org, j.send.ID)
	if err != nil || superseded(log, j.run()) {
		return audience.Totals{}, err // it has waited long, and its end will say so
	}
	if err := j.begin(ctx, s.store, s.cfg.Lease); err != nil {
		return audience.Totals{}, err
	}
	from := j.definition.Audience
	if j.definition.Phones != 0 {
		n, err := s.store.ListLeads(ctx, j.send.Org, j.definition.Phones)
		if err == nil && n < j.definition.PhoneCount {
			err = leadevents.Errorf(leadevents.Unavailable, "of the audience's %d phones %d are stored; define the send again", j.definition.PhoneCount, n)
		}
		if err != nil {
			return audience.Totals{}, err
		}
	}
	if j.list != nil {
		n, err := s.store.ListLeads(ctx, j.send.Org, j.list.ID)
		if err == nil && n < j.list.Leads {
			err = leadevents.Errorf(leadevents.Unavailable, "of the list filter's %d leads %d are stored; send the list again with another lead, and then as it is", j.list.Leads, n)
		}
		if err != nil {
			return audience.Totals{}, err
		}
	}
	leads, err := s.leads(ctx, j.send.Org, from)
	if err != nil {
		return audience.Totals{}, err
	}
	leads.List = j.definition.Phones
	e := audience.Evaluation{Leads: leads, Filters: j.definition.Filters, FireAt: j.claim.FireAt, ClockSkew: s.cfg.ClockSkew}
	if j.list != nil {
		e.List = &j.list.List
	}
	return s.store.Materialize(ctx, j.send.Org, j.run(), e, j.advance)
}

// conclude writes down how a run ended, unless another has taken its place, and
// removes what the send's other runs have stored, or this one, if it failed. The
// store may just have been restarted, so it tries for a while.
func (s *Sends) conclude(ctx context.Context, j *job, totals audience.Totals, failure error) (outcome string, _ error) {
	e := audience.SendEntry{ID: leadevents.NewID(), Kind: audience.SendDone, Run: j.run(), Totals: totals}
	outcome = outcomeDone
	if failure != nil {
		e.Kind, e.Totals, e.Reason, outcome = audience.SendFailure, audience.Totals{}, reason(failure), outcomeFailed
	}
	var log audience.SendLog
	write := func(ctx context.Context, before audience.SendLog) (err error) {
		if superseded(before, j.run()) {
			outcome = outcomeSuperseded
			return j.end(ctx, s.store)
		}
		if !before.Has(e.ID) { // not written by the try before
			e.Sequence = before.Next()
			if err := s.store.AddSendEntry(ctx, j.send.Org, j.send.ID, e); err != nil {
				return err
			}
		}
		if log, err = s.store.SendLog(ctx, j.send.Org, j.send.ID); err != nil {
			return err
		}
		if superseded(log, j.run()) {
			outcome = outcomeSuperseded
		}
		return j.end(ctx, s.store)
	}
	deadline := time.Now().Add(endPatience)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := s.change(ctx, j.send.Org, j.send.ID, write)
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return outcomeStopped, err
		}
		s.cfg.Logger.Warn("the end of a materialization could not be written; trying again", "run", j.run(), "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	// Runs that were claimed later find this result, and remove what they have stored;
	// or they count, and then it was they who were not seen.
	unread := []uint64{j.run()}
	if outcome == outcomeDone {
		unread = nil
		for _, claim := range log.Claims() {
			if claim.ID == j.run() {
				break
			}
			unread = append(unread, claim.ID)
		}
	}
	for _, run := range unread {
		if err := s.store.DropRun(ctx, j.send.Org, run); err != nil {
			s.cfg.Logger.Warn("what a run left could not be removed; nobody reads it", "run", run, "error", err)
		}
	}
	return outcome, failure
}

// reason is what a client is told of a failure.
func reason(err error) string {
	if e, ok := errors.AsType[*leadevents.Error](err); ok && e.Kind != leadevents.Internal {
		return e.Message
	}
	return "an internal error occurred; the server's log has its cause"
}

// giveUp has the next sweep, of whichever process, begin a run again.
func (s *Sends) giveUp(j *job) {
	ctx, cancel := context.WithTimeout(context.Background(), givingUp)
	defer cancel()
	if err := j.leave(ctx, s.store); err != nil {
		s.cfg.Logger.Warn("a materialization could not be given up; it is begun again when its lease ends", "run", j.run(), "error", err)
	}
}

// sweep removes what runs and replaced lists have left.
func (s *Sends) sweep(ctx context.Context) error {
	swept, err := s.store.SweepSends(ctx, sweepUnfinished)
	if swept != (audience.Sweep{}) {
		s.cfg.Logger.Info("swept sends", "runs", swept.Runs, "lists", swept.Lists, "leases", swept.Leases)
	}
	return err
}

func (s *Sends) mergeStates(ctx context.Context) error {
	began := time.Now()
	merged, err := s.store.MergeStates(ctx)
	if merged {
		s.cfg.Logger.Info("merged the states that filters read", "seconds", time.Since(began).Seconds())
	}
	return err
}

// silence is since when a lease that has expired was not renewed.
type silence struct {
	renewal uint64
	since   time.Time
}

// takeOverAll takes over the runs of processes that died: those whose leases have
// expired and are not renewed for a while. (When the store comes back after an
// outage all leases have expired, and their processes may renew them yet.)
func (s *Sends) takeOverAll(ctx context.Context) {
	leases, err := s.store.ExpiredLeases(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("materializations that were left could not be looked for", "error", err)
		}
		return
	}
	before := s.silent
	s.silent = make(map[uint64]silence, len(leases))
	for _, l := range leases {
		quiet, known := before[l.Run]
		if !known || quiet.renewal != l.Renewal {
			quiet = silence{l.Renewal, time.Now()}
		}
		s.silent[l.Run] = quiet
		s.mu.Lock()
		_, ours := s.ours[l.Run]
		s.mu.Unlock()
		if ours || !l.Left && time.Since(quiet.since) < s.cfg.Lease/2 { // they are renewed every third of it
			continue
		}
		if !s.slots.TryAcquire(1) {
			return // another process, or the next time
		}
		j, err := s.takeOver(ctx, l)
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("a materialization that was left could not be taken over", "run", l.Run, "error", err)
		}
		if j == nil {
			s.slots.Release(1)
			continue
		}
		s.cfg.Logger.Info("a materialization that was left is begun again", "organization", l.Send.Org, "send", l.Send.ID, "left", l.Run, "run", j.run())
		s.start(j)
	}
}

// takeOver claims a new run in the place of one that was left, for the same
// definition, list and fireAt; nil if there is nothing to take over.
func (s *Sends) takeOver(ctx context.Context, l audience.Lease) (j *job, err error) {
	err = s.change(ctx, l.Send.Org, l.Send.ID, func(ctx context.Context, log audience.SendLog) error {
		now, alive, err := s.store.Lease(ctx, l.Send, l.Run)
		if err != nil || alive || now.Ended || now.Run != l.Run {
			return err
		}
		if send, _ := log.Send(); send.State == audience.SendMaterializing && send.Run == l.Run {
			old, attempts := log.Claim(), log.Attempts()
			if attempts >= maxAttempts {
				e := audience.SendEntry{Sequence: log.Next(), ID: leadevents.NewID(), Kind: audience.SendFailure, Run: l.Run,
					Reason: "the server, or the event store, has ended each time that it was materialized; that it is too large for the server is one possible cause"}
				if err := s.store.AddSendEntry(ctx, l.Send.Org, l.Send.ID, e); err != nil {
					return err
				}
			} else {
				claim := audience.SendEntry{DefinitionID: old.DefinitionID, ListID: old.ListID, FireAt: old.FireAt}
				if now.Parts == 0 {
					claim.Reason = "the run before had not begun"
				}
				if _, j, err = s.claim(ctx, l.Send, log, claim); err != nil {
					return err
				}
			}
		}
		now.Ended, now.Left, now.Renewal = true, false, now.Renewal+1
		if err := s.store.SetLeases(ctx, 0, now); err != nil {
			// It will be found again, and then its send goes by another run.
			s.cfg.Logger.Warn("the lease of a run that was left could not be ended", "run", l.Run, "error", err)
		}
		return nil
	})
	return j, err
}

// Wait returns when a send is not being materialized any more, or with a 503.
func (s *Sends) Wait(ctx context.Context, org leadevents.OrgID, id string) (audience.Send, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	for {
		send, err := s.Send(ctx, org, id)
		if ctx.Err() == nil && (err != nil || send.State != audience.SendMaterializing) {
			return send, err
		}
		s.mu.Lock()
		j := s.ours[send.Run]
		s.mu.Unlock()
		var ended chan struct{}
		poll := 100 * time.Millisecond // it runs in another process
		if j != nil {
			ended, poll = j.ended, time.Second
		}
		select {
		case <-ended:
		case <-time.After(poll):
		case <-ctx.Done():
			return send, leadevents.Errorf(leadevents.Unavailable, "the send is still being materialized (sends.wait is %s, or the server is stopping); it goes on: ask again", s.cfg.Wait)
		}
	}
}
