package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A signal that arrives twice, as timeout(1) sends it, stops in order; one that comes later ends at once.
func TestASignalThatArrivesTwiceIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, signalled := context.WithCancel(t.Context())
		defer signalled()
		restored := false
		afterTheFirst(ctx, func() { restored = true })
		for _, step := range []struct {
			after time.Duration
			want  bool
		}{{time.Hour, false}, {0, false}, {sameSignal - time.Millisecond, false}, {time.Millisecond, true}} {
			if step.after == 0 {
				signalled()
			}
			time.Sleep(step.after)
			synctest.Wait()
			if restored != step.want {
				t.Errorf("signals have their default meaning again: %t, want %t", restored, step.want)
			}
		}
	})
}
