package backfill

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Bounds of what is ahead of the mark: bodies that are not answered, and rows of spans of which one is
// not. A span of 200,000 rows of 130 bytes is 30 MiB of bodies and raw rows: the next is
// queued while the last calls of the one before are on their way. With the span that is being cut they
// are the memory of a run.
const (
	bytesAhead = 44 << 20
	spansAhead = 6
)

// flight is a span on its way.
type flight struct {
	span    *span
	read    int64 // bytes of the files, with it
	open    int   // batches that are not answered
	counts  Counts
	rejects []reject
	told    map[string]answered // its batches that are answered, by key
}

// flights are the spans ahead of the mark, in their order.
type flights struct {
	run    *Runner
	caller *caller
	source Source
	fail   context.CancelCauseFunc
	spare  spares
	survey *survey
	calls  sync.WaitGroup
	number int // of the batch, to begin with another server each

	mu      sync.Mutex
	queue   []*flight
	bytes   int
	room    chan struct{} // has a token when a span has left the queue
	live    Counts        // of all that is answered, behind the mark too
	known   map[string]answered
	rejects *rejectsFile
	saved   time.Time
	begun   time.Time
	before  float64   // seconds of earlier attempts
	first   Counts    // of earlier attempts
	reading time.Time // since when new rows are read, behind those of earlier attempts
	from    int64     // bytes read then
	passed  int64     // bytes read when the last span before the mark was cut
	broken  error     // nothing is written any more
}

func newFlights(r *Runner, c *caller, source Source, fail context.CancelCauseFunc) (*flights, error) {
	f := &flights{
		run: r, caller: c, source: source, fail: fail, room: make(chan struct{}, 1),
		live: r.state.Counts, first: r.state.Counts, known: r.state.Answered,
		begun: time.Now(), before: r.state.Seconds,
	}
	if r.cfg.DryRun {
		f.survey = newSurvey(r.cfg.Files)
		return f, nil
	}
	rejects, err := openRejects(r.cfg.RejectsPath, r.state.RejectsBytes, r.resumed || r.cfg.Restart || r.cfg.Again)
	if err != nil {
		return nil, err
	}
	f.rejects = rejects
	// Before the first call: a run that is killed now is known by its id.
	if err := f.save(); err != nil {
		return nil, errors.Join(err, rejects.close())
	}
	return f, nil
}

// begin notes where new rows are read, behind those of earlier attempts.
func (f *flights) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = time.Now()
	f.from, _ = f.source.Progress()
	f.passed = f.from
}

// through says whether all spans are behind the mark.
func (f *flights) through() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) == 0 && f.broken == nil
}

// send lets the batches of a span go, each when the pace allows.
func (f *flights) send(stop context.Context, s *span) error {
	fl, err := f.queueUp(stop, s)
	if err != nil {
		return err
	}
	if len(s.batches) == 0 {
		f.settle(fl, nil, answered{}, nil)
		return nil
	}
	for _, b := range s.batches {
		if err := f.caller.pace.enter(stop); err != nil {
			return err
		}
		f.number++
		number := f.number
		f.calls.Go(func() {
			defer f.caller.pace.leave()
			if err := f.call(stop, number, fl, b); err != nil {
				f.fail(err)
			}
		})
	}
	return nil
}

// queueUp waits until there is room for a span.
func (f *flights) queueUp(stop context.Context, s *span) (*flight, error) {
	fl := &flight{span: s, open: len(s.batches), rejects: s.refused, told: map[string]answered{}}
	fl.read, _ = f.source.Progress()
	bytes := s.bytes
	for _, b := range s.batches {
		bytes += len(b.body)
	}
	for {
		f.mu.Lock()
		if len(f.queue) == 0 || len(f.queue) < spansAhead && f.bytes+bytes <= bytesAhead {
			f.queue = append(f.queue, fl)
			f.bytes += bytes
			f.mu.Unlock()
			return fl, nil
		}
		f.mu.Unlock()
		select {
		case <-stop.Done():
			return nil, stop.Err()
		case <-f.room:
		}
	}
}

// call has one batch answered, with all of its rejects.
func (f *flights) call(stop context.Context, number int, fl *flight, b *batch) error {
	defer f.release(b)
	if f.survey != nil {
		return f.tryOut(stop, number, fl, b)
	}
	f.mu.Lock()
	told, known := f.known[b.key]
	f.mu.Unlock()
	a := told.answer()
	if !known {
		var err error
		if a, err = f.caller.post(stop, number, b); err != nil {
			return err
		}
	}
	shown, err := f.caller.rejects(stop, number, b, &a)
	if err != nil {
		return err
	}
	rejects, err := f.rejected(fl.span, b, shown)
	if err != nil {
		return err
	}
	f.settle(fl, b, answered{BatchID: a.BatchID, Received: a.Received, Inserted: a.Inserted, Duplicates: a.Duplicates, Rejected: a.Rejected}, rejects)
	return nil
}

