package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"leadevents/ingest/backfill"
)

// How often progress is shown: redrawn on a terminal, a line elsewhere, an object for machines.
const (
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 10 * time.Second
	jsonEvery   = time.Second
)

// display shows how far a run is, on standard error; totals, and JSON, go to standard output.
type display struct {
	out, err io.Writer
	json     bool
	terminal bool

	mu       sync.Mutex
	progress func() backfill.Progress // nil: nothing is shown
	drawn    []int                    // columns of the lines that are there to be redrawn
	stop     chan struct{}
	stopped  sync.WaitGroup
}

func newDisplay(cmd *cobra.Command, asJSON bool) *display {
	d := &display{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: asJSON}
	d.terminal = isTerminal(d.err) && !asJSON
	return d
}

// begin shows progress until end.
func (d *display) begin(progress func() backfill.Progress) {
	every := lineEvery
	switch {
	case d.json:
		every = jsonEvery
	case d.terminal:
		every = redrawEvery
	}
	d.mu.Lock()
	d.progress, d.stop = progress, make(chan struct{})
	d.mu.Unlock()
	d.stopped.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-d.stop:
				return
			case <-ticker.C:
				d.mu.Lock()
				d.show()
				d.mu.Unlock()
			}
		}
	})
}

func (d *display) end() {
	close(d.stop)
	d.stopped.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wipe()
	d.progress = nil
}

// say prints a message beside what is drawn.
func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wipe()
	_, _ = fmt.Fprintf(d.err, format+"\n", args...)
	if d.terminal && d.progress != nil {
		d.show()
	}
}

func (d *display) show() {
	p := d.progress()
	switch {
	case d.json:
		_ = d.object("running", p, "") // the totals tell of a pipe that is closed
	case d.terminal:
		d.wipe()
		c := canvasOf(d.err)
		if width := widthOf(d.err); width > 0 {
			c.width = min(width, widest) // two lines may be narrower than a chart
		}
		for _, line := range c.backfillLines(p) {
			_, _ = fmt.Fprintln(d.err, line)
			d.drawn = append(d.drawn, runewidth.StringWidth(line))
		}
	default:
		_, _ = fmt.Fprintln(d.err, progressLine(p))
	}
}

// wipe takes away what is drawn, to the end of the screen. A terminal that was made narrow since has
// wrapped it into more lines; the few that cut it instead lose as many lines above.
func (d *display) wipe() {
	if len(d.drawn) == 0 {
		return
	}
	width := max(widthOf(d.err), 1)
	up := 0
	for _, columns := range d.drawn {
		up += max((columns+width-1)/width, 1)
	}
	_, _ = fmt.Fprintf(d.err, "\x1b[%dA\r\x1b[J", up)
	d.drawn = nil
}

// backfillLines are the two lines of a terminal: a bar, and what became of the rows. Figures that there
// is no room for are left out from the end, whole: a number that is cut is another number.
func (c canvas) backfillLines(p backfill.Progress) []string {
	width := c.width - 1 // or some terminals wrap
	rate := thousands(uint64(p.RowsPerSecond)) + "/s"
	first := []string{rate, period(p.Elapsed)}
	bar := ""
	if p.Size > 0 {
		share := min(float64(p.Read)/float64(p.Size), 1)
		first = []string{right(percent(&share), 6), rate}
		if p.Left > 0 {
			first = append(first, period(p.Left)+" left")
		}
		if room := min(width-1-len(strings.Join(first, "  ")), 60); room >= 10 {
			bar = c.sign("▕", "[") + runewidth.FillRight(c.bar(share, room-2), room-2) + c.sign("▏", "]") + " "
		}
	}
	second := []string{
		thousands(p.Counts.Rows) + " rows", thousands(p.Counts.Inserted) + " inserted",
		thousands(p.Counts.Duplicates) + " duplicates", thousands(p.Counts.Rejected) + " rejected",
	}
	return []string{bar + c.figures(first, "  ", width-runewidth.StringWidth(bar)), c.figures(second, ", ", width)}
}

// figures are as many of them as a width has room for, the first in any case.
func (c canvas) figures(all []string, between string, width int) string {
	line := c.cut(all[0], width)
	for _, figure := range all[1:] {
		longer := line + between + figure
		if runewidth.StringWidth(longer) > width {
			break
		}
		line = longer
	}
	return line
}

// progressLine is a line of a log.
func progressLine(p backfill.Progress) string {
	var b strings.Builder
	if p.Size > 0 {
		share := min(float64(p.Read)/float64(p.Size), 1)
		b.WriteString(percent(&share) + ", ")
	}
	fmt.Fprintf(&b, "%s, %s/s", sumOf(p), thousands(uint64(p.RowsPerSecond)))
	if p.Left > 0 {
		b.WriteString(", " + period(p.Left) + " left")
	}
	return b.String()
}

func sumOf(p backfill.Progress) string {
	return fmt.Sprintf("%s rows: %s inserted, %s duplicates, %s rejected",
		thousands(p.Counts.Rows), thousands(p.Counts.Inserted), thousands(p.Counts.Duplicates), thousands(p.Counts.Rejected))
}

// progressJSON is a line of --json.
type progressJSON struct {
	Run   string `json:"run"`
	State string `json:"state"` // running, done, stopped, failed
	backfill.Counts
	RowsPerSecond  float64 `json:"rowsPerSecond"`
	ReadBytes      int64   `json:"readBytes"`
	SizeBytes      int64   `json:"sizeBytes"` // 0: not known
	ElapsedSeconds float64 `json:"elapsedSeconds"`
	LeftSeconds    float64 `json:"leftSeconds,omitempty"`
	RejectsFile    string  `json:"rejectsFile,omitempty"`
}

func (d *display) object(state string, p backfill.Progress, rejects string) error {
	e := json.NewEncoder(d.out)
	e.SetEscapeHTML(false)
	err := e.Encode(progressJSON{
		Run: p.Run, State: state, Counts: p.Counts, RowsPerSecond: float64(int64(p.RowsPerSecond)), ReadBytes: p.Read, SizeBytes: p.Size,
		ElapsedSeconds: p.Elapsed.Round(time.Millisecond).Seconds(), LeftSeconds: p.Left.Round(time.Second).Seconds(), RejectsFile: rejects,
	})
	if err != nil {
		return fmt.Errorf("print the totals: %w", err)
	}
	return nil
}

// total prints what a run has come to, over all attempts.
func (d *display) total(state string, p backfill.Progress, rejects string) error {
	if d.json {
		return d.object(state, p, rejects)
	}
	text := fmt.Sprintf("run %s, %s in %s: %s", p.Run, state, period(p.Elapsed), sumOf(p))
	if rejects != "" {
		text += fmt.Sprintf(" (see %s)", printable(rejects))
	}
	if _, err := fmt.Fprintln(d.out, text); err != nil {
		return fmt.Errorf("print the totals: %w", err)
	}
	return nil
}
