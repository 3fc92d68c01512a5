package backfill

import "time"

// Progress is how far a run is.
type Progress struct {
	Run    string
	Counts Counts // of all attempts
	// RowsPerSecond is of this attempt.
	RowsPerSecond float64
	Read, Size    int64         // bytes of the files: of the rows that are answered, about, and in all; size 0: not known
	Left          time.Duration // 0: not known
	Elapsed       time.Duration // of work, over all attempts
	InFlight      int           // calls
}

// Progress may be asked for at any time.
func (r *Runner) Progress() Progress {
	f := r.flights.Load()
	if f == nil {
		return Progress{Run: r.state.Run, Counts: r.state.Counts, Elapsed: time.Duration(r.state.Seconds * float64(time.Second))}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	here := time.Since(f.begun)
	p := Progress{
		Run: r.state.Run, Counts: f.live,
		Elapsed: here + time.Duration(f.before*float64(time.Second)), InFlight: f.caller.pace.inFlight(),
	}
	_, p.Size = f.source.Progress()
	p.Read = f.passed
	// A span is 200,000 rows: without its part that is answered a bar would stand still for seconds.
	for i, fl := range f.queue {
		before := f.passed
		if i > 0 {
			before = f.queue[i-1].read
		}
		p.Read += int64(float64(fl.read-before) * float64(fl.counts.Rows) / float64(max(fl.span.rows, 1)))
	}
	if f.reading.IsZero() {
		return p
	}
	reading := time.Since(f.reading)
	p.RowsPerSecond = float64(f.live.Rows-f.first.Rows) / max(reading.Seconds(), 0.001)
	if read := p.Read - f.from; p.Size > 0 && read > 0 && f.live.Rows > f.first.Rows {
		p.Left = time.Duration(float64(reading) * float64(p.Size-p.Read) / float64(read))
	}
	return p
}
