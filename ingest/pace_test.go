package ingest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"leadevents"
)

// paced counts what a kind may make within a time, one part at a time.
func paced(p *pace, k kind, d time.Duration, parts int) (n int) {
	for end := time.Now().Add(d); ; n += parts {
		for {
			d := p.wait(k)
			if d == 0 {
				break
			}
			time.Sleep(d)
		}
		if time.Now().After(end) {
			return n
		}
		p.take(k, parts)
	}
}

func within(t *testing.T, what string, got, least, most int) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s: %d parts, want %d to %d", what, got, least, most)
	}
}

func TestPartsASecondAreBounded(t *testing.T) {
	for name, run := range map[string]func(p *pace){
		"one kind alone has all of it": func(p *pace) {
			within(t, "alone", paced(p, smallCalls, 10*time.Second, 1), 995, 1000+25)
		},
		"two have half of it each": func(p *pace) {
			big := make(chan int)
			go func() { big <- paced(p, bigCalls, 10*time.Second, 1) }()
			small := paced(p, smallCalls, 10*time.Second, 1)
			within(t, "small", small, 495, 500+13)
			within(t, "big", <-big, 495, 500+13)
		},
		"what one makes of many years is not the other's to pay": func(p *pace) {
			big := make(chan int)
			go func() { big <- paced(p, bigCalls, 20*time.Second, 130) }()
			small := paced(p, smallCalls, 20*time.Second, 1)
			within(t, "small", small, 995, 1000+13)
			within(t, "big", <-big, 1000-130, 1000+130+13)
		},
		"who was quiet for long has saved a quarter of a second": func(p *pace) {
			time.Sleep(time.Hour)
			within(t, "at once", paced(p, smallCalls, time.Millisecond, 1), 12, 13)
		},
		"a clock that goes back gives nothing and takes nothing": func(p *pace) {
			back := time.Duration(0)
			now := p.now
			p.now = func() time.Time { return now().Add(-back) }
			paced(p, smallCalls, time.Second, 1)
			back = time.Hour
			within(t, "after it", paced(p, smallCalls, 10*time.Second, 1), 990, 1000+25)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(*testing.T) { run(newPace(100, time.Now)) })
		})
	}
}

func TestAWaitForThePaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(2, time.Now)
		p.take(bigCalls, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.acquire(ctx, bigCalls, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		began := time.Now()
		if err := p.acquire(t.Context(), bigCalls, 1); err != nil || time.Since(began) < 7*time.Minute {
			t.Errorf("a debt of 1,000 parts at 2 a second, 1 minute of it gone: %v after %s", err, time.Since(began))
		}
	})
}

func TestAnInsertMakesAPartForEachYear(t *testing.T) {
	at := func(year int, month time.Month, day, hour, minute, second, ms int) leadevents.Event {
		return leadevents.Event{OccurredAt: leadevents.MillisOf(time.Date(year, month, day, hour, minute, second, ms*1e6, time.UTC))}
	}
	for name, c := range map[string]struct {
		events []leadevents.Event
		want   int
	}{
		"no events still have a receipt":  {nil, 1},
		"one event":                       {[]leadevents.Event{at(2026, 5, 12, 1, 2, 3, 4)}, 1},
		"the last and the first moment":   {[]leadevents.Event{at(2025, 12, 31, 23, 59, 59, 999), at(2026, 1, 1, 0, 0, 0, 0)}, 2},
		"to and fro":                      {[]leadevents.Event{at(2026, 1, 1, 0, 0, 0, 0), at(1999, 1, 1, 0, 0, 0, 0), at(2026, 7, 1, 0, 0, 0, 0), at(1999, 12, 31, 0, 0, 0, 0)}, 2},
		"the beginning and the end of it": {[]leadevents.Event{{OccurredAt: leadevents.MinOccurredAt}, {OccurredAt: leadevents.MaxOccurredAt}}, 2},
	} {
		if got := yearsOf(c.events).parts(); got != c.want {
			t.Errorf("%s: %d parts, want %d", name, got, c.want)
		}
	}
	var all []leadevents.Event
	for year := 1970; year < 2100; year++ {
		all = append(all, at(year, 6, 1, 0, 0, 0, 0))
	}
	if got := yearsOf(all[:50]).with(yearsOf(all[40:])).parts(); got != 130 {
		t.Errorf("all years: %d parts", got)
	}
}