// release gives the memory of a batch back that has ended.
func (f *flights) release(b *batch) {
	f.mu.Lock()
	f.bytes -= len(b.body)
	f.makeRoom()
	f.mu.Unlock()
	f.spare.put(b)
}

// makeRoom wakes who waits for room.
func (f *flights) makeRoom() {
	select {
	case f.room <- struct{}{}:
	default: // it is told already
	}
}

// rejected are the rows of a batch that were refused.
func (f *flights) rejected(s *span, b *batch, shown []refusal) ([]reject, error) {
	slices.SortFunc(shown, func(x, y refusal) int { return cmp.Compare(b.rows[x.Index].raw, b.rows[y.Index].raw) }) // as they can be read
	rejects := make([]reject, 0, len(shown))
	raws := s.raw.reader()
	for _, r := range shown {
		raw, err := raws.raw(b.rows[r.Index].raw)
		if err != nil {
			return nil, err
		}
		rejects = append(rejects, newReject(f.run.cfg.Files, s.at.File, b.rows[r.Index].line, r.Reason, b.hints[r.Index], raw))
	}
	return rejects, nil
}

func (a answered) answer() answer {
	return answer{BatchID: a.BatchID, Received: a.Received, Inserted: a.Inserted, Duplicates: a.Duplicates, Rejected: a.Rejected}
}

// settle notes what a batch was told (nil: a span without any), and moves the mark over the
// spans that are answered.
func (f *flights) settle(fl *flight, b *batch, told answered, rejects []reject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b != nil {
		counts := Counts{Rows: told.Received, Inserted: told.Inserted, Duplicates: told.Duplicates, Rejected: told.Rejected, Batches: 1}
		fl.open--
		fl.counts.add(counts)
		fl.rejects = append(fl.rejects, rejects...)
		fl.told[b.key] = told
		f.live.add(counts)
	}
	moved := false
	for len(f.queue) > 0 && f.queue[0].open == 0 && f.broken == nil {
		f.broken = f.pass(f.queue[0])
		f.queue = slices.Delete(f.queue, 0, 1)
		moved = true
	}
	if moved {
		f.makeRoom()
	}
	if f.broken == nil && f.survey == nil && time.Since(f.saved) >= f.run.cfg.timing.checkpoint {
		f.broken = f.save()
	}
	if f.broken != nil {
		f.fail(f.broken)
	}
}

// pass moves the mark over a span.
func (f *flights) pass(fl *flight) error {
	state := &f.run.state
	refused := uint64(len(fl.span.refused))
	ours := Counts{Rows: refused, Rejected: refused}
	fl.counts.add(ours)
	f.live.add(ours)
	f.bytes -= fl.span.bytes
	f.spare.putRaw(fl.span.raw)
	f.passed = fl.read
	state.Counts.add(fl.counts)
	state.Mark = fl.span.next
	for key := range fl.told {
		delete(f.known, key)
	}
	if f.survey != nil {
		return nil
	}
	slices.SortStableFunc(fl.rejects, func(a, b reject) int { return cmp.Compare(a.line, b.line) })
	err := f.rejects.write(fl.rejects)
	state.RejectsBytes = f.rejects.size
	return err
}

// save writes the checkpoint. Rejected rows come first: it says how many of them count.
func (f *flights) save() error {
	if err := f.rejects.sync(); err != nil {
		return err
	}
	state := f.run.state
	state.Seconds = f.before + time.Since(f.begun).Seconds()
	state.Answered = map[string]answered{}
	for key, told := range f.known { // of an earlier attempt, and not come to yet
		state.Answered[key] = told
	}
	for _, fl := range f.queue {
		for key, told := range fl.told {
			state.Answered[key] = told
		}
	}
	f.saved = time.Now()
	return state.write(f.run.cfg.StatePath)
}

func (f *flights) wait() { f.calls.Wait() }

// end writes the last checkpoint.
func (f *flights) end(done bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.survey != nil {
		return nil
	}
	f.run.state.Done = done
	var err error
	if f.broken == nil {
		err = f.save()
	}
	if closed := f.rejects.close(); err == nil {
		err = closed
	}
	return err
}
