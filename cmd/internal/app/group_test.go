package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPartsStopInReverse(t *testing.T) {
	g := newGroup(slog.New(slog.DiscardHandler))
	var order []string
	for _, name := range []string{"store", "ledger", "http"} {
		g.addCloser(name, func() error { order = append(order, name); return nil })
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"http", "ledger", "store"}; !slices.Equal(order, want) {
		t.Errorf("stopped %v, want %v", order, want)
	}
	if err := g.stop(); err != nil || len(order) != 3 {
		t.Errorf("a second stop: %v, %v", err, order)
	}
}

func TestOnePartThatCannotStopKeepsNoOther(t *testing.T) {
	g := newGroup(slog.New(slog.DiscardHandler))
	closed := false
	g.addCloser("store", func() error { closed = true; return nil })
	g.addCloser("ledger", func() error { return errors.New("no") })
	if err := g.stop(); err == nil || err.Error() != "stop ledger: no" || !closed {
		t.Errorf("stop: %v, store closed: %v", err, closed)
	}
}

func TestRunningPartsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(slog.New(slog.DiscardHandler))
		ended := false
		g.run("worker", time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			ended = true
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.wait(ctx); err != nil {
			t.Errorf("wait: %v", err)
		}
		if err := g.stop(); err != nil || !ended {
			t.Errorf("stop: %v, ended: %v", err, ended)
		}
	})
}

func TestAPartThatEndsByItselfStopsTheGroup(t *testing.T) {
	for claim, result := range map[string]error{"with an error": errors.New("boom"), "without one": nil} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(slog.New(slog.DiscardHandler))
				g.run("worker", time.Second, func(context.Context) error { return result })
				err := g.wait(t.Context())
				if err == nil || !strings.HasPrefix(err.Error(), "worker failed: ") {
					t.Errorf("wait: %v", err)
				}
				if err := g.stop(); err != nil {
					t.Errorf("stop tells it a second time: %v", err)
				}
			})
		})
	}
}

func TestAStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(slog.New(slog.DiscardHandler))
		release := make(chan struct{})
		g.run("worker", 3*time.Second, func(context.Context) error { <-release; return nil })
		began := time.Now()
		err := g.stop()
		if err == nil || !strings.Contains(err.Error(), "did not end within 3s") {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		close(release)
	})
}
