package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
	"golang.org/x/sys/unix"

	"leadevents/ingest/backfill"
)

// terminal is a pseudo-terminal and what a person sees on it: lines that are wrapped, and wrapped anew when it
// is resized, as terminals do.
type terminal struct {
	t             *testing.T
	master, slave *os.File
	width         int
	lines         []string // what was written, without wraps; the cursor is behind the last
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return &terminal{t: t, master: master, slave: slave, lines: []string{""}}
}

func (s *terminal) resize(width int) {
	s.t.Helper()
	s.width = width
	if err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(width)}); err != nil {
		s.t.Fatal(err)
	}
}

// look reads what was written since the last look.
func (s *terminal) look() []string {
	s.t.Helper()
	const end = "\a"
	if _, err := s.slave.WriteString(end); err != nil {
		s.t.Fatal(err)
	}
	var text string
	for b := make([]byte, 4096); !strings.HasSuffix(text, end); {
		n, err := s.master.Read(b)
		if err != nil {
			s.t.Fatal(err)
		}
		text += string(b[:n])
	}
	for text != end {
		var up int
		if n, _ := fmt.Sscanf(text, "\x1b[%dA\r\x1b[J", &up); n == 1 {
			s.wipe(up)
			_, text, _ = strings.Cut(text, "\x1b[J")
			continue
		}
		r := []rune(text)[0]
		switch last := len(s.lines) - 1; r {
		case '\n':
			s.lines = append(s.lines, "")
		case '\r':
		case '\x1b':
			s.t.Fatalf("an order that this terminal does not know: %.10q", text)
		default:
			s.lines[last] += string(r)
		}
		text = text[len(string(r)):]
	}
	return s.lines[:len(s.lines)-1]
}

// wipe goes up by lines of the screen, and removes all from there on.
func (s *terminal) wipe(up int) {
	for up++; len(s.lines) > 0; {
		last := len(s.lines) - 1
		rows := strings.Split(runewidth.Wrap(s.lines[last], s.width), "\n")
		if len(rows) > up {
			s.lines[last] = strings.Join(rows[:len(rows)-up], "")
			s.lines = append(s.lines, "")
			return
		}
		if s.lines = s.lines[:last]; len(rows) == up {
			break
		}
		up -= len(rows)
	}
	s.lines = append(s.lines, "")
}

// Two lines are redrawn in their place at any width, also when the terminal is resized meanwhile and when
// what is said has wide characters and does not fit.
func TestProgressIsRedrawnOnATerminalOfAnyWidth(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	s := newTerminal(t)
	s.resize(80)
	p := backfill.Progress{Size: 1000, RowsPerSecond: 123_456}
	cmd := newBackfill()
	cmd.SetErr(s.slave)
	d := newDisplay(cmd, false)
	if !d.terminal {
		t.Fatal("it is no terminal")
	}
	d.progress = func() backfill.Progress { return p }
	var said []string
	for i, width := range []int{80, 20, 40, 200, 20, 200, 10, 80, 79, 19} {
		s.resize(width)
		for range 3 {
			p.Read += 30
			p.Counts.Rows += 1_234_567
			p.Counts.Inserted += 1_234_000
			d.mu.Lock()
			d.show()
			d.mu.Unlock()
			lines := s.look()
			if len(lines) != len(said)+2 || strings.Join(lines[:len(said)], "\n") != strings.Join(said, "\n") {
				t.Fatalf("at %d columns the screen has\n%s\nbehind what was said,\n%s", width, strings.Join(lines, "\n"), strings.Join(said, "\n"))
			}
			for _, line := range lines[len(said):] {
				if n := runewidth.StringWidth(line); n >= width {
					t.Errorf("at %d columns a line has %d: %s", width, n, line)
				}
			}
			if share := fmt.Sprintf("%.1f%%", float64(p.Read)/10); !strings.Contains(lines[len(said)], share) {
				t.Errorf("at %d columns %s is not told: %s", width, share, lines[len(said)])
			}
		}
		// The next width is that of a terminal on which two lines are drawn, and all that was said.
		said = append(said, fmt.Sprintf("Run %d begins; its checkpoint is 顧客リスト・二〇二六年.csv.backfill.json.", i))
		d.say("%s", said[i])
		s.look()
	}
	d.mu.Lock()
	d.wipe()
	d.mu.Unlock()
	if lines := s.look(); strings.Join(lines, "\n") != strings.Join(said, "\n") {
		t.Errorf("at the end the screen has\n%s", strings.Join(lines, "\n"))
	}
}
